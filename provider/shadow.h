/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What both kinds of signatures share.
 *
 * Beside each operation goes a shadow: a context of the same key in our private library context.
 * For a remote key's signature it is one that verifies with the public half; all else is done by
 * the shadow alone. */

#include "provider/key.h"

typedef struct Shadow {
        EVP_MD_CTX *md;    /* of a digest operation: owns ctx */
        EVP_PKEY_CTX *ctx; /* NULL: there is none yet */
} Shadow;

void shadow_drop(Shadow *s);

/* False: out of memory. */
bool shadow_dup(Shadow *to, const Shadow *from);

/* Begins a digest operation, for signing or else verifying; 1 or 0, and then there is none. */
int shadow_start_digest(Shadow *s, const Key *k, bool sign, const char *digest,
                        const OSSL_PARAM params[]);

/* NULL: out of memory. */
EVP_MD_CTX *md_ctx_dup(const EVP_MD_CTX *from);

/* Gives a signature to the application, or the one line that says why there is none. */
int signature_deliver(const Key *k, int r, const Buf *signature, Error *e, uint8_t *sig,
                      size_t *siglen, size_t sigsize);

/* Applications ask for the size first; nobody else need be asked. */
int signature_answer_size(const Key *k, size_t *siglen);
