/* SPDX-License-Identifier: Apache-2.0 */
/* csign cert VERB: the life of keys' certificates, administered. */

#include "cli/verb-cert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>

#include "cli/ask-service.h"
#include "cli/confirm.h"
#include "cli/files.h"
#include "cli/output.h"
#include "lib/ossl.h"

static const char *arg_out, *arg_subject, *arg_organization, *arg_country, *arg_name, *arg_usage;
static const char *arg_reason, *arg_time, *arg_expiring;
static uint64_t arg_validity_days;
static bool arg_pem, arg_yes;

/* "/v1/keys/ID/versions/N/WHAT" of what PATH, PATH@N or ID names. */
static int version_path(Admin *a, const char *name, const char *what, Buf *ret, Error *e) {
        _cleanup_(json_decrefp) json_t *key = NULL;
        int r;

        r = admin_key(a, name, &key, e);
        if (r < 0)
                return r;
        r = admin_path(ret, "/v1/keys/%s", json_text_at(key, "id"));
        return r < 0 ? r
                     : buf_printf(ret, "/versions/%lld/%s",
                                  (long long) json_integer_value(json_object_get(key, "version")),
                                  what);
}

/* ---- list, show ---- */

static int list_path(Admin *a, const char *name, Buf *ret, Error *e) {
        _cleanup_(buf_done) Buf id = {};
        int r;

        if (name && arg_expiring)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "--expiring is of all keys: leave out '%s'", name);
        if (arg_expiring)
                return admin_path(ret, "/v1/certificates?expires_within=%s", arg_expiring);
        if (!name)
                return buf_append_str(ret, "/v1/certificates");
        r = admin_key_id(a, name, &id, e);
        return r < 0 ? r : admin_path(ret, "/v1/certificates?key=%s", buf_str(&id));
}

static int cert_list(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "KEY", "key_path" },
                { "VERSION", "version", COLUMN_NUMBER },
                { "STATE", "state", COLUMN_STATE },
                { "USED", "used" },
                { "ENDS", "not_after" },
                { "DAYS", "days_left", COLUMN_NUMBER },
                { "ID", "id" },
                { "ISSUER", "issuer", COLUMN_FULL },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *list = NULL;
        _cleanup_(buf_done) Buf path = {};
        json_t *c;
        size_t i;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = list_path(a, n > 0 ? args[0] : NULL, &path, e);
        if (r >= 0)
                r = admin_list(a, buf_str(&path), "certificates", &list, e);
        if (r < 0)
                return r;
        if (!arg_json)
                json_array_foreach(list, i, c)(void) json_object_set_new(
                        c, "used",
                        json_string(json_is_true(json_object_get(c, "current")) ? "yes" : "no"));
        output_list(list, columns, ELEMENTSOF(columns), "No certificate.");
        return 0;
}

static const Option cert_list_options[] = {
        { "expiring", "DAYS", "only those in use that end within so many days, or have ended",
          &arg_expiring },
};

static const Verb verb_cert_list = {
        .name = "cert list",
        .args = "[PATH|ID]",
        .help = "certificates of all keys, or of one",
        .example = "csign cert list --expiring 30",
        OPTIONS(cert_list_options),
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = cert_list,
};

static int write_pem(BIO *bio, const char *base64, Error *e) {
        _cleanup_(buf_done) Buf der = {};

        if (buf_decode_base64(&der, base64, strlen(base64)) < 0 ||
            PEM_write_bio(bio, PEM_STRING_X509, "", der.data, (long) der.len) <= 0)
                return error_set(e, -CSIGN_E_BAD_ANSWER, "the certificate cannot be read");
        return 0;
}

static int output_chain(const json_t *certificate, Error *e) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
        const json_t *c;
        char *text;
        size_t i;
        long len;
        int r = bio ? 0 : -ENOMEM;

        json_array_foreach(json_object_get(certificate, "certificates"), i, c) if (r >= 0) r =
                write_pem(bio, json_string_value(c) ? json_string_value(c) : "", e);
        if (r < 0)
                return r;
        len = BIO_get_mem_data(bio, &text);
        return output_file(arg_out, text, (size_t) len, e);
}

