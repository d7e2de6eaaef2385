/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mu of FIPS 204 (ML-DSA): what stands for message, context and key in a signature.
 *
 *     mu = SHAKE256(SHAKE256(public key, 64) || 0 || length of context || context || message, 64)
 */

#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#define MU_SIZE        64
#define MU_CONTEXT_MAX 255

/* Update it with the message, then EVP_DigestFinalXOF() for MU_SIZE bytes.  NULL: libcrypto fails.
 */
EVP_MD_CTX *mu_begin(OSSL_LIB_CTX *libctx, const EVP_PKEY *key, const uint8_t *context,
                     size_t context_len);
