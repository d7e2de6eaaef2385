/* SPDX-License-Identifier: Apache-2.0 */
/* What csign prints, to a file: text without colours, and nothing that a terminal would obey. */

#include "cli/cli.h"
#include "cli/output.h"
#include "tests/unit/test.h"

static int real_stdout;
static char text[8192];

static void capture(void) {
        char path[] = "/tmp/csign-test.XXXXXX";
        int fd;

        (void) fflush(stdout);
        real_stdout = dup(STDOUT_FILENO);
        fd = mkstemp(path);
        assert_true(fd >= 0);
        (void) unlink(path);
        (void) dup2(fd, STDOUT_FILENO);
        (void) close(fd);
}

static const char *captured(void) {
        ssize_t n;

        (void) fflush(stdout);
        n = pread(STDOUT_FILENO, text, sizeof(text) - 1, 0);
        text[n > 0 ? n : 0] = '\0';
        (void) dup2(real_stdout, STDOUT_FILENO);
        (void) close(real_stdout);
        return text;
}

static const Column columns[] = {
        { "NAME", "name" },
        { "COUNT", "n", COLUMN_NUMBER },
        { "WHO", "owner.name" },
};

static void columns_are_aligned(void **state) {
        _cleanup_(json_decrefp) json_t *rows =
                json_pack("[{s:s, s:i, s:{s:s}}, {s:s, s:i}]", "name", "a", "n", 7, "owner", "name",
                          "élan", "name", "longer", "n", 1234);

        capture();
        output_list(rows, columns, ELEMENTSOF(columns), "none");
        assert_string_equal(captured(), "NAME    COUNT  WHO\n"
                                        "a           7  élan\n"
                                        "longer   1234  -\n");
}

static void terminals_are_not_commanded(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_pack("[{s:s, s:i}]", "name",
                                                         "a\033[2J\r\nb\x7f\xc2\x9b"
                                                         "c",
                                                         "n", 1);

        capture();
        output_list(rows, columns, 2, "none");
        assert_string_equal(captured(), "NAME         COUNT\na?[2J??b??c      1\n");
}

static void json_is_what_was_given(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_pack("[{s:s, s:i}]", "name", "a\nb", "n", 1),
                                       *back = NULL;

        arg_json = true;
        capture();
        output_list(rows, columns, ELEMENTSOF(columns), "none");
        back = json_loads(captured(), 0, NULL);
        arg_json = false;
        assert_true(json_equal(rows, back));
}

static void objects_leave_out_what_they_have_not(void **state) {
        _cleanup_(json_decrefp) json_t *object =
                json_pack("{s:s, s:[s,s], s:b}", "name", "x", "n", "1", "2", "ok", 1);
        static const Column fields[] = {
                { "Name", "name" }, { "Numbers", "n" }, { "Who", "who" }, { "Ok", "ok" }
        };

        capture();
        output_object(object, fields, ELEMENTSOF(fields));
        assert_string_equal(captured(), "Name     x\nNumbers  1, 2\nOk       yes\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(columns_are_aligned),
                cmocka_unit_test(terminals_are_not_commanded),
                cmocka_unit_test(json_is_what_was_given),
                cmocka_unit_test(objects_leave_out_what_they_have_not),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
