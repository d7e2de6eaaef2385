/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Signing keys: one version of a key as an immutable, counted, cached object. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/alg.h"
#include "lib/buf.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/key-uri.h"
#include "service/cache.h"
#include "service/db/db.h"
#include "service/key-policy.h"
#include "service/tsg.h"

#define KEY_DESCRIPTION_MAX 1024
#define KEY_LABELS_MAX      32
#define KEY_LABEL_VALUE_MAX 128

/* What its manager made of it; whether it is valid now is another matter. */
typedef enum KeyState {
        KEY_DISABLED,
        KEY_ENABLED,
        KEY_PENDING_DESTRUCTION, /* signs no more, and can still be kept */
        KEY_DESTROYED,           /* only this row is left, for the log and for whoever verifies */
} KeyState;

typedef struct Key {
        CacheObject object;
        char id[ID_MAX];
        char tsg[ID_MAX];
        char name[NAME_MAX_LEN + 1];
        char path[PATH_MAX_LEN];
        const KeyAlg *alg;
        KeyState state;
        bool version_enabled; /* and KEY_ENABLED, to sign */
        uint32_t version, primary_version;
        uint64_t created, version_created;
        Buf description;
        Buf spki;
        Buf sealed;             /* opens only in the key store */
        Buf certificate, chain; /* DER, chain one after the other; empty: it has none */
        TsgChain above;         /* its TSG, and those above */
        uint64_t revision; /* of the key, with all that belongs to it: versions, certificates */
        uint64_t not_before, not_after; /* 0: no such end */
        uint32_t made_schemes;          /* what it can sign with, sealed with its versions */
        KeyPolicy policy;
        uint64_t destroy_at, destroyed; /* 0: not */
        Buf labels;                     /* as a JSON object, by name; empty: "{}" */
        uint64_t certificate_expires;   /* 0: it has no certificate */
        bool certificate_revoked;
        char project[ID_MAX]; /* "": in none */
} Key;

static inline void key_unref(Key *k) {
        if (k)
                cache_object_unref(&k->object);
}
DEFINE_CLEANUP(Key, key_unref)

/* "enabled", "expired", "pending-destruction" ...: the word that everybody is told. */
const char *key_state_name(const Key *k, uint64_t now);

typedef struct KeyStorage {
        Db *db;
        Cache *cache;
} KeyStorage;

/* A reference, or *ret NULL when there is no such key or version; version 0: the primary.  These do
 * not decide whether the caller may see it: policy.h does. */
int key_by_id(const KeyStorage *s, const char *id, uint32_t version, Key **ret, Error *e);
int key_by_path(const KeyStorage *s, const char *path, uint32_t version, Key **ret, Error *e);

/* Which keys to list: of those below prefix ("" for all; a TSG's or a key's path).  At most one of
 * label and state. */
typedef struct KeyFilter {
        const char *prefix;
        const char *label, *label_value; /* label NULL: any */
        const char *state;               /* as key_state_name(); NULL: all but destroyed ones */
        const char *signer;              /* NULL, or leaves out what projects keep from him */
} KeyFilter;

/* Whether there is such a state. */
bool key_state_is_known(const char *name);

/* Up to limit of them by path, after `after`.  Not cached; the key is valid until fn returns. */
int key_list(Db *db, const Root *root, const KeyFilter *f, const char *after, unsigned limit,
             int (*fn)(const Key *k, void *userdata), void *userdata, Error *e);

/* The same for the versions of one key that are below `before`, the newest first. */
int key_versions(Db *db, const char *id, uint32_t before, unsigned limit,
                 int (*fn)(const Key *k, void *userdata), void *userdata, Error *e);

/* As it is on this connection, at its primary version and without certificates; *ret NULL: there is
 * none. */
int key_read(DbConn *c, const char *id, Key **ret, Error *e);

/* Whether {"name": "value", ...} can be labels; null, which takes one away, only with nulls.
 * -CSIGN_E_BAD_REQUEST. */
int key_labels_check(const json_t *labels, bool nulls, Error *e);

/* ---- changes, for audit jobs ---- */

/* All of the key but its certificates and labels.  -CSIGN_E_ALREADY_EXISTS. */
int key_insert(DbConn *c, const Key *k, Error *e);

/* Writes state (enabled or disabled), description, validity and policy.  -CSIGN_E_KEY_DESTROYED. */
int key_update(DbConn *c, const Key *k, Error *e);

/* Into a project; "": into none. */
int key_set_project(DbConn *c, const char *id, const char *project, Error *e);

/* -CSIGN_E_ALREADY_EXISTS. */
int key_move(DbConn *c, const char *id, const char *tsg, const char *name, Error *e);

/* Sets the labels that are named, and takes away those whose value is null.  -CSIGN_E_BAD_REQUEST:
 * these would be too many. */
int key_label(DbConn *c, const char *path, const json_t *labels, Error *e);

/* Adds k's version, which is one above the primary, and makes it the primary: id, path, version,
 * version_created, spki and sealed.  -CSIGN_E_KEY_CHANGED: another primary is there by now, or the
 * key is to be destroyed. */
int key_add_version(DbConn *c, const Key *k, Error *e);
int key_version_set_enabled(DbConn *c, const char *id, uint32_t version, bool enabled, Error *e);

/* The way to the end.  Rows changed: 0 if the key was not in the state for it. */
int key_destroy_at(DbConn *c, const char *id, uint64_t when, Error *e);
int key_keep(DbConn *c, const char *id, Error *e);                  /* then it is disabled */
int key_destroy(DbConn *c, const char *id, uint64_t now, Error *e); /* if it is due */

/* One that is due: 1 and its id and path, or 0. */
int key_due(Db *db, uint64_t now, char id[static ID_MAX], char path[static PATH_MAX_LEN], Error *e);

Key *key_new(void); /* NULL: no memory */
