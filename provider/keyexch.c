/* SPDX-License-Identifier: Apache-2.0 */

/* ECDH by the application's own keys, where libcrypto has put us in front of `default`: as in
 * keymgmt-local.h, `default` does it.  It is here only for speed: each new key would have to be
 * exported and imported first, which costs a fifth of what a TLS handshake's key share takes. */

#include <stdlib.h>

#include <openssl/core_names.h>

#include "lib/ossl.h"
#include "provider/key.h"

typedef struct ExchangeCtx {
        Provider *prov;
        EVP_PKEY_CTX *ctx; /* in the private context, or NULL */
} ExchangeCtx;

static void *keyexch_newctx(void *provctx) {
        ExchangeCtx *c;

        c = malloc(sizeof(*c));
        if (!c)
                return NULL;

        *c = (ExchangeCtx){ .prov = provctx };
        return c;
}

static void keyexch_freectx(void *ctx) {
        ExchangeCtx *c = ctx;

        if (!c)
                return;
        EVP_PKEY_CTX_free(c->ctx);
        free(c);
}
DEFINE_CLEANUP(ExchangeCtx, keyexch_freectx)

static void *keyexch_dupctx(void *ctx) {
        const ExchangeCtx *from = ctx;
        _cleanup_(keyexch_freectxp) ExchangeCtx *to = keyexch_newctx(from->prov);

        if (!to)
                return NULL;
        if (from->ctx) {
                to->ctx = EVP_PKEY_CTX_dup(from->ctx);
                if (!to->ctx)
                        return NULL;
        }
        return TAKE(to);
}

static int keyexch_set_ctx_params(void *ctx, const OSSL_PARAM params[]) {
        ExchangeCtx *c = ctx;

        if (!params || !params->key)
                return 1;
        return c->ctx && EVP_PKEY_CTX_set_params(c->ctx, params) == 1;
}

static int keyexch_get_ctx_params(void *ctx, OSSL_PARAM params[]) {
        ExchangeCtx *c = ctx;

        return c->ctx && EVP_PKEY_CTX_get_params(c->ctx, params) == 1;
}

static int keyexch_init(void *ctx, void *provkey, const OSSL_PARAM params[]) {
        ExchangeCtx *c = ctx;
        const Key *k = provkey;
        Error e = {};

        if (key_is_remote(k)) {
                error_set_rule(&e, -CSIGN_E_NOT_PERMITTED, "private-key",
                               "refused: the key '%s' signs, and does nothing else", k->name);
                return core_raise(&c->prov->core, &e);
        }
        if (!k->pkey)
                return 0;

        EVP_PKEY_CTX_free(c->ctx);
        c->ctx = EVP_PKEY_CTX_new_from_pkey(c->prov->libctx, k->pkey, NULL);
        return c->ctx && EVP_PKEY_derive_init(c->ctx) == 1 && keyexch_set_ctx_params(c, params);
}

/* libcrypto has checked it, if that was asked for. */
static int keyexch_set_peer(void *ctx, void *provkey) {
        ExchangeCtx *c = ctx;
        const Key *k = provkey;

        return c->ctx && k->pkey && EVP_PKEY_derive_set_peer_ex(c->ctx, k->pkey, 0) == 1;
}

static int keyexch_derive(void *ctx, uint8_t *secret, size_t *len, size_t size) {
        ExchangeCtx *c = ctx;

        *len = size;
        return c->ctx && EVP_PKEY_derive(c->ctx, secret, len) == 1;
}

static const OSSL_PARAM *keyexch_settable_ctx_params(void *ctx, void *provctx) {
        static const OSSL_PARAM params[] = {
                OSSL_PARAM_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, NULL),
                OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST_PROPS, NULL, 0),
                OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
                OSSL_PARAM_octet_string(OSSL_EXCHANGE_PARAM_KDF_UKM, NULL, 0),
                OSSL_PARAM_END,
        };

        return params;
}

static const OSSL_PARAM *keyexch_gettable_ctx_params(void *ctx, void *provctx) {
        static const OSSL_PARAM params[] = {
                OSSL_PARAM_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, NULL),
                OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
                OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
                OSSL_PARAM_octet_ptr(OSSL_EXCHANGE_PARAM_KDF_UKM, NULL, 0),
                OSSL_PARAM_END,
        };

        return params;
}

#define F(id, function)                                                                            \
        { OSSL_FUNC_KEYEXCH_##id, (void (*)(void)) function }

const OSSL_DISPATCH keyexch_functions[] = {
        F(NEWCTX, keyexch_newctx),
        F(FREECTX, keyexch_freectx),
        F(DUPCTX, keyexch_dupctx),
        F(INIT, keyexch_init),
        F(SET_PEER, keyexch_set_peer),
        F(DERIVE, keyexch_derive),
        F(SETTABLE_CTX_PARAMS, keyexch_settable_ctx_params),
        F(SET_CTX_PARAMS, keyexch_set_ctx_params),
        F(GETTABLE_CTX_PARAMS, keyexch_gettable_ctx_params),
        F(GET_CTX_PARAMS, keyexch_get_ctx_params),
        { 0, NULL },
};
