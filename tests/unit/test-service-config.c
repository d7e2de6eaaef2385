/* SPDX-License-Identifier: Apache-2.0 */
#include "service/config.h"

#include "tests/unit/test.h"

#define REST                                                                                       \
        "state-directory = /var/lib/csign\n"                                                       \
        "keystore-socket = /run/csign/keystore.sock\n"
#define ISSUER "issuer = https://csign.example:8443\n"

static void a_whole_file_is_read(void **state) {
        static const char text[] =
                "listen = [::1]:8443\n" ISSUER REST
                "names = csign.example, 192.0.2.1, ::1, *.csign.example\n"
                "workers = 4\nevent-loops = 2\nidle-timeout = 30\nconnections = 10\n";
        _cleanup_(config_done) Config c = {};
        Error e = {};

        assert_int_equal(config_load_text(&c, "test.conf", text, &e), 0);
        assert_string_equal(c.host, "::1");
        assert_string_equal(c.port, "8443");
        assert_string_equal(c.san, "DNS:csign.example,IP:192.0.2.1,IP:::1,DNS:*.csign.example");
        assert_int_equal(c.workers, 4);
        assert_int_equal(c.event_loops, 2);
        assert_int_equal(c.connections_max, 10);
        assert_true(c.idle_timeout_usec == 30000000);
}

static void what_is_left_out_has_a_default(void **state) {
        _cleanup_(config_done) Config c = {};
        Error e = {};

        assert_int_equal(config_load_text(&c, "test.conf", "listen = :0\n" ISSUER REST, &e), 0);
        assert_string_equal(c.host, "");
        assert_string_equal(c.port, "0");
        assert_int_equal(c.workers, 16);
        assert_string_equal(c.san, "DNS:localhost,IP:127.0.0.1");
}

static void mistakes_are_refused(void **state) {
        static const char *const texts[] = {
                ISSUER REST,
                "listen = :1\n" REST,
                "listen = :1\n" ISSUER,
                "listen = 8443\n" ISSUER REST,
                "listen = host:\n" ISSUER REST,
                "listen = host:99999\n" ISSUER REST,
                "listen = host:1x\n" ISSUER REST,
                "listen = :1\nissuer = http://csign.example\n" REST,
                "listen = :1\nissuer = https://csign.example/\n" REST,
                "listen = :1\nissuer = https://\n" REST,
                "listen = :1\n" ISSUER REST "names = a b\n",
                "listen = :1\n" ISSUER REST "names = a,,b\n",
                "listen = :1\n" ISSUER REST "workers = 0\n",
                "listen = :1\n" ISSUER REST "event-loops = 65\n",
                "listen = :1\n" ISSUER REST "connections = 0\n",
                "listen = :1\n" ISSUER REST "surprise = 1\n",
                "listen = :1\n" ISSUER "state-directory = here\nkeystore-socket = /x\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                Config c = {};
                Error e = {};

                assert_refused(config_load_text(&c, "test.conf", texts[i], &e), -CSIGN_E_BAD_CONFIG,
                               &e);
                assert_null(c.listen);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_whole_file_is_read),
                cmocka_unit_test(what_is_left_out_has_a_default),
                cmocka_unit_test(mistakes_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
