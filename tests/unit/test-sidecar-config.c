/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/config.h"
#include "tests/unit/test.h"

#include <sys/stat.h>

#define PIN_A "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PIN_B "sha256//BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="

static char folder[] = "/tmp/csign-sidecar-config-XXXXXX";
static char path[64];

static int set_up(void **state) {
        if (!mkdtemp(folder))
                return -1;
        snprintf(path, sizeof(path), "%s/sidecar.conf", folder);
        return 0;
}

static int tear_down(void **state) {
        unlink(path);
        return rmdir(folder);
}

static int load(SidecarConfig *c, const char *text, Error *e) {
        FILE *f = fopen(path, "w");

        assert_non_null(f);
        assert_int_equal(fchmod(fileno(f), 0644), 0);
        fprintf(f, "client-id = acc_aaaaaaaaaaaaaaaaaaaaaaaaaa\n%s\n", text);
        fclose(f);
        return sidecar_config_load(c, folder, e);
}

static void several_addresses_have_an_order(void **state) {
        SidecarConfig c;
        Error e = {};

        assert_int_equal(load(&c, "service = https://a.example:8443/ , https://b.example", &e), 0);
        assert_int_equal(c.services.n, 2);
        assert_string_equal(c.services.urls[0], "https://a.example:8443");
        assert_string_equal(c.services.urls[1], "https://b.example");
        assert_string_equal(c.service, "https://a.example:8443");
        assert_null(c.proxy);
        assert_null(c.service_pin);
        sidecar_config_done(&c);
        assert_int_equal(c.services.n, 0);
}

static void pins_and_proxies_are_read(void **state) {
        SidecarConfig c;
        Error e = {};

        assert_int_equal(load(&c,
                              "service = https://a\nservice-pin = " PIN_A ", " PIN_B
                              "\nproxy = http://proxy.example:3128",
                              &e),
                         0);
        assert_string_equal(c.service_pin, PIN_A ";" PIN_B);
        assert_string_equal(c.proxy, "http://proxy.example:3128");
        sidecar_config_done(&c);
        assert_int_equal(load(&c, "service = https://a\nproxy = none\nstate-directory = none", &e),
                         0);
        assert_string_equal(c.state_directory, "");
        assert_string_equal(c.proxy, "");
        sidecar_config_done(&c);
}

static void mistakes_name_their_line(void **state) {
        static const struct {
                const char *text, *line, *word;
        } cases[] = {
                { "service = https://a, http://b", ":2", "http://b" },
                { "service = https://a,", ":2", "empty" },
                { "service = https://a, https://A/", ":2", "twice" },
                { "service = https://a/v1", ":2", "https://host:port" },
                { "service = https://1,https://2,https://3,https://4,https://5,https://6,https://7,"
                  "https://8,https://9",
                  ":2", "more than 8" },
                { "service = https://a\nservice-pin = AAAA", ":3", "sha256//" },
                { "service = https://a\ncredential = handle:0x81000001", ":3",
                  "credential-provider" },
                { "service = https://a\ncredential = relative.key", ":3", "absolute path" },
                { "service = https://a\ncredential = file:/etc/csign/key", ":3", "absolute path" },
                { "service = https://a\ncredential = csign://a/b", ":3", "absolute path" },
                { "service = https://a\ncredential-provider = csign", ":3", "provider" },
                { "service = https://a\ncredential-provider = ../tpm2", ":3", "provider" },
                { "service = https://a\nservice-pin = sha256//AAAA", ":3", "32 bytes" },
                { "service = https://a\nservice-pin = " PIN_A "," PIN_A "x", ":3", "32 bytes" },
                { "service = https://a\nservice-pin = sha1//AAAA", ":3", "sha256//" },
                { "service = https://a\nproxy = proxy.example", ":3", "http://host:port" },
                { "service = https://a\nproxy = ftp://proxy.example", ":3", "http://host:port" },
                { "service = https://a\nproxy = http://", ":3", "http://host:port" },
                { "service = https://a\nproxy = http://me:secret@proxy", ":3", "password" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                SidecarConfig c = { .client_id = path };
                Error e = {};

                assert_refused(load(&c, cases[i].text, &e), -CSIGN_E_BAD_CONFIG, &e);
                if (!strstr(e.detail, cases[i].line) || !strstr(e.detail, cases[i].word))
                        fail_msg("case %zu: %s", i, e.detail);
                assert_null(strstr(e.detail, "secret"));
                assert_ptr_equal(c.client_id, path);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(several_addresses_have_an_order),
                cmocka_unit_test(pins_and_proxies_are_read),
                cmocka_unit_test(mistakes_name_their_line),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
