/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 for tokens, thumbprints and the audit chain. */

#include "service/digest.h"

#include <pthread.h>
#include <stdlib.h>

#include <openssl/evp.h>

static EVP_MD *md;
static pthread_key_t contexts;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void free_context(void *ctx) {
        EVP_MD_CTX_free(ctx);
}

static void set_up(void) {
        md = EVP_MD_fetch(NULL, "SHA256", NULL);
        if (!md || pthread_key_create(&contexts, free_context) != 0)
                abort();
}

/* There is no meaningful way on without a hash: a process that cannot get one ends. */
static EVP_MD_CTX *context(void) {
        EVP_MD_CTX *ctx;

        pthread_once(&once, set_up);
        ctx = pthread_getspecific(contexts);
        if (ctx)
                return ctx;

        ctx = EVP_MD_CTX_new();
        if (!ctx || pthread_setspecific(contexts, ctx) != 0)
                abort();
        return ctx;
}

void sha256_2(const void *a, size_t a_len, const void *b, size_t b_len,
              uint8_t ret[static SHA256_SIZE]) {
        EVP_MD_CTX *ctx = context();

        if (EVP_DigestInit_ex2(ctx, md, NULL) != 1 || EVP_DigestUpdate(ctx, a, a_len) != 1 ||
            EVP_DigestUpdate(ctx, b, b_len) != 1 || EVP_DigestFinal_ex(ctx, ret, NULL) != 1)
                abort();
}

void sha256(const void *data, size_t len, uint8_t ret[static SHA256_SIZE]) {
        sha256_2(data, len, NULL, 0, ret);
}
