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
#define ED_SCHEMES  SCHEME_BIT(SCHEME_ED25519)

/* clang-format off */
static const KeyAlg key_algs[] = {
        /* name         type         group    bits  schemes                       default    max  id */
        { "P-256",     "EC",        "P-256",  256, EC_SCHEMES,                   "SHA256",   72,  1 },
        { "P-384",     "EC",        "P-384",  384, EC_SCHEMES,                   "SHA384",  104,  2 },
        { "P-521",     "EC",        "P-521",  521, EC_SCHEMES,                   "SHA512",  139,  3 },
        { "RSA-2048",  "RSA",       NULL,    2048, RSA_SCHEMES,                  "SHA256",  256, 16 },
        { "RSA-3072",  "RSA",       NULL,    3072, RSA_SCHEMES,                  "SHA256",  384, 17 },
        { "RSA-4096",  "RSA",       NULL,    4096, RSA_SCHEMES,                  "SHA256",  512, 18 },
        { "Ed25519",   "ED25519",   NULL,       0, ED_SCHEMES,                   "none",     64, 32 },
        { "ML-DSA-44", "ML-DSA-44", NULL,       0, SCHEME_BIT(SCHEME_ML_DSA_44), "mu",     2420, 48 },
        { "ML-DSA-65", "ML-DSA-65", NULL,       0, SCHEME_BIT(SCHEME_ML_DSA_65), "mu",     3309, 49 },
        { "ML-DSA-87", "ML-DSA-87", NULL,       0, SCHEME_BIT(SCHEME_ML_DSA_87), "mu",     4627, 50 },
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

const HashAlg hash_none = { "none", "none", 32, 0 };
const HashAlg hash_mu = { "mu", "mu", 33, 64 };

static const struct {
        const char *name;
        const HashAlg *own_hash;
} schemes[SCHEME_END_] = {
        [SCHEME_NONE]      = { "none",      NULL },
        [SCHEME_RSA_PKCS1] = { "rsa-pkcs1", NULL },
        [SCHEME_RSA_PSS]   = { "rsa-pss",   NULL },
        [SCHEME_ECDSA]     = { "ecdsa",     NULL },
        [SCHEME_ED25519]   = { "ed25519",   &hash_none },
        [SCHEME_ML_DSA_44] = { "ml-dsa-44", &hash_mu },
        [SCHEME_ML_DSA_65] = { "ml-dsa-65", &hash_mu },
        [SCHEME_ML_DSA_87] = { "ml-dsa-87", &hash_mu },
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
                             : a->bits == 0 || (unsigned) EVP_PKEY_get_bits(pkey) == a->bits)
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
        return schemes[(size_t) s < ELEMENTSOF(schemes) ? s : SCHEME_NONE].name;
}

Scheme scheme_by_name(const char *name) {
        for (size_t i = 1; name && i < ELEMENTSOF(schemes); i++)
                if (strcmp(schemes[i].name, name) == 0)
                        return (Scheme) i;
        return SCHEME_NONE;
}

Scheme scheme_by_id(unsigned id) {
        return id < SCHEME_END_ ? (Scheme) id : SCHEME_NONE;
}

Scheme scheme_of_key(const KeyAlg *alg) {
        Scheme s = SCHEME_NONE;

        while (s < SCHEME_END_ && !(alg->schemes & SCHEME_BIT(s)))
                s++;
        return scheme_by_id(s);
}

const HashAlg *scheme_own_hash(Scheme s) {
        return (size_t) s < ELEMENTSOF(schemes) ? schemes[s].own_hash : NULL;
}

const HashAlg *scheme_hash_by_name(Scheme s, const char *name) {
        const HashAlg *own = scheme_own_hash(s);

        if (!own)
                return hash_alg_by_name(name);
        return name && strcmp(own->name, name) == 0 ? own : NULL;
}

const HashAlg *scheme_hash_by_id(Scheme s, uint16_t id) {
        const HashAlg *own = scheme_own_hash(s);

        if (!own)
                return hash_alg_by_id(id);
        return own->id == id ? own : NULL;
}
