/* SPDX-License-Identifier: Apache-2.0 */

/* Signatures by RSA and EC keys.
 *
 * For a remote key's signature the shadow (shadow.h) verifies with the public half: it checks and
 * remembers the application's settings and writes the AlgorithmIdentifier, so that nothing of that
 * is written twice; the message is hashed here, and only the signature over the digest is asked of
 * the sidecar.  All else (verification, and whatever a local key does) is done by the shadow alone.
 */

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "lib/ossl.h"
#include "provider/key.h"
#include "provider/request.h"
#include "provider/shadow.h"

typedef enum Operation {
        OP_NONE,
        OP_SIGN,
        OP_VERIFY,
        OP_VERIFY_RECOVER,
        OP_DIGEST_SIGN,
        OP_DIGEST_VERIFY,
} Operation;

typedef struct SignatureCtx {
        Provider *prov;
        Key *key;
        Operation op;
        bool remote; /* signs with a remote key */

        /* Digest operations of a remote key. */
        const HashAlg *hash;
        EVP_MD_CTX *md;

        /* A remote signature makes it when it is first asked for: most never are. */
        Shadow shadow;
} SignatureCtx;

static bool is_digest_op(Operation op) {
        return op == OP_DIGEST_SIGN || op == OP_DIGEST_VERIFY;
}

/* ---- contexts ---- */

static void *signature_newctx(void *provctx, const char *propq) {
        SignatureCtx *c;

        c = malloc(sizeof(*c));
        if (!c)
                return NULL;

        *c = (SignatureCtx){ .prov = provctx };
        return c;
}

static void signature_freectx(void *ctx) {
        SignatureCtx *c = ctx;

        if (!c)
                return;

        shadow_drop(&c->shadow);
        EVP_MD_CTX_free(c->md);
        key_unref(c->key);
        free(c);
}
DEFINE_CLEANUP(SignatureCtx, signature_freectx)

/* OpenSSL 3.0 finalises a copy of the context, each time. */
static void *signature_dupctx(void *ctx) {
        const SignatureCtx *from = ctx;
        _cleanup_(signature_freectxp) SignatureCtx *to = signature_newctx(from->prov, NULL);

        if (!to)
                return NULL;

        to->key = from->key ? key_ref(from->key) : NULL;
        to->op = from->op;
        to->remote = from->remote;
        to->hash = from->hash;
        if (from->md) {
                to->md = md_ctx_dup(from->md);
                if (!to->md)
                        return NULL;
        }
        return shadow_dup(&to->shadow, &from->shadow) ? TAKE(to) : NULL;
}

/* ---- shadows ---- */

static int shadow_start(SignatureCtx *c) {
        c->shadow.ctx = EVP_PKEY_CTX_new_from_pkey(c->prov->libctx, key_pkey(c->key), NULL);
        if (!c->shadow.ctx)
                return 0;

        switch (c->op) {
        case OP_SIGN:
                return (c->remote ? EVP_PKEY_verify_init(c->shadow.ctx)
                                  : EVP_PKEY_sign_init(c->shadow.ctx)) == 1;
        case OP_VERIFY:
                return EVP_PKEY_verify_init(c->shadow.ctx) == 1;
        case OP_VERIFY_RECOVER:
                return EVP_PKEY_verify_recover_init(c->shadow.ctx) == 1;
        default:
                return 0;
        }
}

static int start_digest(SignatureCtx *c, const char *digest) {
        return shadow_start_digest(&c->shadow, c->key, c->op == OP_DIGEST_SIGN && !c->remote,
                                   digest, NULL);
}

static EVP_PKEY_CTX *shadow_get(SignatureCtx *c) {
        if (c->shadow.ctx || c->op == OP_NONE)
                return c->shadow.ctx;

        if (is_digest_op(c->op))
                (void) start_digest(c, c->hash ? c->hash->name : NULL);
        else if (!shadow_start(c))
                shadow_drop(&c->shadow);
        return c->shadow.ctx;
}

/* ---- settings ---- */

static int signature_set_ctx_params(void *ctx, const OSSL_PARAM params[]) {
        SignatureCtx *c = ctx;

        if (!params || !params->key)
                return 1;
        return shadow_get(c) && EVP_PKEY_CTX_set_params(c->shadow.ctx, params) == 1;
}

static int signature_get_ctx_params(void *ctx, OSSL_PARAM params[]) {
        SignatureCtx *c = ctx;

        return shadow_get(c) && EVP_PKEY_CTX_get_params(c->shadow.ctx, params) == 1;
}

static const OSSL_PARAM *signature_settable_ctx_params(void *ctx, void *provctx) {
        static const OSSL_PARAM params[] = {
                OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PROPERTIES, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_PROPERTIES, NULL, 0),
                OSSL_PARAM_END,
        };

        return params;
}

