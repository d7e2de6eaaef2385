/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/key-uri.h"
#include "tests/unit/test.h"

static void uris_mean_what_the_header_says(void **state) {
        static const struct {
                const char *uri, *path;
                uint32_t version;
                KeyUriType type;
                bool listing;
        } cases[] = {
                { "csign:acme/mobile/release", "acme/mobile/release", 0, KEY_URI_ANY, false },
                { "csign://acme/mobile/release", "acme/mobile/release", 0, KEY_URI_ANY, false },
                { "csign:///acme/mobile/release", "acme/mobile/release", 0, KEY_URI_ANY, false },
                { "csign://acme/mobile/release@2", "acme/mobile/release", 2, KEY_URI_ANY, false },
                { "csign://acme/release?type=cert", "acme/release", 0, KEY_URI_CERT, false },
                { "csign://acme/release@7?type=private", "acme/release", 7, KEY_URI_PRIVATE,
                  false },
                { "csign:a/b@4294967295?type=public", "a/b", UINT32_MAX, KEY_URI_PUBLIC, false },
                { "csign://acme/mobile/", "acme/mobile", 0, KEY_URI_ANY, true },
                { "csign://acme/?type=cert", "acme", 0, KEY_URI_CERT, true },
                { "csign:", "", 0, KEY_URI_ANY, true },
                { "csign://", "", 0, KEY_URI_ANY, true },
                { "csign:///", "", 0, KEY_URI_ANY, true },
                { "csign://Acme/MOBILE/Release", "acme/mobile/release", 0, KEY_URI_ANY, false },
                { "csign:0/a.b_c-d", "0/a.b_c-d", 0, KEY_URI_ANY, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[KEY_URI_TEXT_MAX];
                KeyUri uri = {}, again = {};
                Error e = {};

                assert_int_equal(key_uri_parse(cases[i].uri, &uri, &e), 0);
                assert_string_equal(uri.path, cases[i].path);
                assert_int_equal(uri.version, cases[i].version);
                assert_int_equal(uri.type, cases[i].type);
                assert_int_equal(uri.listing, cases[i].listing);

                assert_int_equal(key_uri_parse(key_uri_text(&uri, text), &again, &e), 0);
                assert_string_equal(again.path, uri.path);
                assert_int_equal(again.version, uri.version);
                assert_int_equal(again.type, uri.type);
                assert_int_equal(again.listing, uri.listing);
        }
}

static void malformed_uris_are_refused_and_nothing_is_written(void **state) {
        static const char *const cases[] = {
                "",
                "csign",
                "csing://a/b",
                "pkcs11:a/b",
                "CSIGN2:a/b",
                "acme/mobile/release",
                "csign://a//b",
                "csign:////a/b",
                "csign://a/b@",
                "csign://a/b@0",
                "csign://a/b@-1",
                "csign://a/b@+1",
                "csign://a/b@1x",
                "csign://a/b@ 1",
                "csign://a/b@4294967296",
                "csign://a/b@1@2",
                "csign://a@1/b",
                "csign://a/b?",
                "csign://a/b?type",
                "csign://a/b?type=",
                "csign://a/b?type=secret",
                "csign://a/b?type=cert&type=cert",
                "csign://a/b?colour=red",
                "csign://a/b?type=cert?type=cert",
                "csign://a/b#x",
                "csign://a/ b",
                "csign://a/b ",
                "csign://a/b\n",
                "csign://a/../b",
                "csign://a/./b",
                "csign://a/.b",
                "csign://a/-b",
                "csign://a/_b",
                "csign://a/b%2fc",
                "csign://a/b\\c",
                "csign://a/b*",
                "csign://a/\xc3\xa4",
                "csign://a/b:c",
                "csign://a/@1",
                "csign:@1",
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                KeyUri uri = { .path = "before", .version = 99 };
                Error e = {};
                int r;

                r = key_uri_parse(cases[i], &uri, &e);
                if (r == 0)
                        print_error("taken: '%s'\n", cases[i]);
                assert_refused(r, -CSIGN_E_BAD_REQUEST, &e);
                assert_string_equal(uri.path, "before");
                assert_int_equal(uri.version, 99);
        }
}

/* n names of len characters. */
static void build(char *buf, size_t n, size_t len) {
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        *buf++ = '/';
                memset(buf, 'a', len);
                buf += len;
        }
        *buf = '\0';
}

