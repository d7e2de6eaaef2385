/* SPDX-License-Identifier: Apache-2.0 */
#include "service/networks.h"

#include "tests/unit/test.h"

static void what_is_in_a_network(void **state) {
        static const struct {
                const char *networks, *address;
                bool expect;
        } cases[] = {
                { "", "192.0.2.1", true },
                { "", "no address", true },
                { "192.0.2.0/24", "192.0.2.0", true },
                { "192.0.2.0/24", "192.0.2.255", true },
                { "192.0.2.0/24", "192.0.3.0", false },
                { "192.0.2.0/24", "::ffff:192.0.2.9", true },
                { "192.0.2.0/24", "::192.0.2.9", false },
                { "192.0.2.128/25", "192.0.2.127", false },
                { "192.0.2.7", "192.0.2.7", true },
                { "192.0.2.7", "192.0.2.6", false },
                { "0.0.0.0/0", "203.0.113.1", true },
                { "0.0.0.0/0", "2001:db8::1", false },
                { "::/0", "2001:db8::1", true },
                { "::/0", "203.0.113.1", false },
                { "2001:db8::/33", "2001:db8:7fff::1", true },
                { "2001:db8::/33", "2001:db8:8000::1", false },
                { "10.0.0.0/8 ::1", "::1", true },
                { "10.0.0.0/8", "", false },
                { "10.0.0.0/8", "10.1", false },
                { "0.0.0.0/0 ::/0", "fe80::1%eth0", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Networks n = {};
                Error e = {};

                assert_int_equal(networks_parse(&n, cases[i].networks, &e), 0);
                assert_int_equal(networks_allow(&n, cases[i].address), cases[i].expect);
        }
}

static void what_is_no_network_is_said_so(void **state) {
        static const char *const cases[] = {
                "10.0.0.0/",  "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x",      "10.0.0.0/0008",
                "10.1.2.3/8", "::/129",      "::1/64",      "10.0/8",           "localhost",
                "/8",         "[::1]",       "fe80::1%lo",  "2001:db8::1::/64",
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Networks n = {};
                Error e = {};

                assert_int_equal(networks_add(&n, cases[i], &e), -CSIGN_E_BAD_REQUEST);
                assert_string_not_equal(e.detail, "");
                assert_int_equal(n.n, 0);
        }
}

static void one_form_is_written(void **state) {
        char text[NETWORKS_TEXT];
        Networks n = {};
        Error e = {};

        assert_int_equal(networks_parse(&n, "10.0.0.0/8  192.0.2.1 2001:DB8:0::/32 ::", &e), 0);
        assert_string_equal(networks_text(&n, text),
                            "10.0.0.0/8 192.0.2.1/32 2001:db8::/32 ::/128");
}

static void there_is_a_most_of_them(void **state) {
        Networks n = {};
        Error e = {};

        for (size_t i = 0; i < NETWORKS_MAX; i++)
                assert_int_equal(networks_add(&n, "192.0.2.0/24", &e), 0);
        assert_int_equal(networks_add(&n, "192.0.2.0/24", &e), -CSIGN_E_BAD_REQUEST);
        assert_int_equal(n.n, NETWORKS_MAX);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_in_a_network),
                cmocka_unit_test(what_is_no_network_is_said_so),
                cmocka_unit_test(one_form_is_written),
                cmocka_unit_test(there_is_a_most_of_them),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
