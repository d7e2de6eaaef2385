/* SPDX-License-Identifier: Apache-2.0 */
#include "service/form.h"

#include "tests/unit/test.h"

static void names_and_values_are_decoded(void **state) {
        static const char text[] = "a=1&b=x+y%2fz&empty=&bare&%63=d%3De";
        _cleanup_(form_done) Form f = {};
        Error e = {};

        assert_int_equal(form_parse(text, strlen(text), &f, &e), 0);
        assert_int_equal(f.n, 5);
        assert_string_equal(form_get(&f, "a"), "1");
        assert_string_equal(form_get(&f, "b"), "x y/z");
        assert_string_equal(form_get(&f, "empty"), "");
        assert_string_equal(form_get(&f, "bare"), "");
        assert_string_equal(form_get(&f, "c"), "d=e");
        assert_null(form_get(&f, "d"));
}

static void nothing_is_an_empty_form(void **state) {
        _cleanup_(form_done) Form f = {};
        Error e = {};

        assert_int_equal(form_parse("", 0, &f, &e), 0);
        assert_int_equal(f.n, 0);
        assert_int_equal(form_check_names(&f, "", &e), 0);
}

static void what_is_malformed_is_refused(void **state) {
        static const char *const texts[] = {
                "a=%", "a=%4",     "a=%4g",   "a=%g4",     "a=%00", "a=%0a", "a=\n",
                "=1",  "a=1&&b=2", "a=1&a=2", "a=1&%61=2", "a=%7f", "&",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                Form f = {};
                Error e = {};

                assert_refused(form_parse(texts[i], strlen(texts[i]), &f, &e), -CSIGN_E_BAD_REQUEST,
                               &e);
                assert_null(f.text.data);
        }
}

static void there_is_a_bound_on_names(void **state) {
        char text[512] = "";
        Form f = {};
        Error e = {};

        for (int i = 0; i <= FORM_ITEMS_MAX; i++)
                snprintf(text + strlen(text), sizeof(text) - strlen(text), "n%d=v&", i);
        assert_refused(form_parse(text, strlen(text), &f, &e), -CSIGN_E_BAD_REQUEST, &e);
}

static void unknown_names_are_refused(void **state) {
        _cleanup_(form_done) Form f = {};
        Error e = {};

        assert_int_equal(form_parse("limit=1&cursor=x", 16, &f, &e), 0);
        assert_int_equal(form_check_names(&f, "prefix limit cursor", &e), 0);
        assert_refused(form_check_names(&f, "prefix limit", &e), -CSIGN_E_BAD_REQUEST, &e);
        assert_refused(form_check_names(&f, "limits cursor", &e), -CSIGN_E_BAD_REQUEST, &e);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names_and_values_are_decoded),
                cmocka_unit_test(nothing_is_an_empty_form),
                cmocka_unit_test(what_is_malformed_is_refused),
                cmocka_unit_test(there_is_a_bound_on_names),
                cmocka_unit_test(unknown_names_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
