/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "lib/log.h"
#include "tests/unit/test.h"

static char text[8192];

/* What f writes to stderr, in text. */
static void capture(void (*f)(void)) {
        char path[] = "/tmp/csign-test-log-XXXXXX";
        int fd = mkstemp(path), saved = dup(STDERR_FILENO);
        ssize_t n;

        assert_true(fd >= 0 && saved >= 0);
        assert_int_equal(unlink(path), 0);
        assert_true(dup2(fd, STDERR_FILENO) >= 0);
        f();
        assert_true(dup2(saved, STDERR_FILENO) >= 0);
        n = pread(fd, text, sizeof(text) - 1, 0);
        assert_true(n >= 0);
        text[n] = '\0';
        (void) close(fd);
        (void) close(saved);
}

static size_t lines(void) {
        size_t n = 0;

        for (const char *p = text; (p = strchr(p, '\n')); p++)
                n++;
        return n;
}

static void say_signed(void) {
        log_open("csign-test", LOG_NOTICE);
        log_line(LOG_NOTICE, "signed", "REQUEST_ID", "req_x", "KEY", "a/b c", "EMPTY", "", "NONE",
                 NULL, "LAST", "z", NULL);
}

static void a_line_has_its_fields_and_leaves_out_the_empty(void **state) {
        capture(say_signed);
        assert_int_equal(lines(), 1);
        assert_non_null(strstr(text, "signed"));
        assert_non_null(strstr(text, "REQUEST_ID=req_x"));
        assert_non_null(strstr(text, "a/b c"));
        assert_non_null(strstr(text, "LAST=z"));
        assert_null(strstr(text, "EMPTY"));
        assert_null(strstr(text, "NONE"));
}

static void say_at_all_levels(void) {
        log_open("csign-test", LOG_WARNING);
        log_line(LOG_ERROR, "one", NULL);
        log_line(LOG_WARNING, "two", NULL);
        log_line(LOG_NOTICE, "three", NULL);
        log_line(LOG_TRACE, "four", NULL);
}

static void lines_above_the_level_are_dropped(void **state) {
        capture(say_at_all_levels);
        assert_int_equal(lines(), 2);
        assert_non_null(strstr(text, "one"));
        assert_non_null(strstr(text, "two"));
        assert_null(strstr(text, "three"));
}

static void say_forged(void) {
        log_open("csign-test", LOG_NOTICE);
        log_line(LOG_NOTICE, "evil\nforged line", "KEY", "x\nforged\r\033[2J", NULL);
}

static void no_value_can_forge_a_line(void **state) {
        capture(say_forged);
        assert_int_equal(lines(), 1);
        assert_null(strchr(text, '\r'));
        assert_null(strchr(text, '\033'));
}

static void say_failure(void) {
        Error e = {};

        log_open("csign-test", LOG_NOTICE);
        error_set_request_id(&e, "req_y");
        (void) error_set_rule(&e, -CSIGN_E_OUT_OF_SCOPE, "scope", "key is elsewhere");
        log_failure(LOG_WARNING, "denied", &e);
}

static void a_failure_carries_its_sentence_rule_and_request(void **state) {
        capture(say_failure);
        assert_int_equal(lines(), 1);
        assert_non_null(strstr(text, "denied"));
        assert_non_null(strstr(text, "key is elsewhere"));
        assert_non_null(strstr(text, "scope"));
        assert_non_null(strstr(text, "req_y"));
}

/* What a unit's daemon inherits when somebody redirects its stderr. */
static void say_elsewhere(void) {
        (void) setenv("JOURNAL_STREAM", "1:1", 1);
        log_open("csign-test", LOG_NOTICE);
        log_line(LOG_NOTICE, "here", "KEY", "k", NULL);
        (void) unsetenv("JOURNAL_STREAM");
}

static void a_stderr_that_is_not_the_journal_gets_whole_lines(void **state) {
        capture(say_elsewhere);
        assert_int_equal(lines(), 1);
        assert_non_null(strstr(text, "csign-test notice: here KEY=k"));
}

static char big[20000];

static void say_long(void) {
        log_open("csign-test", LOG_NOTICE);
        memset(big, 'x', sizeof(big) - 1);
        log_line(LOG_NOTICE, big, "KEY", big, NULL);
}

static void a_long_line_is_still_one_line(void **state) {
        capture(say_long);
        assert_true(lines() <= 1);
}

static void levels_have_names(void **state) {
        assert_int_equal(log_level_by_name("error"), LOG_ERROR);
        assert_int_equal(log_level_by_name("warning"), LOG_WARNING);
        assert_int_equal(log_level_by_name("notice"), LOG_NOTICE);
        assert_int_equal(log_level_by_name("detail"), LOG_DETAIL);
        assert_int_equal(log_level_by_name("trace"), LOG_TRACE);
        assert_int_equal(log_level_by_name("loud"), -EINVAL);
        assert_int_equal(log_level_by_name(""), -EINVAL);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_line_has_its_fields_and_leaves_out_the_empty),
                cmocka_unit_test(lines_above_the_level_are_dropped),
                cmocka_unit_test(no_value_can_forge_a_line),
                cmocka_unit_test(a_failure_carries_its_sentence_rule_and_request),
                cmocka_unit_test(a_stderr_that_is_not_the_journal_gets_whole_lines),
                cmocka_unit_test(a_long_line_is_still_one_line),
                cmocka_unit_test(levels_have_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
