/* SPDX-License-Identifier: Apache-2.0 */
#include "service/cache.h"

#include "tests/unit/test.h"

typedef struct Thing {
        CacheObject object;
        int number;
} Thing;

static unsigned alive;

static void thing_free(CacheObject *o) {
        alive--;
        free(container_of(o, Thing, object));
}

/* Puts one and keeps no reference. */
static void put(Cache *c, uint64_t generation, const char *name, int number) {
        Thing *t = calloc(1, sizeof(*t));

        assert_non_null(t);
        alive++;
        cache_object_init(&t->object, thing_free);
        t->number = number;
        cache_put(c, generation, name, strlen(name), &t->object);
        cache_object_unref(&t->object);
}

static int get(Cache *c, const char *name) {
        CacheObject *o = cache_get(c, name, strlen(name));
        int number = o ? container_of(o, Thing, object)->number : -1;

        cache_object_unref(o);
        return number;
}

static void what_was_put_is_found_until_the_generation_moves(void **state) {
        Cache *c = cache_new(16);
        uint64_t old = cache_generation(c);

        put(c, old, "a", 1);
        assert_int_equal(get(c, "a"), 1);
        cache_bump(c);
        assert_int_equal(get(c, "a"), -1);
        /* A reader that began before the change comes too late. */
        put(c, old, "a", 1);
        assert_int_equal(get(c, "a"), -1);
        put(c, cache_generation(c), "a", 2);
        assert_int_equal(get(c, "a"), 2);
        cache_free(c);
        assert_int_equal(alive, 0);
}

static void it_stays_within_its_bound(void **state) {
        Cache *c = cache_new(64);
        char name[16];

        for (int i = 0; i < 10000; i++) {
                snprintf(name, sizeof(name), "name-%d", i);
                put(c, cache_generation(c), name, i);
                assert_int_equal(get(c, name), i);
        }
        assert_in_range(alive, 1, 68);
        cache_free(c);
        assert_int_equal(alive, 0);
}

static void a_reference_outlives_the_cache(void **state) {
        Cache *c = cache_new(4);
        CacheObject *o;

        put(c, cache_generation(c), "a", 7);
        o = cache_get(c, "a", 1);
        cache_free(c);
        assert_int_equal(alive, 1);
        assert_int_equal(container_of(o, Thing, object)->number, 7);
        cache_object_unref(o);
        assert_int_equal(alive, 0);
}

static void a_name_that_is_too_long_is_not_kept(void **state) {
        char name[CACHE_NAME_MAX + 2];
        Cache *c = cache_new(4);

        memset(name, 'x', sizeof(name));
        name[sizeof(name) - 1] = '\0';
        put(c, cache_generation(c), name, 1);
        assert_int_equal(get(c, name), -1);
        assert_int_equal(alive, 0);
        cache_free(c);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_was_put_is_found_until_the_generation_moves),
                cmocka_unit_test(it_stays_within_its_bound),
                cmocka_unit_test(a_reference_outlives_the_cache),
                cmocka_unit_test(a_name_that_is_too_long_is_not_kept),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
