/* SPDX-License-Identifier: Apache-2.0 */
/* csign sign, csign verify: a detached signature over one file, made by a key in the service and
 * checked with nothing but its public half. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "cli/ask-sidecar.h"
#include "cli/cli.h"
#include "cli/files.h"
#include "cli/output.h"
#include "lib/ossl.h"

static const char *arg_key, *arg_hash, *arg_out, *arg_cert, *arg_pubkey, *arg_signature;
static bool arg_pss;

/* How to sign with the key: its scheme and hash, as asked for or as is usual. */
static int choose_scheme(const KeyAlg *alg, Scheme *ret_scheme, const HashAlg **ret_hash,
                         Error *e) {
        bool pss = arg_pss && strcmp(alg->ossl_type, "RSA") == 0;
        Scheme scheme = pss ? SCHEME_RSA_PSS : scheme_of_key(alg);
        const HashAlg *hash = scheme_hash_by_name(scheme, arg_hash ? arg_hash : alg->default_hash);

        if (arg_pss && scheme != SCHEME_RSA_PSS)
                return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME,
                                 "--pss needs an RSA key, this is %s", alg->name);
        if (!hash)
                return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME,
                                 "csign does not sign with hash '%s' and %s", arg_hash,
                                 scheme_name(scheme));
        *ret_scheme = scheme;
        *ret_hash = hash;
        return 0;
}

/* ---- sign ---- */

static int signature_path(const char *file, Buf *ret, Error *e) {
        if (arg_out)
                return buf_append_str(ret, arg_out);
        if (strcmp(file, "-") == 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "the signature of the standard input needs --out FILE");
        return buf_printf(ret, "%s.sig", file);
}

/* Verifies what lies on the disk, not what lay in memory: that is what will be shipped. */
static int check_written(const char *path, const SignRequest *req, EVP_PKEY *pkey, Error *e) {
        _cleanup_(buf_done) Buf written = BUF_MAX(SIGNATURE_MAX);
        int r;

        if (!file_is_regular(path))
                return 0;
        r = file_read(path, FILE_ANY, &written, e);
        return r < 0 ? r : sign_request_verify(req, pkey, written.data, written.len, e);
}

static int sign_file(SidecarClient *c, const KeyInfo *key, const char *file, const char *out,
                     Receipt *receipt, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        _cleanup_(buf_done) Buf sig = BUF_MAX(SIGNATURE_MAX);
        _cleanup_(content_done) Content content = CONTENT_NONE;
        SignRequest req = { .key_id = key->id, .version = key->version };
        int r;

        r = sign_check_library(key->alg, NULL, e);
        if (r < 0)
                return r;
        r = key_info_pkey(key, &pkey, e);
        if (r < 0)
                return r;
        r = choose_scheme(key->alg, &req.scheme, &req.hash, e);
        if (r < 0)
                return r;
        r = content_read(file, req.hash, pkey, &content, e);
        if (r < 0)
                return r;
        req.digest = content.data;
        req.digest_len = content.len;
        req.salt_len = req.scheme == SCHEME_RSA_PSS ? (uint32_t) req.hash->size : 0;

        r = req.hash == &hash_none
                    ? sidecar_client_sign_message(c, &req, content.fd, &sig, receipt, e)
                    : sidecar_client_sign(c, &req, &sig, receipt, e);
        if (r < 0)
                return r;
        r = sign_request_verify(&req, pkey, sig.data, sig.len, e);
        if (r < 0)
                return r;
        r = output_file(out, sig.data, sig.len, e);
        return r < 0 ? r : check_written(out, &req, pkey, e);
}

static int sign_run(char *args[], size_t n, Error *e) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = NULL;
        _cleanup_(key_info_done) KeyInfo key = {};
        _cleanup_(json_decrefp) json_t *result = NULL;
        _cleanup_(buf_done) Buf out = {};
        Receipt receipt = {};
        int r;

        r = signature_path(args[0], &out, e);
        if (r < 0)
                return r;
        r = sidecar_open(&c, e);
        if (r < 0)
                return r;
        r = sidecar_key(c, arg_key, &key, e);
        if (r < 0)
                return r;
        r = sign_file(c, &key, args[0], buf_str(&out), &receipt, e);
        if (r < 0)
                return r;

        result = json_pack("{s:s, s:s, s:s, s:I, s:s, s:I}", "file", args[0], "signature",
                           buf_str(&out), "key", key.path, "version", (json_int_t) key.version,
                           "request_id", receipt.request_id, "record", (json_int_t) receipt.record);
        if (strcmp(buf_str(&out), "-") != 0)
                output_result(result,
                              "%s: signed by %s@%u, signature in %s (audit record %llu, %s)",
                              args[0], key.path, key.version, buf_str(&out),
                              (unsigned long long) receipt.record, receipt.request_id);
        return 0;
}

static const Option sign_options[] = {
        { "key", "URI", "the signing key: csign://acme/mobile/release", &arg_key,
          .required = true },
        { "hash", "NAME", "SHA256, SHA384, SHA3-256, ... (default: the key's)", &arg_hash },
        { "pss", NULL, "RSA: sign with RSASSA-PSS", &arg_pss, OPTION_SWITCH },
        { "out", "FILE", "where to (default: FILE.sig; -: the standard output)", &arg_out,
          .letter = 'o' },
};

