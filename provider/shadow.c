/* SPDX-License-Identifier: Apache-2.0 */

/* Contexts beside contexts: see shadow.h. */

#include "provider/shadow.h"

#include <string.h>

#include "lib/ossl.h"

void shadow_drop(Shadow *s) {
        if (s->md)
                EVP_MD_CTX_free(s->md);
        else
                EVP_PKEY_CTX_free(s->ctx);
        *s = (Shadow){};
}

EVP_MD_CTX *md_ctx_dup(const EVP_MD_CTX *from) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *to = EVP_MD_CTX_new();

        return to && EVP_MD_CTX_copy_ex(to, from) == 1 ? TAKE(to) : NULL;
}

bool shadow_dup(Shadow *to, const Shadow *from) {
        *to = (Shadow){};
        if (from->md) {
                to->md = md_ctx_dup(from->md);
                to->ctx = to->md ? EVP_MD_CTX_get_pkey_ctx(to->md) : NULL;
        } else if (from->ctx)
                to->ctx = EVP_PKEY_CTX_dup(from->ctx);
        return !from->ctx || to->ctx;
}

int shadow_start_digest(Shadow *s, const Key *k, bool sign, const char *digest,
                        const OSSL_PARAM params[]) {
        OSSL_LIB_CTX *libctx = k->prov->libctx;
        EVP_PKEY *pkey = key_pkey(k);

        shadow_drop(s);
        s->md = EVP_MD_CTX_new();
        if (s->md &&
            (sign ? EVP_DigestSignInit_ex(s->md, &s->ctx, digest, libctx, NULL, pkey, params)
                  : EVP_DigestVerifyInit_ex(s->md, &s->ctx, digest, libctx, NULL, pkey, params)) ==
                    1)
                return 1;
        shadow_drop(s);
        return 0;
}

int signature_deliver(const Key *k, int r, const Buf *signature, Error *e, uint8_t *sig,
                      size_t *siglen, size_t sigsize) {
        if (r >= 0 && signature->len > sigsize)
                r = error_set(e, -CSIGN_E_BAD_REQUEST,
                              "a buffer of %zu bytes is too small for a signature of %zu", sigsize,
                              signature->len);
        if (r < 0)
                return core_raise(&k->prov->core, e);

        memcpy(sig, signature->data, signature->len);
        *siglen = signature->len;
        return 1;
}

int signature_answer_size(const Key *k, size_t *siglen) {
        *siglen = (size_t) EVP_PKEY_get_size(key_pkey(k));
        return 1;
}
