/* SPDX-License-Identifier: Apache-2.0 */

/* What `openssl pkey` writes of a key: as text, where the private half is; as PEM, a reference to
 * it where a private key would be.  There are no other encoders: public keys are written by
 * `default`, and nothing may look like a private key that is not one. */

#include "provider/key.h"

#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/encoder.h>
#include <openssl/params.h>

#include "lib/ossl.h"

DEFINE_CLEANUP(OSSL_ENCODER_CTX, OSSL_ENCODER_CTX_free)

typedef struct EncoderCtx {
        Provider *prov;
        OSSL_PARAM *params; /* how to encrypt, or NULL */
} EncoderCtx;

static void *encoder_newctx(void *provctx) {
        EncoderCtx *c;

        c = malloc(sizeof(*c));
        if (!c)
                return NULL;

        *c = (EncoderCtx){ .prov = provctx };
        return c;
}

static void encoder_freectx(void *ctx) {
        EncoderCtx *c = ctx;

        if (!c)
                return;
        OSSL_PARAM_free(c->params);
        free(c);
}

/* ---- settings ---- */

static const OSSL_PARAM *encoder_settable_ctx_params(void *provctx) {
        static const OSSL_PARAM params[] = {
                OSSL_PARAM_utf8_string(OSSL_ENCODER_PARAM_CIPHER, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_ENCODER_PARAM_PROPERTIES, NULL, 0),
                OSSL_PARAM_END,
        };

        return params;
}

/* A reference is written in the clear, whatever is set: it has nothing to hide. */
static int encoder_set_ctx_params(void *ctx, const OSSL_PARAM params[]) {
        EncoderCtx *c = ctx;
        OSSL_PARAM *both, *copy;

        if (!params || !params->key)
                return 1;

        both = OSSL_PARAM_merge(c->params, params);
        copy = both ? OSSL_PARAM_dup(both) : NULL;
        OPENSSL_free(both); /* the values are still its parents' */
        if (!copy)
                return 0;

        OSSL_PARAM_free(c->params);
        c->params = copy;
        return 1;
}

/* ---- text ---- */

static int print_remote(BIO *out, const Key *k) {
        return BIO_printf(out,
                          "Private-Key: held by a csign service\n    name: %s\n    id: %s\n    "
                          "version: %u\n",
                          k->name, k->id, k->version) > 0 &&
               EVP_PKEY_print_public(out, key_pkey(k), 0, NULL) == 1;
}

static int print_local(BIO *out, const Key *k, int selection) {
        if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
                return EVP_PKEY_print_private(out, key_pkey(k), 0, NULL) == 1;
        if (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY)
                return EVP_PKEY_print_public(out, key_pkey(k), 0, NULL) == 1;
        return EVP_PKEY_print_params(out, key_pkey(k), 0, NULL) == 1;
}

static int encode_text(void *ctx, OSSL_CORE_BIO *cout, const void *key, const OSSL_PARAM abstract[],
                       int selection, OSSL_PASSPHRASE_CALLBACK *cb, void *cbarg) {
        _cleanup_(BIO_free_allp) BIO *out = NULL;
        const EncoderCtx *c = ctx;
        const Key *k = key;

        if (!k || !key_pkey(k))
                return 0;

        out = BIO_new_from_core_bio(c->prov->libctx, cout);
        if (!out)
                return 0;
        if (key_is_remote(k) && (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY))
                return print_remote(out, k);
        return print_local(out, k, selection);
}

/* ---- PEM, where a private key is asked for ---- */

static int pem_does_selection(void *provctx, int selection) {
        return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

static int write_reference(const EncoderCtx *c, BIO *out, const Key *k) {
        _cleanup_(key_reference_done) KeyReference ref = {};
        _cleanup_(buf_done) Buf pem = {};
        Error e = {};

        if (key_refer(k, &ref, &e) < 0 || key_reference_encode_pem(&ref, &pem, &e) < 0)
                return core_raise(&c->prov->core, &e);
        return BIO_write(out, pem.data, (int) pem.len) == (int) pem.len;
}

/* The application's own key: `default` writes it. */
static int write_local(const EncoderCtx *c, BIO *out, const Key *k, int selection,
                       OSSL_PASSPHRASE_CALLBACK *cb, void *cbarg) {
        _cleanup_(OSSL_ENCODER_CTX_freep) OSSL_ENCODER_CTX *e = NULL;

        e = OSSL_ENCODER_CTX_new_for_pkey(key_pkey(k), selection, "PEM", "PrivateKeyInfo", NULL);
        if (!e || (c->params && OSSL_ENCODER_CTX_set_params(e, c->params) != 1))
                return 0;
        if (cb && OSSL_ENCODER_CTX_set_passphrase_cb(e, cb, cbarg) != 1)
                return 0;
        return OSSL_ENCODER_to_bio(e, out) == 1;
}

static int encode_pem(void *ctx, OSSL_CORE_BIO *cout, const void *key, const OSSL_PARAM abstract[],
                      int selection, OSSL_PASSPHRASE_CALLBACK *cb, void *cbarg) {
        _cleanup_(BIO_free_allp) BIO *out = NULL;
        const EncoderCtx *c = ctx;
        const Key *k = key;

        if (!k || !key_pkey(k))
                return 0;

        out = BIO_new_from_core_bio(c->prov->libctx, cout);
        if (!out)
                return 0;
        return key_is_remote(k) ? write_reference(c, out, k)
                                : write_local(c, out, k, selection, cb, cbarg);
}

/* ---- tables ---- */

#define F(id, function)                                                                            \
        { OSSL_FUNC_ENCODER_##id, (void (*)(void)) function }

const OSSL_DISPATCH encoder_text_functions[] = {
        F(NEWCTX, encoder_newctx),
        F(FREECTX, encoder_freectx),
        F(ENCODE, encode_text),
        { 0, NULL },
};

const OSSL_DISPATCH encoder_pem_functions[] = {
        F(NEWCTX, encoder_newctx),
        F(FREECTX, encoder_freectx),
        F(SETTABLE_CTX_PARAMS, encoder_settable_ctx_params),
        F(SET_CTX_PARAMS, encoder_set_ctx_params),
        F(DOES_SELECTION, pem_does_selection),
        F(ENCODE, encode_pem),
        { 0, NULL },
};
