/* SPDX-License-Identifier: Apache-2.0 */

/* What `openssl pkey -text` shows of a key: where the private half is, and the public half.  There
 * are no other encoders: public keys are written by `default`, and nothing may look like a private
 * key that is not one. */

#include <openssl/core_names.h>

#include "lib/ossl.h"
#include "provider/key.h"

static void *encoder_newctx(void *provctx) {
        return provctx;
}

static void encoder_freectx(void *ctx) {
}

static int print_remote(BIO *out, const Key *k) {
        return BIO_printf(out,
                          "Private-Key: held by a csign service\n    name: %s\n    id: %s\n    "
                          "version: %u\n",
                          k->name, k->id, k->version) > 0 &&
               EVP_PKEY_print_public(out, k->pkey, 0, NULL) == 1;
}

static int print_local(BIO *out, const Key *k, int selection) {
        if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
                return EVP_PKEY_print_private(out, k->pkey, 0, NULL) == 1;
        if (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY)
                return EVP_PKEY_print_public(out, k->pkey, 0, NULL) == 1;
        return EVP_PKEY_print_params(out, k->pkey, 0, NULL) == 1;
}

static int encoder_encode(void *ctx, OSSL_CORE_BIO *cout, const void *key,
                          const OSSL_PARAM abstract[], int selection, OSSL_PASSPHRASE_CALLBACK *cb,
                          void *cbarg) {
        _cleanup_(BIO_free_allp) BIO *out = NULL;
        const Provider *p = ctx;
        const Key *k = key;

        if (!k || !k->pkey)
                return 0;

        out = BIO_new_from_core_bio(p->libctx, cout);
        if (!out)
                return 0;
        if (key_is_remote(k) && (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY))
                return print_remote(out, k);
        return print_local(out, k, selection);
}

#define F(id, function)                                                                            \
        { OSSL_FUNC_ENCODER_##id, (void (*)(void)) function }

const OSSL_DISPATCH encoder_text_functions[] = {
        F(NEWCTX, encoder_newctx),
        F(FREECTX, encoder_freectx),
        F(ENCODE, encoder_encode),
        { 0, NULL },
};
