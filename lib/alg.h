/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The algorithms that csign knows: what a key can be, how it can sign, and with which hash. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

/* Numbers are part of the key store's sealed format and protocol: never change one. */
typedef enum Scheme {
        SCHEME_NONE = 0,
        SCHEME_RSA_PKCS1 = 1, /* RSASSA-PKCS1-v1_5 */
        SCHEME_RSA_PSS = 2,   /* RSASSA-PSS */
        SCHEME_ECDSA = 3,     /* DER-encoded Ecdsa-Sig-Value */
        SCHEME_ED25519 = 4,   /* RFC 8032, pure: over the whole message */
        SCHEME_ML_DSA_44 = 5, /* FIPS 204, pure: over mu, which stands for the message */
        SCHEME_ML_DSA_65 = 6,
        SCHEME_ML_DSA_87 = 7,
        SCHEME_END_
} Scheme;

#define SCHEME_BIT(s) (1u << (s))

typedef struct HashAlg {
        const char *name;  /* "SHA256": OpenSSL's name, and csign's on every wire */
        const char *alias; /* "SHA2-256": the other name that OpenSSL passes */
        uint16_t id;       /* stable number for the key store protocol */
        size_t size;       /* bytes of a digest */
} HashAlg;

/* What takes a hash's place where the scheme hashes for itself.  They have names and numbers on
 * every wire, but belong to their schemes alone: hash_alg_by_name() does not know them. */
extern const HashAlg hash_none; /* "none": the message itself, of any size */
extern const HashAlg hash_mu;   /* "mu": FIPS 204's representative of message, context and key */

typedef struct KeyAlg {
        const char *name;      /* "P-256", "RSA-3072": csign's name on every wire */
        const char *ossl_type; /* "EC", "RSA": OpenSSL's keymgmt name */
        const char *group;     /* "P-256" or NULL */
        unsigned bits;         /* modulus or field size; 0: the type alone says it */
        unsigned schemes;      /* mask of SCHEME_BIT() */
        const char *default_hash;
        size_t signature_max; /* bytes, the largest that can occur */
        uint16_t id;          /* stable number for the sealed format */
} KeyAlg;

const KeyAlg *key_alg_by_name(const char *name); /* NULL if unknown; case does not matter */
const KeyAlg *key_alg_by_id(uint16_t id);
const KeyAlg *key_alg_at(size_t i);                  /* NULL past the last */
const KeyAlg *key_alg_of_pkey(const EVP_PKEY *pkey); /* NULL if csign has no such algorithm */

const HashAlg *hash_alg_by_name(
        const char *name); /* either name, case does not matter; NULL if unknown */
const HashAlg *hash_alg_by_id(uint16_t id);
const HashAlg *hash_alg_at(size_t i);

const char *scheme_name(Scheme s);       /* "rsa-pkcs1", "rsa-pss", "ecdsa", ... */
Scheme scheme_by_name(const char *name); /* SCHEME_NONE if unknown */
Scheme scheme_by_id(unsigned id);        /* SCHEME_NONE if unknown */
Scheme scheme_of_key(const KeyAlg *alg); /* the first that it can do */

/* The only hash that a pure scheme goes with; NULL: any of those above. */
const HashAlg *scheme_own_hash(Scheme s);

/* A hash that goes with the scheme; NULL if that is none. */
const HashAlg *scheme_hash_by_name(Scheme s, const char *name);
const HashAlg *scheme_hash_by_id(Scheme s, uint16_t id);
