/* SPDX-License-Identifier: Apache-2.0 */
/* csign ref, csign cert: the two files that programs which know no URI want to have. */

#include <inttypes.h>

#include "cli/ask-sidecar.h"
#include "cli/cli.h"
#include "cli/files.h"
#include "cli/key-files.h"
#include "cli/output.h"
#include "cli/verb-cert.h"

static const char *arg_out;
static bool arg_own;

static int get_key(const char *uri, KeyInfo *ret, Error *e) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = NULL;
        int r;

        r = sidecar_open(&c, e);
        return r < 0 ? r : sidecar_key(c, uri, ret, e);
}

/* ---- ref ---- */

static int ref_run(char *args[], size_t n, Error *e) {
        _cleanup_(key_info_done) KeyInfo key = {};
        _cleanup_(buf_done) Buf pem = {};
        int r;

        r = get_key(args[0], &key, e);
        if (r < 0)
                return r;
        r = key_reference_pem(&key, &pem, e);
        if (r < 0)
                return r;
        r = output_file(arg_out, pem.data, pem.len, e);
        if (r < 0)
                return r;
        if (arg_out)
                output_note("%s: stands in for the private key of csign://%s@%" PRIu32
                            "; it holds no secret",
                            arg_out, key.path, key.version);
        return 0;
}

static const Option ref_options[] = {
        { "out", "FILE", "where to (default: the standard output)", &arg_out, .letter = 'o' },
};

const Verb verb_ref = {
        .name = "ref",
        .args = "URI",
        .help = "a PEM file for programs that want a key file",
        .example = "csign ref csign://acme/mobile/firmware -o firmware.pem\n"
                   "  csign run -- osslsigncode sign -key firmware.pem -certs firmware.crt ...",
        OPTIONS(ref_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_SIDECAR,
        .run = ref_run,
};

/* ---- cert ---- */

static int cert_run(char *args[], size_t n, Error *e) {
        _cleanup_(key_info_done) KeyInfo key = {};
        _cleanup_(buf_done) Buf pem = {};
        int r;

        r = get_key(args[0], &key, e);
        if (r < 0)
                return r;
        r = key_certificates_pem(&key, 0, arg_own ? 1 : SIZE_MAX, &pem, e);
        return r < 0 ? r : output_file(arg_out, pem.data, pem.len, e);
}

static const Option cert_options[] = {
        { "out", "FILE", "where to (default: the standard output)", &arg_out, .letter = 'o' },
        { "own", NULL, "only the key's own certificate, without its chain", &arg_own,
          OPTION_SWITCH },
};

const Verb verb_cert = {
        .name = "cert",
        .args = "URI|list|renew|...",
        .help = "a key's certificates, PEM; and their life",
        .example = "csign cert csign://acme/mobile/firmware -o firmware.crt",
        OPTIONS(cert_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_SIDECAR,
        .run = cert_run,
        .verbs = cert_verbs,
};