static int cert_show(char *args[], size_t n, Error *e) {
        static const Column fields[] = {
                { "Certificate", "id" },       { "Key", "key_path" },
                { "Version", "version" },      { "State", "state", COLUMN_STATE },
                { "Subject", "subject" },      { "Issuer", "issuer" },
                { "Serial number", "serial" }, { "From", "not_before" },
                { "Until", "not_after" },      { "Days left", "days_left" },
                { "Source", "source" },        { "Authority", "authority" },
                { "Revoked", "revoked_at" },   { "Reason", "revocation_reason" },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *certificate = NULL;
        _cleanup_(buf_done) Buf path = {};
        int r;

        r = admin_path(&path, "/v1/certificates/%s", args[0]);
        if (r >= 0)
                r = admin_open(&a, e);
        if (r >= 0)
                r = admin_call(a, "GET", buf_str(&path), NULL, &certificate, e);
        if (r < 0)
                return r;
        if (arg_pem || arg_out)
                return output_chain(certificate, e);
        output_object(certificate, fields, ELEMENTSOF(fields));
        return 0;
}

static const Option cert_show_options[] = {
        { "pem", NULL, "the certificate and its chain instead", &arg_pem, OPTION_SWITCH },
        { "out", "FILE", "where to write these (default: the standard output)", &arg_out,
          .letter = 'o' },
};

static const Verb verb_cert_show = {
        .name = "cert show",
        .args = "ID",
        .help = "one certificate, as `csign cert list` names it",
        .example = "csign cert show crt_4ygc3hkz6q2zq6fjv3tc2mwb5a --pem",
        OPTIONS(cert_show_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = cert_show,
};

/* ---- csr, import ---- */

static int cert_csr(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *body = NULL, *answer = NULL;
        _cleanup_(buf_done) Buf path = {};
        const char *pem;
        int r;

        body = json_pack("{s:s*, s:s*, s:s*, s:s*, s:s*}", "subject", arg_subject, "organization",
                         arg_organization, "country", arg_country, "alternative_name", arg_name,
                         "extended_key_usage", arg_usage);
        r = admin_open(&a, e);
        if (r >= 0)
                r = version_path(a, args[0], "csr", &path, e);
        if (r >= 0)
                r = admin_call(a, "POST", buf_str(&path), body, &answer, e);
        if (r < 0)
                return r;
        pem = json_text_at(answer, "csr");
        return output_file(arg_out, pem, strlen(pem), e);
}

static const Option cert_csr_options[] = {
        { "subject", "NAME", "the common name (default: the key's path)", &arg_subject },
        { "organization", "NAME", "default: as the authority's policy has it", &arg_organization },
        { "country", "XX", "likewise", &arg_country },
        { "alternative-name", "NAME", "URI:..., email:... or DNS:...; likewise", &arg_name },
        { "extended-key-usage", "NAMES", "codeSigning, and with commas others; likewise",
          &arg_usage },
        { "out", "FILE", "where to (default: the standard output)", &arg_out, .letter = 'o' },
};

static const Verb verb_cert_csr = {
        .name = "cert csr",
        .args = "PATH[@N]|ID",
        .help = "a request for an outside CA, PEM",
        .example = "csign cert csr acme/mobile/release --organization 'Acme GmbH' -o release.csr",
        OPTIONS(cert_csr_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN,
        .run = cert_csr,
};

static int give_certificate(const char *name, const json_t *body, const char *did, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *made = NULL;
        _cleanup_(buf_done) Buf path = {};
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = version_path(a, name, "certificates", &path, e);
        if (r >= 0)
                r = admin_call(a, "POST", buf_str(&path), body, &made, e);
        if (r < 0)
                return r;
        output_result(made, "%s the certificate of key csign://%s@%lld: %s, until %s (%s).", did,
                      json_text_at(made, "key_path"),
                      (long long) json_integer_value(json_object_get(made, "version")),
                      json_text_at(made, "subject"), json_text_at(made, "not_after"),
                      json_text_at(made, "id"));
        return 0;
}

static int cert_import(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *body = NULL;
        _cleanup_(buf_done) Buf pem = {};
        int r;

        r = file_read(args[1], FILE_ANY, &pem, e);
        if (r < 0)
                return r;
        body = json_pack("{s:s%}", "chain", buf_str(&pem), pem.len);
        if (!body)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "%s is not PEM: convert it with openssl x509 -inform DER",
                                 args[1]);
        return give_certificate(args[0], body, "Imported", e);
}

static const Verb verb_cert_import = {
        .name = "cert import",
        .args = "PATH[@N]|ID FILE",
        .help = "takes in an outside CA's chain, PEM, own first",
        .example = "csign cert import acme/mobile/release release-chain.pem",
        .min_args = 2,
        .max_args = 2,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = cert_import,
};

/* ---- renew, revoke ---- */

static int cert_renew(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *body =
                json_pack("{s:s, s:s*}", "certificate", "builtin", "subject", arg_subject);

        if (arg_validity_days)
                (void) json_object_set_new(body, "validity_days",
                                           json_integer((json_int_t) arg_validity_days));
        return give_certificate(args[0], body, "Renewed", e);
}

static const Option cert_renew_options[] = {
        { "subject", "NAME", "the common name (default: as before)", &arg_subject },
        { "validity-days", "N", "default: as before; at most 460", &arg_validity_days,
          OPTION_NUMBER },
};

static const Verb verb_cert_renew = {
        .name = "cert renew",
        .args = "PATH[@N]|ID",
        .help = "a new one of the built-in CA for the same key",
        .example = "csign cert renew acme/mobile/release",
        OPTIONS(cert_renew_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = cert_renew,
};

static int cert_revoke(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *body = NULL, *gone = NULL;
        _cleanup_(buf_done) Buf path = {};
        char sentence[256];
        int r;

        (void) snprintf(sentence, sizeof(sentence),
                        "Certificate %.64s will be revoked for good, and its key signs no more "
                        "with it.",
                        args[0]);
        r = confirm(sentence, arg_yes, e);
        if (r >= 0)
                r = admin_path(&path, "/v1/certificates/%s/revocation", args[0]);
        if (r >= 0)
                r = admin_open(&a, e);
        if (r < 0)
                return r;
        body = json_pack("{s:s, s:s*}", "reason", arg_reason, "time", arg_time);
        r = admin_call(a, "POST", buf_str(&path), body, &gone, e);
        if (r < 0)
                return r;
        output_result(gone, "Revoked certificate %s of key csign://%s.", json_text_at(gone, "id"),
                      json_text_at(gone, "key_path"));
        return 0;
}

static const Option cert_revoke_options[] = {
        { "reason", "WHY",
          "unspecified key_compromise ca_compromise affiliation_changed superseded "
          "cessation_of_operation privilege_withdrawn",
          &arg_reason, .required = true },
        { "time", "TIME", "from when on: 2026-11-21T10:50:00Z (default: now)", &arg_time },
        { "yes", NULL, "do not ask", &arg_yes, OPTION_SWITCH },
};

static const Verb verb_cert_revoke = {
        .name = "cert revoke",
        .args = "ID --reason WHY",
        .help = "revokes a certificate, for good",
        .example = "csign cert revoke crt_4ygc3hkz6q2zq6fjv3tc2mwb5a --reason key_compromise",
        OPTIONS(cert_revoke_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = cert_revoke,
};

const Verb *const cert_verbs[] = {
        &verb_cert_list,  &verb_cert_show,   &verb_cert_csr, &verb_cert_import,
        &verb_cert_renew, &verb_cert_revoke, NULL,
};
