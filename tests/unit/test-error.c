/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

static void every_row_survives_each_wire(void **state) {
        const ErrorInfo *info;
        size_t i;

        for (i = 0; (info = error_info_at(i)); i++) {
                char name[128];

                assert_int_equal(info->code, CSIGN_E_BEGIN_ + 1 + (int) i);
                assert_int_equal(error_from_name(info->name), -info->code);
                (void) snprintf(name, sizeof(name), ERROR_DBUS_PREFIX "%s", info->name);
                assert_int_equal(error_from_name(name), -info->code);
                (void) snprintf(name, sizeof(name), ERROR_URN_PREFIX "%s", info->name);
                assert_int_equal(error_from_name(name), -info->code);
                assert_ptr_equal(error_info(info->code), info);
                assert_ptr_equal(error_info(-info->code), info);
                assert_int_equal(error_public_code(-info->code), -info->code);
        }
        assert_int_equal(i, CSIGN_E_END_ - CSIGN_E_BEGIN_ - 1);
}

static void every_row_is_complete_and_unlike_the_others(void **state) {
        for (size_t i = 0; error_info_at(i); i++) {
                const ErrorInfo *info = error_info_at(i);

                assert_in_range(info->http_status, 400, 599);
                assert_in_range(info->exit_status, 1, 9);
                assert_true(strlen(info->title) > 5);
                assert_true(strlen(info->advice) > 5);
                assert_true(info->name[0] >= 'A' && info->name[0] <= 'Z');
                for (size_t k = 0; k < i; k++)
                        assert_string_not_equal(info->name, error_info_at(k)->name);
        }
}

static void strangers_become_internal(void **state) {
        static const char *const names[] = {
                "",
                "Nope",
                "keynotfound",
                ERROR_DBUS_PREFIX,
                ERROR_URN_PREFIX "Nope",
                "org.freedesktop.DBus.Error.NoReply",
                "KeyNotFound2",
                "xKeyNotFound",
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                assert_int_equal(error_from_name(names[i]), -CSIGN_E_INTERNAL);
        assert_int_equal(error_info(-ENOMEM)->code, CSIGN_E_INTERNAL);
        assert_int_equal(error_info(0)->code, CSIGN_E_INTERNAL);
        assert_int_equal(error_info(CSIGN_E_END_)->code, CSIGN_E_INTERNAL);
        assert_int_equal(error_info(CSIGN_E_BEGIN_)->code, CSIGN_E_INTERNAL);
        assert_int_equal(error_info(-2147483647 - 1)->code, CSIGN_E_INTERNAL);
        assert_int_equal(error_public_code(-ENOENT), -CSIGN_E_INTERNAL);
        assert_int_equal(error_public_code(0), -CSIGN_E_INTERNAL);
}

static void set_returns_the_code_and_keeps_what_it_must(void **state) {
        Error e = {};

        error_set_request_id(&e, "req_abc");
        assert_int_equal(error_set_rule(&e, -CSIGN_E_OUT_OF_SCOPE, "scope", "no %s", "way"),
                         -CSIGN_E_OUT_OF_SCOPE);
        assert_string_equal(e.detail, "no way");
        assert_string_equal(e.rule, "scope");
        assert_string_equal(e.request_id, "req_abc");

        assert_int_equal(error_set(&e, -EIO, "again"), -EIO);
        assert_int_equal(e.code, -EIO);
        assert_string_equal(e.detail, "again");
        assert_string_equal(e.rule, "scope");
        assert_string_equal(e.request_id, "req_abc");
}

static void nobody_needs_an_error_object(void **state) {
        assert_int_equal(error_set(NULL, -EIO, "x"), -EIO);
        assert_int_equal(error_set_rule(NULL, -EIO, "scope", "x"), -EIO);
        error_set_request_id(NULL, "req_abc");
}

static void details_are_one_line_and_bounded(void **state) {
        char big[2048];
        Error e = {};

        (void) error_set(&e, -EIO, "a\nb\rc\033[31m\x7f");
        assert_string_equal(e.detail, "a?b?c?[31m?");

        memset(big, 'x', sizeof(big) - 1);
        big[sizeof(big) - 1] = '\0';
        (void) error_set_rule(&e, -EIO, big, "%s", big);
        assert_int_equal(strlen(e.detail), sizeof(e.detail) - 1);
        assert_true(strlen(e.rule) < sizeof(e.rule));
        error_set_request_id(&e, big);
        assert_true(strlen(e.request_id) < sizeof(e.request_id));
}

static void an_error_can_quote_itself(void **state) {
        Error e = {};

        (void) error_set(&e, -EIO, "inner");
        (void) error_set(&e, -EIO, "outer: %s", e.detail);
        assert_string_equal(e.detail, "outer: inner");
}

static void text_goes_there_and_back(void **state) {
        static const struct {
                const char *detail, *rule, *request_id, *text;
        } cases[] = {
                { "plain", "", "", "plain" },
                { "no", "scope", "", "no (rule scope)" },
                { "no", "", "req_a", "no (request req_a)" },
                { "no", "scope", "req_a", "no (rule scope, request req_a)" },
                { "no (really)", "local-policy:a-b", "req_a",
                  "no (really) (rule local-policy:a-b, request req_a)" },
                { "key 'x' (version 2)", "", "", "key 'x' (version 2)" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[ERROR_TEXT_MAX];
                Error e = {}, back = {};

                (void) error_set_rule(&e, -CSIGN_E_NOT_PERMITTED, cases[i].rule, "%s",
                                      cases[i].detail);
                error_set_request_id(&e, cases[i].request_id);
                assert_string_equal(error_text(&e, text), cases[i].text);

                error_from_text(&back, -CSIGN_E_NOT_PERMITTED, text);
                assert_int_equal(back.code, -CSIGN_E_NOT_PERMITTED);
                assert_string_equal(back.detail, cases[i].detail);
                assert_string_equal(back.rule, cases[i].rule);
                assert_string_equal(back.request_id, cases[i].request_id);
        }
}

static void strange_text_is_only_detail(void **state) {
        static const char *const texts[] = {
                "",
                "(",
                ")",
                " (rule ",
                "x (rule )",
                "x (rule scope",
                "x (request)",
                "x (rule a, request )",
                "Connection timed out",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                Error e = {};

                error_from_text(&e, -CSIGN_E_INTERNAL, texts[i]);
                assert_int_equal(e.code, -CSIGN_E_INTERNAL);
                assert_true(strlen(e.detail) <= strlen(texts[i]) || texts[i][0] == '\0');
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_row_survives_each_wire),
                cmocka_unit_test(every_row_is_complete_and_unlike_the_others),
                cmocka_unit_test(strangers_become_internal),
                cmocka_unit_test(set_returns_the_code_and_keeps_what_it_must),
                cmocka_unit_test(nobody_needs_an_error_object),
                cmocka_unit_test(details_are_one_line_and_bounded),
                cmocka_unit_test(an_error_can_quote_itself),
                cmocka_unit_test(text_goes_there_and_back),
                cmocka_unit_test(strange_text_is_only_detail),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
