/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Small words for the programs of this folder, which stand for applications: they know OpenSSL and
 * nothing of csign but a URI. */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/store.h>

/* Ends at once: what is leaked then is nobody's fault. */
#define CHECK(what)                                                                                \
        do {                                                                                       \
                if (!(what)) {                                                                     \
                        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                 \
                        ERR_print_errors_fp(stderr);                                               \
                        _exit(1);                                                                  \
                }                                                                                  \
        } while (0)

static inline EVP_PKEY *load_key(const char *uri, OSSL_LIB_CTX *libctx) {
        OSSL_STORE_CTX *store = OSSL_STORE_open_ex(uri, libctx, NULL, NULL, NULL, NULL, NULL, NULL);
        EVP_PKEY *key = NULL;

        while (store && !key && !OSSL_STORE_eof(store)) {
                OSSL_STORE_INFO *info = OSSL_STORE_load(store);

                if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
                        key = OSSL_STORE_INFO_get1_PKEY(info);
                OSSL_STORE_INFO_free(info);
        }
        OSSL_STORE_close(store);
        return key;
}

static inline bool sign(EVP_PKEY *key, OSSL_LIB_CTX *libctx, unsigned char *sig, size_t *len) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        bool ok = EVP_DigestSignInit_ex(ctx, NULL, "SHA256", libctx, NULL, key, NULL) == 1 &&
                  EVP_DigestSign(ctx, sig, len, (const unsigned char *) "data", 4) == 1;

        EVP_MD_CTX_free(ctx);
        return ok;
}

static inline bool verify(EVP_PKEY *key, OSSL_LIB_CTX *libctx, const unsigned char *sig,
                          size_t len) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        bool ok = EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", libctx, NULL, key, NULL) == 1 &&
                  EVP_DigestVerify(ctx, sig, len, (const unsigned char *) "data", 4) == 1;

        EVP_MD_CTX_free(ctx);
        return ok;
}

static inline bool sign_and_verify(EVP_PKEY *key, OSSL_LIB_CTX *libctx) {
        unsigned char sig[1024];
        size_t len = sizeof(sig);

        return sign(key, libctx, sig, &len) && verify(key, libctx, sig, len);
}