static void depth_and_length_have_limits(void **state) {
        char path[2 * PATH_MAX_LEN], out[PATH_MAX_LEN], uri[2 * PATH_MAX_LEN + 64],
                text[KEY_URI_TEXT_MAX];
        KeyUri parsed = {};
        Error e = {};

        build(path, PATH_DEPTH_MAX, NAME_MAX_LEN);
        assert_int_equal(path_normalize(path, out, &e), 0);
        assert_string_equal(out, path);
        (void) snprintf(uri, sizeof(uri), "csign://%s@4294967295?type=private", path);
        assert_int_equal(key_uri_parse(uri, &parsed, &e), 0);
        assert_string_equal(key_uri_text(&parsed, text), uri);

        build(path, PATH_DEPTH_MAX + 1, 1);
        assert_refused(path_normalize(path, out, &e), -CSIGN_E_BAD_REQUEST, &e);
        build(path, 1, NAME_MAX_LEN + 1);
        assert_refused(path_normalize(path, out, &e), -CSIGN_E_BAD_REQUEST, &e);
        assert_refused(name_normalize(path, out, &e), -CSIGN_E_BAD_REQUEST, &e);
        build(path, 1, sizeof(path) - 1);
        assert_refused(path_normalize(path, out, &e), -CSIGN_E_BAD_REQUEST, &e);
}

static void people_may_leave_the_scheme_away(void **state) {
        KeyUri uri = {};
        Error e = {};

        assert_int_equal(key_uri_parse_loose("acme/mobile/release@3", &uri, &e), 0);
        assert_string_equal(uri.path, "acme/mobile/release");
        assert_int_equal(uri.version, 3);
        assert_int_equal(key_uri_parse_loose("csign://acme/web/site?type=cert", &uri, &e), 0);
        assert_string_equal(uri.path, "acme/web/site");
        assert_int_equal(uri.type, KEY_URI_CERT);
        assert_refused(key_uri_parse_loose("pkcs11:token=x", &uri, &e), -CSIGN_E_BAD_REQUEST, &e);
        assert_refused(key_uri_parse_loose("../x", &uri, &e), -CSIGN_E_BAD_REQUEST, &e);
}

static void names_are_normalised_once(void **state) {
        char name[NAME_MAX_LEN + 1], path[PATH_MAX_LEN];
        Error e = {};

        assert_int_equal(name_normalize("ReLease-1", name, &e), 0);
        assert_string_equal(name, "release-1");
        assert_true(name_is_valid("release-1"));
        assert_false(name_is_valid("Release-1"));
        assert_false(name_is_valid(""));
        assert_false(name_is_valid("a/b"));
        assert_int_equal(path_normalize("ACME/Web", path, &e), 0);
        assert_string_equal(path, "acme/web");
        assert_true(path_is_valid("acme/web"));
        assert_false(path_is_valid("acme/Web"));
        assert_false(path_is_valid("/acme"));
        assert_false(path_is_valid("acme/"));
        assert_refused(name_normalize("", name, &e), -CSIGN_E_BAD_REQUEST, &e);
        assert_refused(name_normalize("a/b", name, &e), -CSIGN_E_BAD_REQUEST, &e);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(uris_mean_what_the_header_says),
                cmocka_unit_test(malformed_uris_are_refused_and_nothing_is_written),
                cmocka_unit_test(depth_and_length_have_limits),
                cmocka_unit_test(people_may_leave_the_scheme_away),
                cmocka_unit_test(names_are_normalised_once),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
