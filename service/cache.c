/* SPDX-License-Identifier: Apache-2.0 */
/* A set-associative cache: each name has four places, and a new object takes the place that was
 * filled longest ago.  No list to keep, and a bound on memory and on time. */

#include "service/cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 4

typedef struct Entry {
        CacheObject *object;
        uint64_t generation;
        size_t len;
        uint8_t name[CACHE_NAME_MAX];
} Entry;

typedef struct Set {
        Entry entries[WAYS];
        unsigned next;
} Set;

struct Cache {
        pthread_rwlock_t lock;
        atomic_uint_fast64_t generation;
        size_t n_sets;
        Set sets[];
};

void cache_object_init(CacheObject *o, void (*free_fn)(CacheObject *o)) {
        atomic_init(&o->refs, 1);
        o->free = free_fn;
}

void *cache_object_ref(CacheObject *o) {
        atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
        return o;
}

void cache_object_unref(CacheObject *o) {
        if (o && atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) == 1)
                o->free(o);
}

Cache *cache_new(size_t objects) {
        size_t n_sets = objects / WAYS + 1;
        Cache *c;

        c = calloc(1, sizeof(*c) + n_sets * sizeof(Set));
        if (!c)
                return NULL;
        pthread_rwlock_init(&c->lock, NULL);
        atomic_init(&c->generation, 1);
        c->n_sets = n_sets;
        return c;
}

void cache_free(Cache *c) {
        if (!c)
                return;
        for (size_t i = 0; i < c->n_sets; i++)
                for (size_t k = 0; k < WAYS; k++)
                        cache_object_unref(c->sets[i].entries[k].object);
        pthread_rwlock_destroy(&c->lock);
        free(c);
}

uint64_t cache_generation(Cache *c) {
        return atomic_load(&c->generation);
}

void cache_bump(Cache *c) {
        atomic_fetch_add(&c->generation, 1);
}

/* FNV-1a.  Names that collide on purpose only push each other out: they must exist to get in. */
static Set *set_of(Cache *c, const uint8_t *name, size_t len) {
        uint64_t h = 14695981039346656037u;

        for (size_t i = 0; i < len; i++)
                h = (h ^ name[i]) * 1099511628211u;
        return &c->sets[h % c->n_sets];
}

static Entry *find(Set *set, const void *name, size_t len) {
        for (size_t i = 0; i < WAYS; i++) {
                Entry *entry = &set->entries[i];

                if (entry->object && entry->len == len && memcmp(entry->name, name, len) == 0)
                        return entry;
        }
        return NULL;
}

CacheObject *cache_get(Cache *c, const void *name, size_t len) {
        CacheObject *o = NULL;
        Entry *entry;

        if (len > CACHE_NAME_MAX)
                return NULL;

        pthread_rwlock_rdlock(&c->lock);
        entry = find(set_of(c, name, len), name, len);
        if (entry && entry->generation == cache_generation(c))
                o = cache_object_ref(entry->object);
        pthread_rwlock_unlock(&c->lock);
        return o;
}

void cache_put(Cache *c, uint64_t generation, const void *name, size_t len, CacheObject *o) {
        CacheObject *old;
        Entry *entry;
        Set *set;

        if (len > CACHE_NAME_MAX)
                return;

        pthread_rwlock_wrlock(&c->lock);
        set = set_of(c, name, len);
        entry = find(set, name, len);
        if (!entry)
                entry = &set->entries[set->next++ % WAYS];
        old = entry->object;
        entry->object = cache_object_ref(o);
        entry->generation = generation;
        entry->len = len;
        memcpy(entry->name, name, len);
        pthread_rwlock_unlock(&c->lock);

        cache_object_unref(old);
}
