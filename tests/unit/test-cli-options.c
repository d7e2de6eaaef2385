/* SPDX-License-Identifier: Apache-2.0 */
/* How csign reads a command line. */

#include <string.h>

#include "cli/cli.h"
#include "tests/unit/test.h"

static const char *arg_name;
static uint64_t arg_count;
static bool arg_loud;

static const Option options[] = {
        { "name", "NAME", "", &arg_name, .letter = 'n', .required = true },
        { "count", "N", "", &arg_count, OPTION_NUMBER },
        { "loud", NULL, "", &arg_loud, OPTION_SWITCH },
};

static const Verb verb = {
        .name = "try",
        .args = "--name NAME FILE",
        OPTIONS(options),
        .min_args = 1,
        .max_args = 2,
        .flags = VERB_JSON,
};

static const Verb verb_wrap = {
        .name = "wrap",
        .args = "-- COMMAND",
        .min_args = 1,
        .max_args = 9,
        .flags = VERB_COMMAND | VERB_SIDECAR,
};

#define LINE_MAX_ARGS 8

static int parse(const Verb *v, const char *const line[], char ***args, size_t *n, Error *e) {
        static char *argv[LINE_MAX_ARGS + 2];
        int argc = 1;

        argv[0] = (char *) "try";
        for (size_t i = 0; i < LINE_MAX_ARGS && line[i]; i++)
                argv[argc++] = (char *) line[i];
        argv[argc] = NULL;
        arg_name = NULL;
        arg_count = 7;
        arg_loud = arg_json = false;
        return options_parse(v, argc, argv, args, n, e);
}

static void options_and_arguments_may_mix(void **state) {
        const char *const line[] = {
                "a", "--name=x", "--loud", "b", "--count", "12", "--json", NULL
        };
        char **args = NULL;
        size_t n = 0;
        Error e = {};

        assert_int_equal(parse(&verb, line, &args, &n, &e), 0);
        assert_int_equal(n, 2);
        assert_string_equal(args[0], "a");
        assert_string_equal(args[1], "b");
        assert_string_equal(arg_name, "x");
        assert_int_equal(arg_count, 12);
        assert_true(arg_loud && arg_json);
}

static void letters_work(void **state) {
        const char *const line[] = { "-n", "x", "a", NULL };
        char **args = NULL;
        size_t n = 0;
        Error e = {};

        assert_int_equal(parse(&verb, line, &args, &n, &e), 0);
        assert_string_equal(arg_name, "x");
        assert_int_equal(arg_count, 7);
}

static void errors_name_the_option(void **state) {
        static const struct {
                const char *line[LINE_MAX_ARGS];
                const char *named;
        } cases[] = {
                { { "--name", "x", "--nope", "a" }, "--nope" },
                { { "-q", "a" }, "'-q'" },
                { { "a", "--name" }, "--name" },
                { { "a" }, "--name NAME" },
                { { "--name", "", "a" }, "--name is empty" },
                { { "--name", "x", "--count", "-1", "a" }, "--count takes a number" },
                { { "--name", "x", "--count", " 1", "a" }, "--count takes a number" },
                { { "--name", "x", "--count", "99999999999999999999", "a" },
                  "--count takes a number" },
                { { "--name", "x" }, "an argument is missing" },
                { { "--name", "x", "a", "b", "c" }, "too many arguments" },
                { { "--name", "x", "--loud=1", "a" }, "--loud=1" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char **args = NULL;
                size_t n = 0;
                Error e = {};

                assert_int_equal(parse(&verb, cases[i].line, &args, &n, &e), -CSIGN_E_BAD_REQUEST);
                assert_non_null(strstr(e.detail, cases[i].named));
                assert_null(args);
        }
}

static void command_keeps_its_options(void **state) {
        const char *const bare[] = { "ls", "--bus", "x", NULL };
        const char *const dashed[] = { "--bus", "user", "--", "--odd", NULL };
        char **args = NULL;
        size_t n = 0;
        Error e = {};

        assert_int_equal(parse(&verb_wrap, bare, &args, &n, &e), 0);
        assert_int_equal(n, 3);
        assert_int_equal(parse(&verb_wrap, dashed, &args, &n, &e), 0);
        assert_int_equal(n, 1);
        assert_string_equal(args[0], "--odd");
        assert_string_equal(arg_bus, "user");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(options_and_arguments_may_mix),
                cmocka_unit_test(letters_work),
                cmocka_unit_test(errors_name_the_option),
                cmocka_unit_test(command_keeps_its_options),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
