/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Signing keys: one version of a key as an immutable, counted, cached object. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/alg.h"
#include "lib/buf.h"
#include "lib/id.h"
#include "lib/key-uri.h"
#include "service/cache.h"
#include "service/db/db.h"
#include "service/tsg.h"

typedef struct Key {
        CacheObject object;
        char id[ID_MAX];
        char tsg[ID_MAX];
        char name[NAME_MAX_LEN + 1];
        char path[PATH_MAX_LEN];
        const KeyAlg *alg;
        bool enabled, version_enabled; /* both, to sign */
        uint32_t version, primary_version;
        uint64_t created, version_created;
        Buf description;
        Buf spki;
        Buf sealed;                 /* opens only in the key store */
        Buf certificate, authority; /* DER; empty: the key has none */
        TsgChain above;             /* its TSG, and those above */
        uint64_t revision; /* of the key, with all that belongs to it: versions, certificates */
} Key;

static inline void key_unref(Key *k) {
        if (k)
                cache_object_unref(&k->object);
}
DEFINE_CLEANUP(Key, key_unref)

typedef struct KeyStorage {
        Db *db;
        Cache *cache;
} KeyStorage;

/* A reference, or *ret NULL when there is no such key or version; version 0: the primary.  These do
 * not decide whether the caller may see it: policy.h does. */
int key_by_id(const KeyStorage *s, const char *id, uint32_t version, Key **ret, Error *e);
int key_by_path(const KeyStorage *s, const char *path, uint32_t version, Key **ret, Error *e);

/* Up to limit keys by path, after `after`; prefix "" or a TSG's or a key's path.  Not cached; the
 * key is valid until fn returns. */
int key_list(Db *db, const Root *root, const char *prefix, const char *after, unsigned limit,
             int (*fn)(const Key *k, void *userdata), void *userdata, Error *e);

/* The same for the versions of one key that are below `before`, the newest first. */
int key_versions(Db *db, const char *id, uint32_t before, unsigned limit,
                 int (*fn)(const Key *k, void *userdata), void *userdata, Error *e);

/* ---- changes, for audit jobs ---- */

/* id, tsg, name, path, alg, version, created, description, spki and sealed.
 * -CSIGN_E_ALREADY_EXISTS. */
int key_insert(DbConn *c, const Key *k, Error *e);
int key_set_enabled(DbConn *c, const char *id, bool enabled, Error *e);

/* Adds k's version, which is one above the primary, and makes it the primary: id, path, version,
 * version_created, spki and sealed.  -CSIGN_E_KEY_CHANGED: another primary is there by now. */
int key_add_version(DbConn *c, const Key *k, Error *e);
int key_version_set_enabled(DbConn *c, const char *id, uint32_t version, bool enabled, Error *e);

Key *key_new(void); /* NULL: no memory */
