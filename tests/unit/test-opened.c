/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>

#include "service/keystore/opened.h"
#include "tests/unit/test.h"

static EVP_PKEY *pkey;

static int make_pkey(void **state) {
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        return pkey ? 0 : -1;
}

static int free_pkey(void **state) {
        EVP_PKEY_free(pkey);
        return 0;
}

static OpenedKey *add(OpenedCache *c, const char *id, uint32_t version, const char *blob) {
        SealInfo info = { .alg = key_alg_by_name("P-256") };
        OpenedKey *k = NULL;

        assert_int_equal(opened_key_new(&k, id, version, blob, strlen(blob), &info, pkey), 0);
        opened_cache_add(c, k);
        return k;
}

static bool has(OpenedCache *c, const char *id, uint32_t version, const char *blob) {
        _cleanup_(opened_key_unrefp) OpenedKey *k = NULL;

        k = opened_cache_find(c, id, version, blob, strlen(blob));
        return k != NULL;
}

static void a_hit_needs_id_version_and_blob(void **state) {
        _cleanup_(opened_cache_freep) OpenedCache *c = NULL;

        assert_int_equal(opened_cache_new(&c, 4), 0);
        opened_key_unref(add(c, "key_a", 1, "blob"));
        assert_true(has(c, "key_a", 1, "blob"));
        assert_false(has(c, "key_a", 2, "blob"));
        assert_false(has(c, "key_b", 1, "blob"));
        assert_false(has(c, "key_a", 1, "blab"));
        assert_false(has(c, "key_a", 1, "blob2"));
        assert_true(has(c, "key_a", 1, "blob"));
}

static void a_new_blob_takes_the_old_ones_place(void **state) {
        _cleanup_(opened_cache_freep) OpenedCache *c = NULL;

        assert_int_equal(opened_cache_new(&c, 4), 0);
        opened_key_unref(add(c, "key_a", 1, "old"));
        opened_key_unref(add(c, "key_a", 1, "new"));
        assert_false(has(c, "key_a", 1, "old"));
        assert_true(has(c, "key_a", 1, "new"));
}

static void the_one_used_longest_ago_goes(void **state) {
        _cleanup_(opened_cache_freep) OpenedCache *c = NULL;

        assert_int_equal(opened_cache_new(&c, 2), 0);
        opened_key_unref(add(c, "key_a", 1, "a"));
        opened_key_unref(add(c, "key_b", 1, "b"));
        assert_true(has(c, "key_a", 1, "a"));
        opened_key_unref(add(c, "key_c", 1, "c"));
        assert_true(has(c, "key_a", 1, "a"));
        assert_false(has(c, "key_b", 1, "b"));
        assert_true(has(c, "key_c", 1, "c"));
}

static void what_is_in_use_outlives_its_place(void **state) {
        _cleanup_(opened_cache_freep) OpenedCache *c = NULL;
        _cleanup_(opened_key_unrefp) OpenedKey *a = NULL;

        assert_int_equal(opened_cache_new(&c, 1), 0);
        a = add(c, "key_a", 1, "a");
        for (uint32_t v = 1; v < 100; v++)
                opened_key_unref(add(c, "key_b", v, "b"));
        assert_false(has(c, "key_a", 1, "a"));
        assert_ptr_equal(a->pkey, pkey);
        assert_string_equal(a->key_id, "key_a");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_hit_needs_id_version_and_blob),
                cmocka_unit_test(a_new_blob_takes_the_old_ones_place),
                cmocka_unit_test(the_one_used_longest_ago_goes),
                cmocka_unit_test(what_is_in_use_outlives_its_place),
        };

        return cmocka_run_group_tests(tests, make_pkey, free_pkey);
}
