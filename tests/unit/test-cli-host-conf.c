/* SPDX-License-Identifier: Apache-2.0 */
/* csign's block in a host's openssl.cnf: what goes in comes out again without a trace. */

#include <string.h>

#include "cli/conf-view.h"
#include "cli/host-conf.h"
#include "tests/unit/test.h"

#define MODULE "/opt/ossl-modules/csign.so"

static const char *const texts[] = {
        "",
        "\n",
        "# a comment",
        "a = b\n",
        "a = b\n\n\n",
        "a = b \\",
        "a = b \\\n",
        "openssl_conf = init\n[init]\nproviders = p\n[p]\nlegacy = l\n[l]\nactivate = 1\n",
        "openssl_conf = init\n[init]\nalg_section = e\n[e]\ndefault_properties = ?fips=yes",
};

static Buf text_buf(const char *text) {
        Buf b = {};

        assert_int_equal(buf_append_str(&b, text), 0);
        return b;
}

static void assert_text(const Buf *b, const char *expected) {
        assert_int_equal(b->len, strlen(expected));
        assert_string_equal(buf_str(b), expected);
}

static void stripping_undoes_adding(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(buf_done) Buf before = text_buf(texts[i]), with = {}, after = {};
                bool found = false, created = true;
                Error e = {};

                assert_int_equal(host_conf_add("c", &before, false, MODULE, &with, &e), 0);
                assert_memory_equal(buf_str(&with), texts[i], strlen(texts[i]));
                assert_int_equal(host_conf_strip("c", &with, &after, &found, &created, &e), 0);
                assert_text(&after, texts[i]);
                assert_true(found);
                assert_false(created);
        }
}

static void what_is_added_says_all(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(buf_done) Buf before = text_buf(texts[i]), with = {};
                _cleanup_(conf_view_done) ConfView v = {};
                Error e = {};

                assert_int_equal(host_conf_add("c", &before, false, MODULE, &with, &e), 0);
                assert_int_equal(conf_view_parse(&v, "c", &with, &e), 0);
                assert_string_equal(v.module, MODULE);
                assert_non_null(v.fallback);
                assert_false(v.csign_first);
                assert_non_null(strstr(v.properties, "?provider!=csign"));
        }
}

static void a_new_file_is_known_again(void **state) {
        _cleanup_(buf_done) Buf before = {}, with = {}, after = {};
        bool found, created;
        Error e = {};

        assert_int_equal(host_conf_add("c", &before, true, MODULE, &with, &e), 0);
        assert_int_equal(host_conf_strip("c", &with, &after, &found, &created, &e), 0);
        assert_true(found && created && after.len == 0);
}

/* Lines that others put behind the block do not run into the line before it. */
static void others_lines_stay_lines(void **state) {
        _cleanup_(buf_done) Buf before = text_buf("a = b"), with = {}, after = {};
        bool found, created;
        Error e = {};

        assert_int_equal(host_conf_add("c", &before, false, MODULE, &with, &e), 0);
        assert_int_equal(buf_append_str(&with, "c = d\n"), 0);
        assert_int_equal(host_conf_strip("c", &with, &after, &found, &created, &e), 0);
        assert_text(&after, "a = b\nc = d\n");
}

static void failures_are_named(void **state) {
        static const struct {
                const char *text, *module, *words;
        } cases[] = {
                { "what is this\n", MODULE, "cannot read" },
                { "openssl_conf = i\n[i]\nproviders = p\n[p]\ncsign = c\n[c]\nx = y\n", MODULE,
                  "csign already" },
                { "openssl_conf = i\n[i]\nalg_section = e\n[e]\n"
                  "default_properties = ?provider=csign\n",
                  MODULE, "first choice" },
                { "", "/opt/$HOME/csign.so", "cannot name" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(buf_done) Buf before = text_buf(cases[i].text), with = {};
                Error e = {};

                assert_int_equal(host_conf_add("c", &before, false, cases[i].module, &with, &e),
                                 -CSIGN_E_BAD_CONFIG);
                assert_non_null(strstr(e.detail, cases[i].words));
                assert_int_equal(with.len, 0);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(stripping_undoes_adding),
                cmocka_unit_test(what_is_added_says_all),
                cmocka_unit_test(a_new_file_is_known_again),
                cmocka_unit_test(others_lines_stay_lines),
                cmocka_unit_test(failures_are_named),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
