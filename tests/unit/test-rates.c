/* SPDX-License-Identifier: Apache-2.0 */
#include "service/rates.h"

#include "tests/unit/test.h"

static unsigned taken(Rates *l, unsigned (*f)(Rates *, const char *), const char *name,
                      unsigned n) {
        unsigned good = 0;

        for (unsigned i = 0; i < n; i++)
                good += f(l, name) == 0;
        return good;
}

/* Two seconds' worth at once, and then a wait: a slow machine may get a few more in. */
static void a_rate_has_a_burst_and_then_a_wait(void **state) {
        Rates *l = rates_new(&(RateSettings){ .per_address = 10, .per_principal = 10 });
        unsigned n;

        n = taken(l, rates_request_by_address, "192.0.2.1", 200);
        assert_in_range(n, 19, 60);
        assert_in_range(rates_request_by_address(l, "192.0.2.1"), 0, 1);
        assert_int_equal(rates_request_by_address(l, "192.0.2.2"), 0);
        assert_in_range(taken(l, rates_request_by_principal, "acc_x", 200), 19, 60);
        rates_free(l);
}

static void an_ipv6_address_stands_for_its_network(void **state) {
        Rates *l = rates_new(&(RateSettings){ .per_address = 1 });
        unsigned good = 0;

        for (unsigned i = 0; i < 100; i++) {
                char address[64];

                snprintf(address, sizeof(address), "2001:db8:0:1::%x", i + 1);
                good += rates_request_by_address(l, address) == 0;
        }
        assert_in_range(good, 1, 10);
        assert_int_equal(rates_request_by_address(l, "2001:db8:0:2::1"), 0);
        rates_free(l);
}

static void who_names_a_client_id_locks_out_no_address_but_the_own(void **state) {
        Rates *l = rates_new(&(RateSettings){ .failures = 10 });
        unsigned waits = 0;

        for (unsigned i = 0; i < 30; i++)
                waits += rates_failure(l, "192.0.2.1", "acc_x") > 0;
        assert_in_range(waits, 15, 20);
        assert_int_not_equal(rates_failure(l, "192.0.2.1", ""), 0);
        assert_int_not_equal(rates_failure(l, "192.0.2.9", "acc_x"), 0);
        assert_int_equal(rates_failure(l, "192.0.2.8", "acc_y"), 0);
        rates_free(l);
}

static void names_seldom_share_a_rate(void **state) {
        Rates *l = rates_new(&(RateSettings){ .per_principal = 1 });
        unsigned waits = 0;

        for (unsigned i = 0; i < 1000; i++) {
                char id[64];

                snprintf(id, sizeof(id), "acc_aaaaaaaaaaaaaaaaaaaaaa%04u", i);
                waits += rates_request_by_principal(l, id) > 0;
        }
        assert_in_range(waits, 0, 10);
        rates_free(l);
}

static void zero_is_no_limit(void **state) {
        Rates *l = rates_new(&(RateSettings){});

        assert_int_equal(taken(l, rates_request_by_address, "192.0.2.1", 10000), 10000);
        for (unsigned i = 0; i < 1000; i++) {
                assert_int_equal(rates_failure(l, "192.0.2.1", "acc_x"), 0);
                assert_true(rates_connect(l, "192.0.2.1"));
        }
        rates_free(l);
}

static void connections_are_counted_and_given_back(void **state) {
        Rates *l = rates_new(&(RateSettings){ .connections = 2 });

        assert_true(rates_connect(l, "192.0.2.1"));
        assert_true(rates_connect(l, "192.0.2.1"));
        assert_false(rates_connect(l, "192.0.2.1"));
        assert_true(rates_connect(l, "192.0.2.2"));
        rates_disconnect(l, "192.0.2.1");
        assert_true(rates_connect(l, "192.0.2.1"));
        rates_free(l);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_rate_has_a_burst_and_then_a_wait),
                cmocka_unit_test(an_ipv6_address_stands_for_its_network),
                cmocka_unit_test(who_names_a_client_id_locks_out_no_address_but_the_own),
                cmocka_unit_test(names_seldom_share_a_rate),
                cmocka_unit_test(zero_is_no_limit),
                cmocka_unit_test(connections_are_counted_and_given_back),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
