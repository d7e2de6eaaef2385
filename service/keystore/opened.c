/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table with the order of last use.  A key that leaves it lives on until its last signature
 * is made. */

#include "service/keystore/opened.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ossl.h"

struct OpenedCache {
        pthread_mutex_t lock;
        size_t n, max;
        size_t mask; /* buckets - 1, a power of two */
        OpenedKey **buckets;
        OpenedKey *newest, *oldest;
};

/* -- one key -- */

int opened_key_new(OpenedKey **ret, const char *key_id, uint32_t version, const void *sealed,
                   size_t sealed_len, const SealInfo *info, EVP_PKEY *pkey) {
        static atomic_uint_fast64_t serial;
        OpenedKey *k;

        k = calloc(1, sizeof(*k));
        if (!k)
                return -ENOMEM;
        if (buf_append(&k->sealed, sealed, sealed_len) < 0) {
                free(k);
                return -ENOMEM;
        }

        k->refs = 1;
        k->serial = atomic_fetch_add(&serial, 1) + 1;
        k->info = *info;
        k->version = version;
        snprintf(k->key_id, sizeof(k->key_id), "%s", key_id);
        EVP_PKEY_up_ref(pkey);
        k->pkey = pkey;

        *ret = k;
        return 0;
}

OpenedKey *opened_key_ref(OpenedKey *k) {
        __atomic_add_fetch(&k->refs, 1, __ATOMIC_RELAXED);
        return k;
}

void opened_key_unref(OpenedKey *k) {
        if (!k || __atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL) > 0)
                return;

        EVP_PKEY_free(k->pkey);
        buf_done(&k->sealed);
        free(k);
}

/* -- the cache -- */

int opened_cache_new(OpenedCache **ret, size_t max) {
        OpenedCache *c;
        size_t buckets = 16;

        assert(max > 0);

        while (buckets < max * 2)
                buckets *= 2;

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;

        c->buckets = calloc(buckets, sizeof(OpenedKey *));
        if (!c->buckets) {
                free(c);
                return -ENOMEM;
        }

        c->max = max;
        c->mask = buckets - 1;
        pthread_mutex_init(&c->lock, NULL);
        *ret = c;
        return 0;
}

/* FNV-1a: the ids are random, and only the service names them. */
static OpenedKey **bucket_of(OpenedCache *c, const char *key_id, uint32_t version) {
        uint64_t h = 0xcbf29ce484222325u;

        for (const char *p = key_id; *p; p++)
                h = (h ^ (uint8_t) *p) * 0x100000001b3u;
        h = (h ^ version) * 0x100000001b3u;
        return &c->buckets[(h ^ h >> 32) & c->mask];
}

static void link_newest(OpenedCache *c, OpenedKey *k) {
        k->newer = NULL;
        k->older = c->newest;
        if (c->newest)
                c->newest->newer = k;
        else
                c->oldest = k;
        c->newest = k;
}

static void unlink_order(OpenedCache *c, OpenedKey *k) {
        if (k->newer)
                k->newer->older = k->older;
        else
                c->newest = k->older;
        if (k->older)
                k->older->newer = k->newer;
        else
                c->oldest = k->newer;
}

static OpenedKey *lookup(OpenedCache *c, const char *key_id, uint32_t version) {
        for (OpenedKey *k = *bucket_of(c, key_id, version); k; k = k->next_in_bucket)
                if (k->version == version && strcmp(k->key_id, key_id) == 0)
                        return k;
        return NULL;
}

static void drop(OpenedCache *c, OpenedKey *k) {
        OpenedKey **p = bucket_of(c, k->key_id, k->version);

        while (*p != k)
                p = &(*p)->next_in_bucket;
        *p = k->next_in_bucket;

        unlink_order(c, k);
        c->n--;
        opened_key_unref(k);
}

OpenedKey *opened_cache_find(OpenedCache *c, const char *key_id, uint32_t version,
                             const void *sealed, size_t sealed_len) {
        OpenedKey *k;

        pthread_mutex_lock(&c->lock);
        k = lookup(c, key_id, version);
        if (k && k->sealed.len == sealed_len && memcmp(k->sealed.data, sealed, sealed_len) == 0) {
                unlink_order(c, k);
                link_newest(c, k);
                opened_key_ref(k);
        } else
                k = NULL;
        pthread_mutex_unlock(&c->lock);
        return k;
}

void opened_cache_add(OpenedCache *c, OpenedKey *k) {
        OpenedKey *old, **bucket;

        pthread_mutex_lock(&c->lock);
        old = lookup(c, k->key_id, k->version);
        if (old)
                drop(c, old);
        else if (c->n == c->max)
                drop(c, c->oldest);

        bucket = bucket_of(c, k->key_id, k->version);
        k->next_in_bucket = *bucket;
        *bucket = opened_key_ref(k);
        link_newest(c, k);
        c->n++;
        pthread_mutex_unlock(&c->lock);
}

void opened_cache_forget(OpenedCache *c, const char *key_id) {
        OpenedKey *older;

        pthread_mutex_lock(&c->lock);
        for (OpenedKey *k = c->newest; k; k = older) {
                older = k->older;
                if (key_id && strcmp(k->key_id, key_id) != 0)
                        continue;
                atomic_store(&k->forgotten, true);
                drop(c, k);
        }
        pthread_mutex_unlock(&c->lock);
}

void opened_cache_free(OpenedCache *c) {
        if (!c)
                return;
        while (c->oldest)
                drop(c, c->oldest);
        pthread_mutex_destroy(&c->lock);
        free(c->buckets);
        free(c);
}
