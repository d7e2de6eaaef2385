/* SPDX-License-Identifier: Apache-2.0 */
/* csign ref, csign cert: the two files that programs which know no URI want to have. */

#include <errno.h>
#include <stdio.h>

#include <openssl/pem.h>

#include "cli/ask-sidecar.h"
#include "cli/cli.h"
#include "cli/files.h"
#include "cli/output.h"
#include "lib/key-reference.h"
#include "lib/ossl.h"

static const char *arg_out;
static bool arg_own;

static int get_key(const char *uri, KeyInfo *ret, Error *e) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = NULL;
        int r;

        r = sidecar_open(&c, e);
        return r < 0 ? r : sidecar_key(c, uri, ret, e);
}

/* ---- ref ---- */

static int reference_fill(const KeyInfo *key, KeyReference *ret) {
        KeyUri uri = {};

        (void) snprintf(uri.path, sizeof(uri.path), "%s", key->path);
        uri.version = key->version;
        (void) key_uri_text(&uri, ret->uri);
        (void) snprintf(ret->key_type, sizeof(ret->key_type), "%s", key->alg->ossl_type);
        (void) snprintf(ret->id, sizeof(ret->id), "%s", key->id);
        ret->version = key->version;
        return buf_append(&ret->spki, key->spki.data, key->spki.len);
}

static int ref_run(char *args[], size_t n, Error *e) {
        _cleanup_(key_reference_done) KeyReference ref = {};
        _cleanup_(key_info_done) KeyInfo key = {};
        _cleanup_(buf_done) Buf pem = {};
        int r;

        r = get_key(args[0], &key, e);
        if (r < 0)
                return r;
        r = reference_fill(&key, &ref);
        if (r < 0)
                return r;
        r = key_reference_encode_pem(&ref, &pem, e);
        if (r < 0)
                return r;
        r = output_file(arg_out, pem.data, pem.len, e);
        if (r < 0)
                return r;
        if (arg_out)
                output_note("%s: stands in for the private key of %s; it holds no secret", arg_out,
                            ref.uri);
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

static int certificate_pem(const Buf *der, BIO *ret, Error *e) {
        _cleanup_(X509_freep) X509 *cert = NULL;
        const uint8_t *p = der->data;

        cert = d2i_X509(NULL, &p, (long) der->len);
        if (!cert)
                return error_set(e, -CSIGN_E_BAD_ANSWER, "the key's certificate cannot be read");
        return PEM_write_bio_X509(ret, cert) == 1 ? 0 : -ENOMEM;
}

static int cert_run(char *args[], size_t n, Error *e) {
        _cleanup_(BIO_free_allp) BIO *pem = BIO_new(BIO_s_mem());
        _cleanup_(key_info_done) KeyInfo key = {};
        char *text;
        long len;
        int r;

        if (!pem)
                return -ENOMEM;
        r = get_key(args[0], &key, e);
        if (r < 0)
                return r;
        if (key.n_certificates == 0)
                return error_set(e, -CSIGN_E_NOT_FOUND, "key '%s' has no certificate", key.path);

        for (size_t i = 0; i < (arg_own ? 1 : key.n_certificates); i++) {
                r = certificate_pem(&key.certificates[i], pem, e);
                if (r < 0)
                        return r;
        }
        len = BIO_get_mem_data(pem, &text);
        return output_file(arg_out, text, (size_t) len, e);
}

static const Option cert_options[] = {
        { "out", "FILE", "where to (default: the standard output)", &arg_out, .letter = 'o' },
        { "own", NULL, "only the key's own certificate, without its chain", &arg_own,
          OPTION_SWITCH },
};

const Verb verb_cert = {
        .name = "cert",
        .args = "URI",
        .help = "the key's certificates, PEM, own one first",
        .example = "csign cert csign://acme/mobile/firmware -o firmware.crt",
        OPTIONS(cert_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_SIDECAR,
        .run = cert_run,
};
