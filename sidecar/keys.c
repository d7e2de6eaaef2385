/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/keys.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/sha.h>

#include "lib/ossl.h"
#include "lib/sign.h"
#include "sidecar/clock.h"

#define ENTRIES_MAX 4096

/* "id key_…@1" or "path acme/mobile/release@0". */
typedef struct Entry {
        char *name;
        Key *key;
        uint64_t fetched;
} Entry;

struct KeyCache {
        pthread_mutex_t lock;
        void *tree; /* of Entry, by name */
        size_t n;
};

#define NAME_SIZE (PATH_MAX_LEN + 32)

/* ---- one key ---- */

Key *key_new(void) {
        Key *k = calloc(1, sizeof(*k));

        if (k)
                atomic_init(&k->n_ref, 1);
        return k;
}

Key *key_ref(Key *k) {
        (void) atomic_fetch_add_explicit(&k->n_ref, 1, memory_order_relaxed);
        return k;
}

void key_unref(Key *k) {
        if (!k || atomic_fetch_sub_explicit(&k->n_ref, 1, memory_order_acq_rel) > 1)
                return;
        buf_done(&k->spki);
        for (size_t i = 0; i < k->n_certificates; i++)
                buf_done(&k->certificates[i]);
        EVP_PKEY_free(k->public_key);
        free(k);
}

static int decode(Key *k, Error *e) {
        const unsigned char *p = k->spki.data;
        int r;

        r = sign_check_library(k->alg, NULL, e);
        if (r < 0)
                return r;

        ERR_set_mark();
        k->public_key = d2i_PUBKEY(NULL, &p, (long) k->spki.len);
        ERR_pop_to_mark();
        if (!k->public_key || p != k->spki.data + k->spki.len)
                return error_set(e, -CSIGN_E_BAD_ANSWER,
                                 "the service's public key of %s is malformed", k->path);
        if (key_alg_of_pkey(k->public_key) != k->alg)
                return error_set(e, -CSIGN_E_BAD_ANSWER, "the service's public key of %s is not %s",
                                 k->path, k->alg->name);
        return 0;
}

/* ---- the cache ---- */

static int compare(const void *a, const void *b) {
        return strcmp(((const Entry *) a)->name, ((const Entry *) b)->name);
}

static void entry_free(void *arg) {
        Entry *entry = arg;

        key_unref(entry->key);
        free(entry->name);
        free(entry);
}

int key_cache_new(KeyCache **ret, Error *e) {
        KeyCache *c = calloc(1, sizeof(*c));

        if (!c)
                return error_set(e, -ENOMEM, "out of memory");
        (void) pthread_mutex_init(&c->lock, NULL);
        *ret = c;
        return 0;
}

static void clear(KeyCache *c) {
        tdestroy(c->tree, entry_free);
        c->tree = NULL;
        c->n = 0;
}

void key_cache_free(KeyCache *c) {
        if (!c)
                return;
        clear(c);
        (void) pthread_mutex_destroy(&c->lock);
        free(c);
}

static Entry *find(KeyCache *c, char *name) {
        Entry **found = tfind(&(Entry){ .name = name }, &c->tree, compare);

        return found ? *found : NULL;
}

static Key *lookup(KeyCache *c, char *name, uint64_t max_age) {
        Entry *entry;
        Key *k = NULL;

        (void) pthread_mutex_lock(&c->lock);
        entry = find(c, name);
        if (entry && now_usec() - entry->fetched <= max_age)
                k = key_ref(entry->key);
        (void) pthread_mutex_unlock(&c->lock);
        return k;
}

Key *key_cache_by_id(KeyCache *c, const char *id, uint32_t version, uint64_t max_age) {
        char name[NAME_SIZE];

        snprintf(name, sizeof(name), "id %s@%u", id, version);
        return lookup(c, name, max_age);
}

Key *key_cache_by_path(KeyCache *c, const char *path, uint32_t version, uint64_t max_age) {
        char name[NAME_SIZE];

        snprintf(name, sizeof(name), "path %s@%u", path, version);
        return lookup(c, name, max_age);
}

static Entry *insert(KeyCache *c, const char *name) {
        Entry *entry = calloc(1, sizeof(*entry));

        if (!entry)
                return NULL;
        entry->name = strdup(name);
        if (!entry->name || !tsearch(entry, &c->tree, compare)) {
                entry_free(entry);
                return NULL;
        }
        c->n++;
        return entry;
}

/* With the lock. */
static int put(KeyCache *c, char *name, Key *k) {
        Entry *entry = find(c, name);

        if (!entry) {
                if (c->n >=
                    ENTRIES_MAX) /* more keys than anybody here signs with at once: start anew */
                        clear(c);
                entry = insert(c, name);
        }
        if (!entry)
                return -ENOMEM;
        key_unref(entry->key);
        entry->key = key_ref(k);
        entry->fetched = now_usec();
        return 0;
}

static int put_both(KeyCache *c, Key *k, uint32_t asked) {
        char name[NAME_SIZE];
        int r;

        snprintf(name, sizeof(name), "id %s@%u", k->id, k->version);
        r = put(c, name, k);
        if (r < 0)
                return r;
        snprintf(name, sizeof(name), "path %s@%u", k->path, asked);
        return put(c, name, k);
}

/* The public half that this version of the key had before, if it is known. */
static int adopt(KeyCache *c, Key *k, Error *e) {
        _cleanup_(key_unrefp) Key *known = NULL;

        known = key_cache_by_id(c, k->id, k->version, UINT64_MAX);
        if (!known)
                return 0;
        if (memcmp(known->spki_hash, k->spki_hash, SPKI_HASH_SIZE) != 0)
                return error_set(e, -CSIGN_E_BAD_ANSWER,
                                 "the service now tells another public key of %s version %u",
                                 k->path, k->version);
        (void) EVP_PKEY_up_ref(known->public_key);
        k->public_key = known->public_key;
        return 0;
}

int key_cache_put(KeyCache *c, Key *k, uint32_t asked, Error *e) {
        int r;

        assert(c && k && k->alg);

        (void) SHA256(k->spki.data, k->spki.len, k->spki_hash);
        r = adopt(c, k, e);
        if (r >= 0 && !k->public_key)
                r = decode(k, e);
        if (r < 0)
                return r;

        (void) pthread_mutex_lock(&c->lock);
        r = put_both(c, k, asked);
        (void) pthread_mutex_unlock(&c->lock);
        return r < 0 ? error_set(e, r, "out of memory") : 0;
}
