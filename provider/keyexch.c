/* SPDX-License-Identifier: Apache-2.0 */

/* ECDH by the application's own keys, where libcrypto has put us in front of `default`, which does
 * it: see keymgmt-local.h.  Without, each new key would have to be exported and imported first,
 * which costs a fifth of what a TLS handshake's key share takes. */

#include <stdlib.h>

#include <openssl/core_names.h>

#include "lib/macro.h"
#include "provider/key.h"

typedef struct ExchangeCtx {
        Provider *prov;
        const DefaultKeyexch *def;
        void *ctx; /* of default */
} ExchangeCtx;

/* Takes ctx over, which may be NULL for out of memory. */
static ExchangeCtx *exchange_new(Provider *p, const DefaultKeyexch *def, void *ctx) {
        ExchangeCtx *c;

        c = ctx ? malloc(sizeof(*c)) : NULL;
        if (!c) {
                if (ctx)
                        def->freectx(ctx);
                return NULL;
        }

        *c = (ExchangeCtx){ .prov = p, .def = def, .ctx = ctx };
        return c;
}

static void *keyexch_newctx(void *provctx) {
        const DefaultKeyexch *def = default_ecdh(provctx);

        return def ? exchange_new(provctx, def, def->newctx(def->provctx)) : NULL;
}

static void keyexch_freectx(void *ctx) {
        ExchangeCtx *c = ctx;

        if (!c)
                return;
        c->def->freectx(c->ctx);
        free(c);
}

static void *keyexch_dupctx(void *ctx) {
        const ExchangeCtx *c = ctx;

        return exchange_new(c->prov, c->def, c->def->dupctx(c->ctx));
}

static int keyexch_set_ctx_params(void *ctx, const OSSL_PARAM params[]) {
        const ExchangeCtx *c = ctx;

        return c->def->set_ctx_params(c->ctx, params);
}

static int keyexch_get_ctx_params(void *ctx, OSSL_PARAM params[]) {
        const ExchangeCtx *c = ctx;

        return c->def->get_ctx_params(c->ctx, params);
}

static int keyexch_init(void *ctx, void *provkey, const OSSL_PARAM params[]) {
        const ExchangeCtx *c = ctx;
        const Key *k = provkey;
        Error e = {};

        if (key_is_remote(k)) {
                error_set_rule(&e, -CSIGN_E_NOT_PERMITTED, "private-key",
                               "refused: the key '%s' signs, and does nothing else", k->name);
                return core_raise(&c->prov->core, &e);
        }
        return c->def->init(c->ctx, k->data, params);
}

static int keyexch_set_peer(void *ctx, void *provkey) {
        const ExchangeCtx *c = ctx;
        const Key *k = provkey;

        return c->def->set_peer(c->ctx, k->data);
}

static int keyexch_derive(void *ctx, uint8_t *secret, size_t *len, size_t size) {
        const ExchangeCtx *c = ctx;

        return c->def->derive(c->ctx, secret, len, size);
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
