/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Keys that were unsealed and decoded, kept so that a signature pays for neither (0.4 ms for
 * P-256). All functions may be called from any thread. */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "lib/error.h"
#include "lib/id.h"
#include "service/keystore/seal.h"

typedef struct OpenedKey {
        uint64_t serial; /* never given twice */
        SealInfo info;
        EVP_PKEY *pkey;

        atomic_bool forgotten; /* it is to be kept no longer than one signature takes */

        /* The rest is the cache's own. */
        unsigned refs;
        char key_id[ID_MAX];
        uint32_t version;
        Buf sealed; /* the blob it came from: a hit must bring the very same */
        struct OpenedKey *next_in_bucket, *newer, *older;
} OpenedKey;

/* Takes a reference on pkey. */
int opened_key_new(OpenedKey **ret, const char *key_id, uint32_t version, const void *sealed,
                   size_t sealed_len, const SealInfo *info, EVP_PKEY *pkey);
OpenedKey *opened_key_ref(OpenedKey *k);
void opened_key_unref(OpenedKey *k);
DEFINE_CLEANUP(OpenedKey, opened_key_unref)

typedef struct OpenedCache OpenedCache;

int opened_cache_new(OpenedCache **ret, size_t max);
void opened_cache_free(OpenedCache *c);
DEFINE_CLEANUP(OpenedCache, opened_cache_free)

/* A reference, or NULL. */
OpenedKey *opened_cache_find(OpenedCache *c, const char *key_id, uint32_t version,
                             const void *sealed, size_t sealed_len);

/* Takes a reference.  In place of what it had for the same key and version; when it is full, the
 * key that was used longest ago goes. */
void opened_cache_add(OpenedCache *c, OpenedKey *k);

/* Drops all versions of a key, or all keys (NULL), and marks them as forgotten. */
void opened_cache_forget(OpenedCache *c, const char *key_id);
