/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A bounded cache of immutable, counted objects.  What was put in under one generation is not found
 * under another: a change bumps the generation after its commit and before its answer, and so takes
 * effect at once.
 *
 * A reader takes the generation before it reads the database:
 *
 *     generation = cache_generation(c);
 *     object = cache_get(c, name, len);
 *     if (!object) { read the row; cache_put(c, generation, name, len, object); } */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/macro.h"

/* The first member of what is cached. */
typedef struct CacheObject {
        atomic_uint refs;
        void (*free)(struct CacheObject *o);
} CacheObject;

void cache_object_init(CacheObject *o, void (*free)(CacheObject *o)); /* with one reference */
void *cache_object_ref(CacheObject *o);
void cache_object_unref(CacheObject *o);

#define CACHE_NAME_MAX 96

typedef struct Cache Cache;

Cache *cache_new(size_t objects); /* NULL: no memory */
void cache_free(Cache *c);
DEFINE_CLEANUP(Cache, cache_free)

uint64_t cache_generation(Cache *c);
void cache_bump(Cache *c); /* all that is in it is old now */

/* A new reference, or NULL.  Names longer than CACHE_NAME_MAX are never found. */
CacheObject *cache_get(Cache *c, const void *name, size_t len);
void cache_put(Cache *c, uint64_t generation, const void *name, size_t len, CacheObject *o);
