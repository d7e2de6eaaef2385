/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One request for a signature: the shape that travels the whole path, from the provider to the key.
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/alg.h"
#include "lib/buf.h"
#include "lib/error.h"

#define DIGEST_MAX     64
#define SIGNATURE_MAX  8192
#define SPKI_HASH_SIZE 32

typedef struct SignRequest {
        const char *key_id; /* "key_…" */
        uint32_t version;   /* of the key, from 1 */
        Scheme scheme;
        const HashAlg *hash;      /* of the digest; hash_none: the digest is the message itself */
        const HashAlg *mgf1_hash; /* RSA-PSS only; NULL: as hash */
        uint32_t salt_len;        /* RSA-PSS only: bytes, resolved by the caller */
        const uint8_t *digest;
        size_t digest_len;
        const uint8_t
                *spki_hash; /* NULL, or SHA-256 of the SubjectPublicKeyInfo that the caller holds */
        const char *request_id;      /* NULL before a daemon was reached */
        const char *idempotency_key; /* "op_…": made once for an operation, however often it is
                                        sent; NULL: the next one on the way makes it */
} SignRequest;

/* Whether a key of this algorithm can do it, and the digest's and salt's lengths fit.  Documented
 * failures: -CSIGN_E_UNSUPPORTED_SCHEME, -CSIGN_E_BAD_DIGEST, -CSIGN_E_BAD_REQUEST.  Every process
 * on the way asks this again: none trusts the one before. */
int sign_request_check(const SignRequest *req, const KeyAlg *alg, Error *e);

/* Checks the signature with the public key (I4).  -CSIGN_E_BAD_SIGNATURE if it is not valid. */
int sign_request_verify(const SignRequest *req, EVP_PKEY *key, const uint8_t *sig, size_t sig_len,
                        Error *e);

/* Sets padding, hash and salt on a ctx that was initialised for sign or verify.  0 or -EIO.  Not
 * for pure schemes, which go by EVP_DigestSign*(), without a digest and with sign_pure_params(). */
int sign_request_apply(const SignRequest *req, EVP_PKEY_CTX *ctx);
const OSSL_PARAM *sign_pure_params(Scheme scheme); /* may be NULL */

/* Whether libcrypto, as it was found at run time, has the key's algorithm at all; ctx NULL: the
 * default one.  -CSIGN_E_UNSUPPORTED_SCHEME (rule library) with the version that it takes. */
int sign_check_library(const KeyAlg *alg, OSSL_LIB_CTX *ctx, Error *e);

/* The largest salt that fits: bits of the modulus, bytes of the hash. */
uint32_t pss_salt_max(unsigned bits, size_t hash_size);
