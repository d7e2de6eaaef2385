/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of signing tools, as far as csign looks into them. */

#include <stdlib.h>
#include <string.h>

#include "cli/tools.h"
#include "tests/unit/test.h"

#define ARGS_MAX 12

/* argv as the verb has it: each of its own, ended by NULL. */
static ToolCall call(const Tool *tool, const char *const args[]) {
        ToolCall c = { .tool = tool };

        c.argv = calloc(ARGS_MAX + 2, sizeof(char *));
        assert_non_null(c.argv);
        c.argv[c.n++] = strdup(tool->name);
        for (size_t i = 0; i < ARGS_MAX && args[i]; i++)
                c.argv[c.n++] = strdup(args[i]);
        return c;
}

static void call_done(ToolCall *c) {
        for (size_t i = 0; i < c->n; i++)
                free(c->argv[i]);
        free(c->argv);
}

static void the_key_is_found_in_each_form(void **state) {
        static const struct {
                const Tool *tool;
                const char *args[ARGS_MAX];
                size_t at;
        } cases[] = {
                { &tool_sbsign, { "--key", "U", "b.efi" }, 2 },
                { &tool_sbsign, { "--key=U", "b.efi" }, 1 },
                { &tool_sbsign, { "--keys=U", "b.efi" }, 0 },
                { &tool_sbsign, { "b.efi", "--key" }, 0 },
                { &tool_sbsign, { "--", "--key", "U" }, 0 },
                { &tool_osslsigncode, { "sign", "-key", "U" }, 3 },
                { &tool_osslsigncode, { "sign", "-key=U" }, 0 },
                { &tool_evmctl, { "ima_sign", "-kU" }, 2 },
                { &tool_evmctl, { "ima_sign", "-k", "U" }, 3 },
                { &tool_mkimage, { "-GU" }, 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(call_done) ToolCall c = call(cases[i].tool, cases[i].args);
                const char *value = NULL;

                assert_int_equal(tool_option(&c, cases[i].tool->key, &value), cases[i].at);
                if (cases[i].at)
                        assert_string_equal(value, "U");
        }
}

static void positions_are_what_no_option_takes(void **state) {
        static const struct {
                const Tool *tool;
                const char *args[ARGS_MAX];
                size_t n, last;
        } cases[] = {
                { &tool_osslsigncode, { "sign", "-h", "sha256", "-key", "U", "a", "b" }, 2, 7 },
                { &tool_osslsigncode, { "sign", "-nest", "a", "b" }, 2, 4 },
                { &tool_rauc, { "bundle", "--cert", "c", "in", "out", "--key", "U" }, 2, 5 },
                { &tool_rauc, { "bundle", "--key=U", "in", "out" }, 2, 4 },
                { &tool_sign_file, { "-p", "sha256", "U", "m.ko" }, 3, 4 },
                { &tool_sbsign, { "--", "--key" }, 1, 2 },
                { &tool_sbsign, { "--detached" }, 0, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(call_done) ToolCall c = call(cases[i].tool, cases[i].args);
                size_t at[8] = {}, n;

                n = tool_positions(&c, at, ELEMENTSOF(at));
                assert_int_equal(n, cases[i].n);
                if (n > 0)
                        assert_int_equal(at[n - 1], cases[i].last);
        }
}

static void a_value_is_replaced_in_place(void **state) {
        _cleanup_(call_done) ToolCall c =
                call(&tool_rauc, (const char *const[]){ "bundle", "--key=csign://k", NULL });
        const char *value = NULL;
        size_t at = tool_option(&c, tool_rauc.key, &value);

        assert_int_equal(tool_replace(&c, at, value, "/tmp/key.pem"), 0);
        assert_string_equal(c.argv[2], "--key=/tmp/key.pem");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_key_is_found_in_each_form),
                cmocka_unit_test(positions_are_what_no_option_takes),
                cmocka_unit_test(a_value_is_replaced_in_place),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