static const OSSL_PARAM *signature_gettable_ctx_params(void *ctx, void *provctx) {
        static const OSSL_PARAM params[] = {
                OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
                OSSL_PARAM_END,
        };

        return params;
}

/* ---- beginning an operation ---- */

/* Without a key, the last one is used again. */
static int begin(SignatureCtx *c, Operation op, void *provkey) {
        Key *k = provkey ? provkey : c->key;

        if (!k || !key_pkey(k))
                return 0;

        (void) key_ref(k);
        key_unref(c->key);
        c->key = k;
        c->op = op;
        c->remote = key_is_remote(k) && (op == OP_SIGN || op == OP_DIGEST_SIGN);
        c->hash = NULL;
        shadow_drop(&c->shadow);
        return 1;
}

static int init(void *ctx, Operation op, void *provkey, const OSSL_PARAM params[]) {
        SignatureCtx *c = ctx;

        if (!begin(c, op, provkey))
                return 0;
        if (!c->remote && !shadow_get(c))
                return 0;
        return signature_set_ctx_params(c, params);
}

static int signature_sign_init(void *ctx, void *provkey, const OSSL_PARAM params[]) {
        return init(ctx, OP_SIGN, provkey, params);
}

static int signature_verify_init(void *ctx, void *provkey, const OSSL_PARAM params[]) {
        return init(ctx, OP_VERIFY, provkey, params);
}

static int signature_verify_recover_init(void *ctx, void *provkey, const OSSL_PARAM params[]) {
        return init(ctx, OP_VERIFY_RECOVER, provkey, params);
}

static int remote_digest_start(SignatureCtx *c, const char *digest) {
        const char *name = digest && *digest ? digest : c->key->alg->default_hash;
        const EVP_MD *md;
        Error e = {};

        c->hash = provider_hash_by_name(c->prov, name);
        if (!c->hash) {
                error_set_rule(&e, -CSIGN_E_UNSUPPORTED_SCHEME, "hash",
                               "refused: csign does not sign with hash %s", name);
                return core_raise(&c->prov->core, &e);
        }

        md = provider_digest(c->prov, c->hash);
        if (!c->md)
                c->md = EVP_MD_CTX_new();
        return md && c->md && EVP_DigestInit_ex2(c->md, md, NULL) == 1;
}

static int digest_init(void *ctx, Operation op, const char *digest, void *provkey,
                       const OSSL_PARAM params[]) {
        SignatureCtx *c = ctx;

        if (!begin(c, op, provkey))
                return 0;
        if (!(c->remote ? remote_digest_start(c, digest)
                        : start_digest(c, digest && *digest ? digest : NULL)))
                return 0;
        return signature_set_ctx_params(c, params);
}

static int signature_digest_sign_init(void *ctx, const char *digest, void *provkey,
                                      const OSSL_PARAM params[]) {
        return digest_init(ctx, OP_DIGEST_SIGN, digest, provkey, params);
}

static int signature_digest_verify_init(void *ctx, const char *digest, void *provkey,
                                        const OSSL_PARAM params[]) {
        return digest_init(ctx, OP_DIGEST_VERIFY, digest, provkey, params);
}

/* ---- signing ---- */

static int signature_sign(void *ctx, uint8_t *sig, size_t *siglen, size_t sigsize,
                          const uint8_t *tbs, size_t tbslen) {
        _cleanup_(buf_done) Buf signature = BUF_MAX(SIGNATURE_MAX);
        SignatureCtx *c = ctx;
        Error e = {};
        int r;

        if (c->op != OP_SIGN)
                return 0;
        if (!sig)
                return signature_answer_size(c->key, siglen);
        if (!c->remote) {
                *siglen = sigsize;
                return EVP_PKEY_sign(c->shadow.ctx, sig, siglen, tbs, tbslen) == 1;
        }

        r = request_sign_raw(c->key, c->shadow.ctx, tbs, tbslen, &signature, &e);
        return signature_deliver(c->key, r, &signature, &e, sig, siglen, sigsize);
}

static int signature_digest_sign_update(void *ctx, const uint8_t *data, size_t len) {
        SignatureCtx *c = ctx;

        if (c->op != OP_DIGEST_SIGN)
                return 0;
        return c->remote ? EVP_DigestUpdate(c->md, data, len) == 1
                         : EVP_DigestSignUpdate(c->shadow.md, data, len) == 1;
}