const Verb verb_sign = {
        .name = "sign",
        .args = "--key URI FILE",
        .help = "signs a file: a detached signature, verified",
        .example = "csign sign --key csign://acme/mobile/release app.bin -o app.bin.sig",
        OPTIONS(sign_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_SIDECAR | VERB_JSON,
        .run = sign_run,
};

/* ---- verify ---- */

static int pkey_from_sidecar(EVP_PKEY **ret, Error *e) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = NULL;
        _cleanup_(key_info_done) KeyInfo key = {};
        int r;

        r = sidecar_open(&c, e);
        if (r < 0)
                return r;
        r = sidecar_key(c, arg_key, &key, e);
        return r < 0 ? r : key_info_pkey(&key, ret, e);
}

static int pkey_from_file(const char *path, bool certificate, EVP_PKEY **ret, Error *e) {
        _cleanup_(BIO_free_allp) BIO *bio = NULL;
        _cleanup_(X509_freep) X509 *cert = NULL;
        _cleanup_(buf_done) Buf text = {};
        EVP_PKEY *pkey;
        int r;

        r = file_read(path, FILE_ANY, &text, e);
        if (r < 0)
                return r;
        bio = BIO_new_mem_buf(text.data, (int) text.len);
        if (!bio)
                return -ENOMEM;
        if (certificate)
                cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        pkey = certificate ? cert ? X509_get_pubkey(cert) : NULL
                           : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        if (!pkey)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "%s holds no %s in PEM form", path,
                                 certificate ? "certificate" : "public key");
        *ret = pkey;
        return 0;
}

static int verify_key(EVP_PKEY **ret, Error *e) {
        if (!!arg_key + !!arg_cert + !!arg_pubkey != 1)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "give one of --key URI, --cert FILE and --pubkey FILE");
        if (arg_key)
                return pkey_from_sidecar(ret, e);
        return pkey_from_file(arg_cert ? arg_cert : arg_pubkey, arg_cert, ret, e);
}

/* 1 good, 0 not, or a negative code.  A PSS salt may have any length. */
static int signature_is_good(EVP_PKEY *pkey, Scheme scheme, const HashAlg *hash,
                             const Content *content, const Buf *sig) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
        const EVP_MD *md = EVP_get_digestbyname(hash->name);
        const SignRequest req = {
                .scheme = scheme,
                .hash = hash,
                .digest = content->data,
                .digest_len = content->len,
        };

        if (scheme_own_hash(scheme))
                return sign_request_verify(&req, pkey, sig->data, sig->len, NULL) == 0;
        if (!ctx || !md || EVP_PKEY_verify_init(ctx) <= 0)
                return -EIO;
        if (scheme == SCHEME_RSA_PSS &&
            (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) <= 0 ||
             EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_AUTO) <= 0))
                return -EIO;
        if (EVP_PKEY_CTX_set_signature_md(ctx, md) <= 0)
                return -EIO;
        return EVP_PKEY_verify(ctx, sig->data, sig->len, content->data, content->len) == 1;
}

static int verify_run(char *args[], size_t n, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        _cleanup_(json_decrefp) json_t *result = NULL;
        _cleanup_(buf_done) Buf sig = BUF_MAX(SIGNATURE_MAX);
        _cleanup_(content_done) Content content = CONTENT_NONE;
        const HashAlg *hash;
        const KeyAlg *alg;
        Scheme scheme;
        int r;

        r = verify_key(&pkey, e);
        if (r < 0)
                return r;
        alg = key_alg_of_pkey(pkey);
        if (!alg)
                return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME,
                                 "csign does not know this kind of key");
        r = choose_scheme(alg, &scheme, &hash, e);
        if (r < 0)
                return r;
        r = file_read(arg_signature, FILE_ANY, &sig, e);
        if (r < 0)
                return r;
        r = content_read(args[0], hash, pkey, &content, e);
        if (r < 0)
                return r;

        r = signature_is_good(pkey, scheme, hash, &content, &sig);
        if (r < 0)
                return error_set(e, r, "cannot verify with this key");
        if (r == 0) {
                (void) error_set(e, -CSIGN_E_BAD_SIGNATURE,
                                 "%s: the signature in %s is NOT good (%s, %s)", args[0],
                                 arg_signature, scheme_name(scheme), hash->name);
                output_error(
                        e, "the file or its signature was changed, or another key, hash or scheme "
                           "made it");
                return error_info(e->code)->exit_status;
        }
        result = json_pack("{s:s, s:s, s:b}", "file", args[0], "signature", arg_signature, "good",
                           1);
        output_result(result, "%s: the signature is good (%s, %s)", args[0], scheme_name(scheme),
                      hash->name);
        return 0;
}

static const Option verify_options[] = {
        { "signature", "FILE", "the detached signature", &arg_signature, .required = true },
        { "key", "URI", "the key, asked of the sidecar", &arg_key },
        { "cert", "FILE", "or a certificate, PEM", &arg_cert },
        { "pubkey", "FILE", "or a public key, PEM", &arg_pubkey },
        { "hash", "NAME", "the hash (default: the key's)", &arg_hash },
        { "pss", NULL, "RSA: the signature is RSASSA-PSS", &arg_pss, OPTION_SWITCH },
};

const Verb verb_verify = {
        .name = "verify",
        .args = "--signature SIG FILE",
        .help = "verifies a detached signature",
        .example = "csign verify --cert release.pem --signature app.bin.sig app.bin",
        OPTIONS(verify_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_SIDECAR | VERB_JSON,
        .run = verify_run,
};
