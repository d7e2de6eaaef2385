/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/id.h"
#include "tests/unit/test.h"

static void an_id_has_its_form_and_is_new(void **state) {
        static const char *const prefixes[] = { "key", "acc", "req", "tsg", "usr" };
        char a[ID_MAX], b[ID_MAX];

        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++) {
                assert_int_equal(id_new(a, prefixes[i]), 0);
                assert_int_equal(id_new(b, prefixes[i]), 0);
                assert_string_not_equal(a, b);
                assert_int_equal(strlen(a), strlen(prefixes[i]) + 27);
                assert_true(id_is_valid(a, prefixes[i]));
                assert_true(id_is_valid(a, NULL));
                assert_false(id_is_valid(a, "other"));
        }
}

static void timed_ids_are_new_and_begin_alike(void **state) {
        char a[ID_MAX], b[ID_MAX];

        assert_int_equal(id_new_timed(a, "req"), 0);
        assert_int_equal(id_new_timed(b, "req"), 0);
        assert_true(id_is_valid(a, "req"));
        assert_string_not_equal(a, b);
        assert_memory_equal(a, b, strlen("req_") + 5); /* 25 of 48 bits: 2.3 hours */
}

static void other_texts_are_no_ids(void **state) {
        static const char *const texts[] = {
                "",
                "key",
                "key_",
                "_aaaaaaaaaaaaaaaaaaaaaaaaaa",
                "key_aaaaaaaaaaaaaaaaaaaaaaaaa",   /* 25 */
                "key_aaaaaaaaaaaaaaaaaaaaaaaaaaa", /* 27 */
                "key_Aaaaaaaaaaaaaaaaaaaaaaaaaa",
                "key_1aaaaaaaaaaaaaaaaaaaaaaaaa",
                "key-aaaaaaaaaaaaaaaaaaaaaaaaaa",
                "key_aaaaaaaaaaaaaaaaaaaaaaaaa ",
                "key_aaaaaaaaaaaaa\naaaaaaaaaaaa",
                "ke y_aaaaaaaaaaaaaaaaaaaaaaaaaa",
                "keykeykey_aaaaaaaaaaaaaaaaaaaaaaaaaa",
                "KEY_aaaaaaaaaaaaaaaaaaaaaaaaaa",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                assert_false(id_is_valid(texts[i], NULL));
                assert_false(id_is_valid(texts[i], "key"));
        }
        assert_true(id_is_valid("key_aaaaaaaaaaaaaaaaaaaaaaaaaa", "key"));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_id_has_its_form_and_is_new),
                cmocka_unit_test(timed_ids_are_new_and_begin_alike),
                cmocka_unit_test(other_texts_are_no_ids),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
