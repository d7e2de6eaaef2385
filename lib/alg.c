/* SPDX-License-Identifier: Apache-2.0 */
/* The algorithm tables. */

#include "lib/alg.h"

#include <string.h>
#include <strings.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "lib/macro.h"

#define RSA_SCHEMES (SCHEME_BIT(SCHEME_RSA_PKCS1) | SCHEME_BIT(SCHEME_RSA_PSS))
#define EC_SCHEMES  SCHEME_BIT(SCHEME_ECDSA)

/* clang-format off */
static const KeyAlg key_algs[] = {
        /* name        type   group    bits  schemes      default   max   id */
        { "P-256",    "EC",  "P-256",   256, EC_SCHEMES,  "SHA256",   72,  1 },
        { "P-384",    "EC",  "P-384",   384, EC_SCHEMES,  "SHA384",  104,  2 },
        { "P-521",    "EC",  "P-521",   521, EC_SCHEMES,  "SHA512",  139,  3 },
        { "RSA-2048", "RSA", NULL,     2048, RSA_SCHEMES, "SHA256",  256, 16 },
        { "RSA-3072", "RSA", NULL,     3072, RSA_SCHEMES, "SHA256",  384, 17 },
        { "RSA-4096", "RSA", NULL,     4096, RSA_SCHEMES, "SHA256",  512, 18 },
};

static const HashAlg hash_algs[] = {
        { "SHA224",   "SHA2-224", 1, 28 },
        { "SHA256",   "SHA2-256", 2, 32 },
        { "SHA384",   "SHA2-384", 3, 48 },
        { "SHA512",   "SHA2-512", 4, 64 },
        { "SHA3-256", "SHA3-256", 5, 32 },
        { "SHA3-384", "SHA3-384", 6, 48 },
        { "SHA3-512", "SHA3-512", 7, 64 },
};

static const char *const scheme_names[] = {
        [SCHEME_RSA_PKCS1] = "rsa-pkcs1",
        [SCHEME_RSA_PSS] = "rsa-pss",
        [SCHEME_ECDSA] = "ecdsa",
};
/* clang-format on */

const KeyAlg *key_alg_at(size_t i) {
        return i < ELEMENTSOF(key_algs) ? &key_algs[i] : NULL;
}

const KeyAlg *key_alg_by_name(const char *name) {
        for (size_t i = 0; name && i < ELEMENTSOF(key_algs); i++)
                if (strcasecmp(key_algs[i].name, name) == 0)
                        return &key_algs[i];
        return NULL;
}

const KeyAlg *key_alg_by_id(uint16_t id) {
        for (size_t i = 0; i < ELEMENTSOF(key_algs); i++)
                if (key_algs[i].id == id)
                        return &key_algs[i];
        return NULL;
}

/* OpenSSL knows P-256 as "prime256v1" too, and reports either. */
static bool group_is(const char *ours, const char *theirs) {
        static const char *const aliases[][2] = {
                { "P-256", "prime256v1" },
                { "P-384", "secp384r1" },
                { "P-521", "secp521r1" },
        };

        if (strcasecmp(ours, theirs) == 0)
                return true;
        for (size_t i = 0; i < ELEMENTSOF(aliases); i++)
                if (strcmp(aliases[i][0], ours) == 0)
                        return strcasecmp(aliases[i][1], theirs) == 0;
        return false;
}

const KeyAlg *key_alg_of_pkey(const EVP_PKEY *pkey) {
        char group[64] = "";

        (void) EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL);
        for (size_t i = 0; i < ELEMENTSOF(key_algs); i++) {
                const KeyAlg *a = &key_algs[i];

                if (!EVP_PKEY_is_a(pkey, a->ossl_type))
                        continue;
                if (a->group ? group_is(a->group, group)
                             : (unsigned) EVP_PKEY_get_bits(pkey) == a->bits)
                        return a;
        }
        return NULL;
}

const HashAlg *hash_alg_at(size_t i) {
        return i < ELEMENTSOF(hash_algs) ? &hash_algs[i] : NULL;
}

const HashAlg *hash_alg_by_name(const char *name) {
        for (size_t i = 0; name && i < ELEMENTSOF(hash_algs); i++)
                if (strcasecmp(hash_algs[i].name, name) == 0 ||
                    strcasecmp(hash_algs[i].alias, name) == 0)
                        return &hash_algs[i];
        return NULL;
}

const HashAlg *hash_alg_by_id(uint16_t id) {
        for (size_t i = 0; i < ELEMENTSOF(hash_algs); i++)
                if (hash_algs[i].id == id)
                        return &hash_algs[i];
        return NULL;
}

const char *scheme_name(Scheme s) {
        return (size_t) s < ELEMENTSOF(scheme_names) && scheme_names[s] ? scheme_names[s] : "none";
}

Scheme scheme_by_name(const char *name) {
        for (size_t i = 1; name && i < ELEMENTSOF(scheme_names); i++)
                if (strcmp(scheme_names[i], name) == 0)
                        return (Scheme) i;
        return SCHEME_NONE;
}
