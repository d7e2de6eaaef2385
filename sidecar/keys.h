/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the sidecar knows of keys: descriptions that are fresh for a few seconds, and public halves
 * that are decoded once and kept for good, because a version of a key never gets another one. */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "lib/alg.h"
#include "lib/buf.h"
#include "lib/error.h"
#include "lib/id.h"
#include "lib/key-uri.h"
#include "lib/sign.h"

#define KEY_CERTIFICATES_MAX 8
#define KEY_FRESH_USEC                                                                             \
        ((uint64_t) 4 * 1000 * 1000) /* what GetKey() tells: a rotation is known within 5 s */
#define KEY_PATH_FRESH_USEC                                                                        \
        ((uint64_t) 60 * 1000 * 1000) /* under what name Sign() asks the policy */

/* One version of a key.  Does not change once it is in the cache. */
typedef struct Key {
        atomic_uint n_ref;
        char id[ID_MAX];
        char path[PATH_MAX_LEN];
        uint32_t version;
        const KeyAlg *alg;
        char state[24];
        Buf spki;
        uint8_t spki_hash[SPKI_HASH_SIZE];
        EVP_PKEY *public_key; /* NULL in listings */
        Buf certificates[KEY_CERTIFICATES_MAX];
        size_t n_certificates;
} Key;

Key *key_new(void); /* NULL: out of memory */
Key *key_ref(Key *k);
void key_unref(Key *k);
DEFINE_CLEANUP(Key, key_unref)

/* Any thread may call all of these. */
typedef struct KeyCache KeyCache;

int key_cache_new(KeyCache **ret, Error *e);
void key_cache_free(KeyCache *c);
DEFINE_CLEANUP(KeyCache, key_cache_free)

/* A reference to one that is not older than max_age, or NULL. */
Key *key_cache_by_id(KeyCache *c, const char *id, uint32_t version, uint64_t max_age);
Key *key_cache_by_path(KeyCache *c, const char *path, uint32_t version, uint64_t max_age);

/* Decodes the public half, unless it is known, and keeps the key under its id and its path; asked:
 * the version that was asked for, maybe 0.  -CSIGN_E_BAD_ANSWER: it is no key, not of the algorithm
 * that the service names, or another than this version had before. */
int key_cache_put(KeyCache *c, Key *k, uint32_t asked, Error *e);
