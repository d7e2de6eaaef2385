/* SPDX-License-Identifier: Apache-2.0 */
/* csign ca, csign whoami: whom the service trusts to certify, and whom it takes you for. */

#include <errno.h>
#include <string.h>

#include <openssl/pem.h>

#include "cli/ask-service.h"
#include "cli/cli.h"
#include "cli/confirm.h"
#include "cli/files.h"
#include "cli/output.h"
#include "lib/ossl.h"

static const char *arg_tsg = "", *arg_out, *arg_format = "pem", *arg_kind = "chain";
static const char *arg_organization, *arg_country, *arg_name, *arg_usage;
static bool arg_yes;

static int get_authorities(Admin *a, json_t **ret, Error *e) {
        _cleanup_(buf_done) Buf path = {};
        int r;

        r = admin_path(&path, "/v1/authorities?tsg=%s", arg_tsg);
        return r < 0 ? r : admin_call(a, "GET", buf_str(&path), NULL, ret, e);
}

/* The newest of a kind; one that issues may be its own root, if an older csign made it. */
static const json_t *find_authority(const json_t *answer, const char *kind) {
        const json_t *a, *issuing = NULL;
        size_t i;

        json_array_foreach(json_object_get(answer, "authorities"), i, a) {
                if (strcmp(json_text_at(a, "kind"), kind) == 0)
                        return a;
                if (!issuing)
                        issuing = a;
        }
        return issuing;
}

static int check_format(Error *e) {
        if (strcmp(arg_format, "pem") == 0 || strcmp(arg_format, "der") == 0)
                return 0;
        return error_set(e, -CSIGN_E_BAD_REQUEST, "--format is pem or der, not '%s'", arg_format);
}

/* DER as it was asked for. */
static int write_out(const Buf *der, const char *label, Error *e) {
        _cleanup_(BIO_free_allp) BIO *bio = NULL;
        char *text;
        long len;

        if (strcmp(arg_format, "der") == 0)
                return output_file(arg_out, der->data, der->len, e);
        bio = BIO_new(BIO_s_mem());
        if (!bio || PEM_write_bio(bio, label, "", der->data, (long) der->len) <= 0)
                return -ENOMEM;
        len = BIO_get_mem_data(bio, &text);
        return output_file(arg_out, text, (size_t) len, e);
}

/* ---- show ---- */

static int ca_show(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "KIND", "kind" },       { "SUBJECT", "subject" },
                { "ENDS", "not_after" },  { "ORGANIZATION", "organization" },
                { "COUNTRY", "country" }, { "USAGE", "extended_key_usage" },
                { "ID", "id" },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *answer = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = get_authorities(a, &answer, e);
        if (r < 0)
                return r;
        output_list(json_object_get(answer, "authorities"), columns, ELEMENTSOF(columns),
                    "No authority.");
        return 0;
}

static const Option ca_show_options[] = {
        { "tsg", "PATH", "whose authorities", &arg_tsg, .required = true },
};

static const Verb verb_ca_show = {
        .name = "ca show",
        .args = "--tsg PATH",
        .help = "the built-in authorities, and their policy",
        .example = "csign ca show --tsg acme",
        OPTIONS(ca_show_options),
        .flags = VERB_ADMIN | VERB_JSON,
        .run = ca_show,
};

/* ---- export, crl ---- */

static int export_one(const json_t *answer, Error *e) {
        const char *base64 = json_text_at(find_authority(answer, arg_kind), "certificate");
        _cleanup_(buf_done) Buf der = {};

        if (buf_decode_base64(&der, base64, strlen(base64)) < 0 || der.len == 0)
                return error_set(e, -CSIGN_E_BAD_ANSWER, "the certificate cannot be read");
        return write_out(&der, PEM_STRING_X509, e);
}

static int ca_export(char *args[], size_t n, Error *e) {
        bool chain = strcmp(arg_kind, "chain") == 0;
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *answer = NULL;
        const char *pem;
        int r;

        r = check_format(e);
        if (r >= 0 && !chain && strcmp(arg_kind, "root") != 0 && strcmp(arg_kind, "issuing") != 0)
                r = error_set(e, -CSIGN_E_BAD_REQUEST,
                              "--which is root, issuing or chain, not '%s'", arg_kind);
        if (r >= 0 && chain && strcmp(arg_format, "pem") != 0)
                r = error_set(e, -CSIGN_E_BAD_REQUEST,
                              "a chain is only in PEM: with --format der, give --which root or "
                              "issuing");
        if (r >= 0)
                r = admin_open(&a, e);
        if (r >= 0)
                r = get_authorities(a, &answer, e);
        if (r < 0)
                return r;
        if (!chain)
                return export_one(answer, e);
        pem = json_text_at(answer, "certificates");
        return output_file(arg_out, pem, strlen(pem), e);
}

static const Option ca_export_options[] = {
        { "tsg", "PATH", "whose authorities", &arg_tsg, .required = true },
        { "which", "WHICH", "root, issuing, or chain: all of them (default)", &arg_kind },
        { "format", "FORM", "pem (default) or der", &arg_format },
        { "out", "FILE", "where to (default: the standard output)", &arg_out, .letter = 'o' },
};

static const Verb verb_ca_export = {
        .name = "ca export",
        .args = "--tsg PATH",
        .help = "the built-in CA's certificates, PEM or DER",
        .example = "csign ca export --tsg acme -o acme-ca.pem\n"
                   "  csign ca export --tsg acme --which root "
                   "-o /usr/local/share/ca-certificates/acme.crt && update-ca-certificates",
        OPTIONS(ca_export_options),
        .flags = VERB_ADMIN,
        .run = ca_export,
};

