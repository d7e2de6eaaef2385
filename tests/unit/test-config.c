/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/config.h"
#include "tests/unit/test.h"

DEFINE_CLEANUP(char, free)

typedef struct Settings {
        char *service;
        char *path;
        uint64_t timeout;
        unsigned count;
        bool quiet;
} Settings;

static const ConfigItem items[] = {
        { "service", config_string, offsetof(Settings, service), CONFIG_REQUIRED },
        { "path", config_path, offsetof(Settings, path), 0 },
        { "timeout", config_seconds, offsetof(Settings, timeout), 0 },
        { "count", config_unsigned, offsetof(Settings, count), 0 },
        { "quiet", config_bool, offsetof(Settings, quiet), 0 },
};

static void settings_done(Settings *s) {
        free(s->service);
        free(s->path);
}

/* Reads the text as a file "t.conf" with the table above at its head. */
static int read_text(const char *text, Settings *s, Error *e) {
        _cleanup_(config_closep) ConfigFile *f = NULL;
        int r;

        r = config_open_text(&f, "t.conf", text, e);
        if (r < 0)
                return r;
        r = config_apply(f, NULL, items, ELEMENTSOF(items), s, e);
        if (r < 0)
                return r;
        return config_finish(f, e);
}

static void values_arrive_by_their_types(void **state) {
        _cleanup_(settings_done) Settings s = { .service = strdup("default") };
        Error e = {};

        assert_int_equal(read_text("# a comment\n"
                                   "service = https://localhost:8443\n"
                                   "path = /var/lib/csign  # behind\n"
                                   "timeout = 1.5\n"
                                   "count = 1000000\n"
                                   "quiet = yes\n",
                                   &s, &e),
                         0);
        assert_string_equal(s.service, "https://localhost:8443");
        assert_string_equal(s.path, "/var/lib/csign");
        assert_true(s.timeout == 1500000);
        assert_int_equal(s.count, 1000000);
        assert_true(s.quiet);
}

static void what_is_not_written_keeps_its_default(void **state) {
        _cleanup_(settings_done) Settings s = { .timeout = 7, .count = 8, .quiet = true };
        Error e = {};

        assert_int_equal(read_text("service = x\n", &s, &e), 0);
        assert_true(s.timeout == 7);
        assert_int_equal(s.count, 8);
        assert_true(s.quiet);
        assert_null(s.path);
}

