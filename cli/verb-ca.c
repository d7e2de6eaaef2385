/* SPDX-License-Identifier: Apache-2.0 */
/* csign ca, csign whoami: whom the service trusts to certify, and whom it takes you for. */

#include <string.h>

#include "cli/ask-service.h"
#include "cli/cli.h"
#include "cli/files.h"
#include "cli/output.h"

static const char *arg_tsg = "", *arg_out;

static int ca_export(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *answer = NULL;
        _cleanup_(buf_done) Buf path = {};
        const char *pem;
        int r;

        r = admin_path(&path, "/v1/authorities?tsg=%s", arg_tsg);
        if (r < 0)
                return r;
        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = admin_call(a, "GET", buf_str(&path), NULL, &answer, e);
        if (r < 0)
                return r;
        pem = json_text_at(answer, "certificates");
        if (!pem[0])
                return error_set(e, -CSIGN_E_NOT_FOUND, "there is no built-in CA for '%s'",
                                 arg_tsg);
        return output_file(arg_out, pem, strlen(pem), e);
}

static const Option ca_export_options[] = {
        { "tsg", "PATH", "whose authority", &arg_tsg, .required = true },
        { "out", "FILE", "where to (default: the standard output)", &arg_out, .letter = 'o' },
};

static const Verb verb_ca_export = {
        .name = "ca export",
        .args = "--tsg PATH",
        .help = "the built-in CA's certificates, PEM",
        .example = "csign ca export --tsg acme -o acme-ca.pem",
        OPTIONS(ca_export_options),
        .flags = VERB_ADMIN,
        .run = ca_export,
};

const Verb verb_ca = {
        .name = "ca",
        .args = "export",
        .help = "the built-in certificate authority",
        .verbs = (const Verb *const[]){ &verb_ca_export, NULL },
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