static int ca_crl(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *answer = NULL;
        _cleanup_(buf_done) Buf path = {}, der = BUF_MAX((size_t) 8 * 1024 * 1024);
        const char *kind = strcmp(arg_kind, "root") == 0 ? "root" : "issuing";
        int r;

        r = check_format(e);
        if (r >= 0)
                r = admin_open(&a, e);
        if (r >= 0)
                r = get_authorities(a, &answer, e);
        if (r >= 0)
                r = admin_path(&path, "/v1/authorities/%s/crl",
                               json_text_at(find_authority(answer, kind), "id"));
        if (r >= 0)
                r = admin_fetch(a, buf_str(&path), "application/pkix-crl", &der, e);
        return r < 0 ? r : write_out(&der, PEM_STRING_X509_CRL, e);
}

static const Option ca_crl_options[] = {
        { "tsg", "PATH", "whose authority", &arg_tsg, .required = true },
        { "which", "WHICH", "issuing (default) or root", &arg_kind },
        { "format", "FORM", "pem (default) or der", &arg_format },
        { "out", "FILE", "where to (default: the standard output)", &arg_out, .letter = 'o' },
};

static const Verb verb_ca_crl = {
        .name = "ca crl",
        .args = "--tsg PATH",
        .help = "what the built-in CA has revoked, PEM or DER",
        .example = "csign ca crl --tsg acme -o acme.crl",
        OPTIONS(ca_crl_options),
        .flags = VERB_ADMIN,
        .run = ca_crl,
};

/* ---- policy, renew ---- */

static int ca_policy(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *answer = NULL, *body = NULL, *changed = NULL;
        _cleanup_(buf_done) Buf path = {};
        int r;

        body = json_pack("{s:s*, s:s*, s:s*, s:s*}", "organization", arg_organization, "country",
                         arg_country, "alternative_name", arg_name, "extended_key_usage",
                         arg_usage);
        r = admin_open(&a, e);
        if (r >= 0)
                r = get_authorities(a, &answer, e);
        if (r >= 0)
                r = admin_path(&path, "/v1/authorities/%s",
                               json_text_at(find_authority(answer, "issuing"), "id"));
        if (r >= 0)
                r = admin_call(a, "PATCH", buf_str(&path), body, &changed, e);
        if (r < 0)
                return r;
        output_result(changed, "%s has a new policy, for certificates from now on.",
                      json_text_at(changed, "subject"));
        return 0;
}

static const Option ca_policy_options[] = {
        { "tsg", "PATH", "whose authority", &arg_tsg, .required = true },
        { "organization", "NAME", "of the subject", &arg_organization },
        { "country", "XX", "of the subject", &arg_country },
        { "alternative-name", "NAME", "URI:csign://{path}, email:... or DNS:...", &arg_name },
        { "extended-key-usage", "NAMES",
          "codeSigning, and with commas emailProtection, lifetimeSigning", &arg_usage },
};

static const Verb verb_ca_policy = {
        .name = "ca policy",
        .args = "--tsg PATH",
        .help = "changes what it puts into certificates",
        .example = "csign ca policy --tsg acme --organization 'Acme GmbH' --country DE",
        OPTIONS(ca_policy_options),
        .flags = VERB_ADMIN | VERB_JSON,
        .run = ca_policy,
};

static int ca_renew(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:s}", "tsg", arg_tsg), *made = NULL;
        int r;

        r = confirm("New certificates will lead to a new root, which verifiers have to get first.",
                    arg_yes, e);
        if (r >= 0)
                r = admin_open(&a, e);
        if (r >= 0)
                r = admin_call(a, "POST", "/v1/authorities", body, &made, e);
        if (r < 0)
                return r;
        output_result(made,
                      "%s issues from now on, until %s: distribute its root (csign ca export).",
                      json_text_at(made, "subject"), json_text_at(made, "not_after"));
        return 0;
}

static const Option ca_renew_options[] = {
        { "tsg", "PATH", "whose authorities: a root TSG", &arg_tsg, .required = true },
        { "yes", NULL, "do not ask", &arg_yes, OPTION_SWITCH },
};

static const Verb verb_ca_renew = {
        .name = "ca renew",
        .args = "--tsg PATH",
        .help = "makes a new root and a new issuing authority",
        .example = "csign ca renew --tsg acme",
        OPTIONS(ca_renew_options),
        .flags = VERB_ADMIN | VERB_JSON,
        .run = ca_renew,
};

const Verb verb_ca = {
        .name = "ca",
        .args = "show|export|crl|...",
        .help = "the built-in authorities: policy, renew",
        .verbs = (const Verb *const[]){ &verb_ca_show, &verb_ca_export, &verb_ca_crl,
                                        &verb_ca_policy, &verb_ca_renew, NULL },
};

static int whoami_run(char *args[], size_t n, Error *e) {
        static const Column fields[] = {
                { "Name", "principal.name" },
                { "Type", "principal.type" },
                { "Id", "principal.id" },
                { "TSG", "tsg.path" },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *who = NULL;
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = admin_call(a, "GET", "/v1/whoami", NULL, &who, e);
        if (r < 0)
                return r;
        output_object(who, fields, ELEMENTSOF(fields));
        return 0;
}

const Verb verb_whoami = {
        .name = "whoami",
        .args = "",
        .help = "whom the service takes you for",
        .example = "csign whoami",
        .flags = VERB_ADMIN | VERB_JSON,
        .run = whoami_run,
};