/* Every error says where it is. */
static void errors_name_their_line(void **state) {
        static const struct {
                const char *text, *where, *word;
        } cases[] = {
                { "service = x\ncolour = red\n", "t.conf:2", "colour" },
                { "service = x\n\n\ntimeout = soon\n", "t.conf:4", "timeout" },
                { "service = x\ntimeout = 0\n", "t.conf:2", "timeout" },
                { "service = x\ntimeout = -1\n", "t.conf:2", "timeout" },
                { "service = x\ntimeout = 86401\n", "t.conf:2", "timeout" },
                { "service = x\ntimeout = nan\n", "t.conf:2", "timeout" },
                { "service = x\ntimeout = inf\n", "t.conf:2", "timeout" },
                { "service = x\ntimeout = 0x10\n", "t.conf:2", "timeout" },
                { "service = x\ntimeout = 1e2\n", "t.conf:2", "timeout" },
                { "service = x\ntimeout = 30s\n", "t.conf:2", "timeout" },
                { "service = x\ncount = 1000001\n", "t.conf:2", "count" },
                { "service = x\ncount = -1\n", "t.conf:2", "count" },
                { "service = x\ncount = 1.5\n", "t.conf:2", "count" },
                { "service = x\nquiet = maybe\n", "t.conf:2", "quiet" },
                { "service = x\npath = here/there\n", "t.conf:2", "path" },
                { "timeout = 3\n", "t.conf", "service" },
                { "service = x\n[extra]\na = b\n", "t.conf:2", "extra" },
                { "service = x\nno equals sign\n", "t.conf:2", "" },
                { "service = x\n[unclosed\n", "t.conf:2", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(settings_done) Settings s = {};
                Error e = {};
                int r;

                r = read_text(cases[i].text, &s, &e);
                if (r == 0 || !strstr(e.detail, cases[i].where) || !strstr(e.detail, cases[i].word))
                        print_error("case %zu: %d '%s'\n", i, r, e.detail);
                assert_refused(r, -CSIGN_E_BAD_CONFIG, &e);
                assert_non_null(strstr(e.detail, cases[i].where));
                assert_non_null(strstr(e.detail, cases[i].word));
        }
}

static void sizes_have_units(void **state) {
        static const struct {
                const char *text;
                size_t expect; /* 0: refused */
        } cases[] = {
                { "1", 1 },
                { "4096", 4096 },
                { "4K", 4096 },
                { "64M", 64 << 20 },
                { "1024M", 1 << 30 },
                { "1048576K", 1 << 30 },
                { "0", 0 },
                { "0M", 0 },
                { "1025M", 0 },
                { "", 0 },
                { "-1", 0 },
                { "M", 0 },
                { "1G", 0 },
                { "1MB", 0 },
                { " 1", 0 },
                { "1073741825", 0 },
                { "99999999999999999999", 0 },
                { "18446744073709551615K", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                size_t v = 0;
                Error e = {};
                int r = config_bytes(cases[i].text, &v, &e);

                if (cases[i].expect == 0)
                        assert_refused(r, -CSIGN_E_BAD_CONFIG, &e);
                else
                        assert_int_equal(r, 0);
                assert_int_equal(v, cases[i].expect);
        }
}

static void sections_are_read_by_name(void **state) {
        static const ConfigItem inner[] = {
                { "count", config_unsigned, offsetof(Settings, count), 0 },
        };
        _cleanup_(config_closep) ConfigFile *f = NULL;
        _cleanup_(settings_done) Settings s = {};
        Error e = {};

        assert_int_equal(config_open_text(&f, "t.conf", "service = x\n[a]\ncount = 5\n", &e), 0);
        assert_true(config_has_section(f, "a"));
        assert_false(config_has_section(f, "b"));
        assert_int_equal(config_apply(f, NULL, items, ELEMENTSOF(items), &s, &e), 0);
        assert_refused(config_finish(f, &e), -CSIGN_E_BAD_CONFIG, &e); /* [a] was not asked for */
        assert_int_equal(config_apply(f, "a", inner, ELEMENTSOF(inner), &s, &e), 0);
        assert_int_equal(s.count, 5);
        assert_int_equal(config_apply(f, "b", inner, ELEMENTSOF(inner), &s, &e), 0);
        assert_int_equal(config_finish(f, &e), 0);
        assert_string_equal(config_where(f, "a", "count"), "t.conf:3");
        assert_string_equal(config_where(f, "a", NULL), "t.conf:2");
        assert_string_equal(config_where(f, NULL, "service"), "t.conf:1");
        assert_string_equal(config_where(f, "b", "nothing"), "t.conf");
}

static void a_missing_file_is_told_apart(void **state) {
        _cleanup_(config_closep) ConfigFile *f = NULL;
        Error e = {};

        assert_int_equal(config_open(&f, "/nonexistent/t.conf", FILE_TRUSTED, &e), -ENOENT);
        assert_non_null(strstr(e.detail, "/nonexistent/t.conf"));
        assert_null(f);
}

static void booleans_have_their_words(void **state) {
        static const struct {
                const char *word;
                int expect; /* -1: refused */
        } cases[] = {
                { "yes", 1 }, { "no", 0 },  { "true", 1 },  { "false", 0 },
                { "on", 1 },  { "off", 0 }, { "1", 1 },     { "0", 0 },
                { "2", -1 },  { "", -1 },   { "yess", -1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                bool b = cases[i].expect != 1;
                Error e = {};
                int r = config_bool(cases[i].word, &b, &e);

                if (cases[i].expect < 0) {
                        assert_true(r < 0);
                        assert_string_not_equal(e.detail, "");
                } else {
                        assert_int_equal(r, 0);
                        assert_int_equal(b, cases[i].expect);
                }
        }
}

typedef struct Words {
        char text[64];
        int stop_at;
} Words;

static int collect(const char *item, void *userdata, Error *e) {
        Words *w = userdata;

        if (--w->stop_at == 0)
                return error_set(e, -EINTR, "stopped");
        (void) strncat(w->text, item, sizeof(w->text) - strlen(w->text) - 1);
        (void) strncat(w->text, ";", sizeof(w->text) - strlen(w->text) - 1);
        return 0;
}

static void lists_are_walked_item_by_item(void **state) {
        Words w = {};
        Error e = {};

        assert_int_equal(config_each(" a, b c ,d", collect, &w, &e), 0);
        assert_string_equal(w.text, "a;b c;d;");

        w = (Words){ .stop_at = 2 };
        assert_int_equal(config_each("a,b,c", collect, &w, &e), -EINTR);
        assert_string_equal(w.text, "a;");

        w = (Words){};
        assert_true(config_each("a,,b", collect, &w, &e) < 0);
        assert_true(config_each("a,", collect, &w, &e) < 0);
        assert_true(config_each(",", collect, &w, &e) < 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(values_arrive_by_their_types),
                cmocka_unit_test(what_is_not_written_keeps_its_default),
                cmocka_unit_test(errors_name_their_line),
                cmocka_unit_test(sizes_have_units),
                cmocka_unit_test(sections_are_read_by_name),
                cmocka_unit_test(a_missing_file_is_told_apart),
                cmocka_unit_test(booleans_have_their_words),
                cmocka_unit_test(lists_are_walked_item_by_item),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