static int signature_digest_sign_final(void *ctx, uint8_t *sig, size_t *siglen, size_t sigsize) {
        _cleanup_(buf_done) Buf signature = BUF_MAX(SIGNATURE_MAX);
        uint8_t digest[EVP_MAX_MD_SIZE];
        SignatureCtx *c = ctx;
        unsigned len = 0;
        Error e = {};
        int r;

        if (c->op != OP_DIGEST_SIGN)
                return 0;
        if (!sig)
                return signature_answer_size(c->key, siglen);
        if (!c->remote) {
                *siglen = sigsize;
                return EVP_DigestSignFinal(c->shadow.md, sig, siglen) == 1;
        }

        if (EVP_DigestFinal_ex(c->md, digest, &len) != 1)
                return 0;
        r = request_sign_digest(c->key, c->shadow.ctx, c->hash, digest, len, &signature, &e);
        return signature_deliver(c->key, r, &signature, &e, sig, siglen, sigsize);
}

/* In one call, so that 3.0 need not copy the context; and it can be called again. */
static int signature_digest_sign(void *ctx, uint8_t *sig, size_t *siglen, size_t sigsize,
                                 const uint8_t *tbs, size_t tbslen) {
        SignatureCtx *c = ctx;
        int ok;

        if (!sig)
                return c->op == OP_DIGEST_SIGN && signature_answer_size(c->key, siglen);

        ok = signature_digest_sign_update(c, tbs, tbslen) &&
             signature_digest_sign_final(c, sig, siglen, sigsize);
        if (c->remote && c->md && EVP_DigestInit_ex2(c->md, NULL, NULL) != 1)
                return 0;
        return ok;
}

/* ---- verifying: with the public half, here ---- */

static int signature_verify(void *ctx, const uint8_t *sig, size_t siglen, const uint8_t *tbs,
                            size_t tbslen) {
        SignatureCtx *c = ctx;

        return c->op == OP_VERIFY && EVP_PKEY_verify(c->shadow.ctx, sig, siglen, tbs, tbslen) == 1;
}

static int signature_verify_recover(void *ctx, uint8_t *rout, size_t *routlen, size_t routsize,
                                    const uint8_t *sig, size_t siglen) {
        SignatureCtx *c = ctx;

        *routlen = routsize;
        return c->op == OP_VERIFY_RECOVER &&
               EVP_PKEY_verify_recover(c->shadow.ctx, rout, routlen, sig, siglen) == 1;
}

static int signature_digest_verify_update(void *ctx, const uint8_t *data, size_t len) {
        SignatureCtx *c = ctx;

        return c->op == OP_DIGEST_VERIFY && EVP_DigestVerifyUpdate(c->shadow.md, data, len) == 1;
}

static int signature_digest_verify_final(void *ctx, const uint8_t *sig, size_t siglen) {
        SignatureCtx *c = ctx;

        return c->op == OP_DIGEST_VERIFY && EVP_DigestVerifyFinal(c->shadow.md, sig, siglen) == 1;
}

static int signature_digest_verify(void *ctx, const uint8_t *sig, size_t siglen, const uint8_t *tbs,
                                   size_t tbslen) {
        return signature_digest_verify_update(ctx, tbs, tbslen) &&
               signature_digest_verify_final(ctx, sig, siglen);
}

/* ---- table ---- */

/* 3.0 drops the whole algorithm if one half of a pair is missing. */
#define F(id, function)                                                                            \
        { OSSL_FUNC_SIGNATURE_##id, (void (*)(void)) function }

const OSSL_DISPATCH signature_functions[] = {
        F(NEWCTX, signature_newctx),
        F(FREECTX, signature_freectx),
        F(DUPCTX, signature_dupctx),
        F(SIGN_INIT, signature_sign_init),
        F(SIGN, signature_sign),
        F(VERIFY_INIT, signature_verify_init),
        F(VERIFY, signature_verify),
        F(VERIFY_RECOVER_INIT, signature_verify_recover_init),
        F(VERIFY_RECOVER, signature_verify_recover),
        F(DIGEST_SIGN_INIT, signature_digest_sign_init),
        F(DIGEST_SIGN_UPDATE, signature_digest_sign_update),
        F(DIGEST_SIGN_FINAL, signature_digest_sign_final),
        F(DIGEST_SIGN, signature_digest_sign),
        F(DIGEST_VERIFY_INIT, signature_digest_verify_init),
        F(DIGEST_VERIFY_UPDATE, signature_digest_verify_update),
        F(DIGEST_VERIFY_FINAL, signature_digest_verify_final),
        F(DIGEST_VERIFY, signature_digest_verify),
        F(GET_CTX_PARAMS, signature_get_ctx_params),
        F(GETTABLE_CTX_PARAMS, signature_gettable_ctx_params),
        F(SET_CTX_PARAMS, signature_set_ctx_params),
        F(SETTABLE_CTX_PARAMS, signature_settable_ctx_params),
        { 0, NULL },
};
