/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning of mu: all but the message. */

#include "lib/mu.h"

#include <openssl/core_names.h>

#include "lib/ossl.h"

#define PUBLIC_KEY_MAX 2592 /* ML-DSA-87 */

EVP_MD_CTX *mu_begin(OSSL_LIB_CTX *libctx, const EVP_PKEY *key, const uint8_t *context,
                     size_t context_len) {
        _cleanup_(EVP_MD_freep) EVP_MD *shake = EVP_MD_fetch(libctx, "SHAKE256", NULL);
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();
        uint8_t public_key[PUBLIC_KEY_MAX], key_hash[MU_SIZE];
        const uint8_t prefix[] = { 0, (uint8_t) context_len };
        size_t len = 0;

        if (!shake || !c || context_len > MU_CONTEXT_MAX ||
            EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, public_key,
                                            sizeof(public_key), &len) != 1)
                return NULL;

        if (EVP_DigestInit_ex2(c, shake, NULL) != 1 || EVP_DigestUpdate(c, public_key, len) != 1 ||
            EVP_DigestFinalXOF(c, key_hash, sizeof(key_hash)) != 1)
                return NULL;
        if (EVP_DigestInit_ex2(c, shake, NULL) != 1 ||
            EVP_DigestUpdate(c, key_hash, sizeof(key_hash)) != 1 ||
            EVP_DigestUpdate(c, prefix, sizeof(prefix)) != 1 ||
            EVP_DigestUpdate(c, context, context_len) != 1)
                return NULL;
        return TAKE(c);
}
