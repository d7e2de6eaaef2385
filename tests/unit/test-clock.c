/* SPDX-License-Identifier: Apache-2.0 */
#include "service/clock.h"

#include "tests/unit/test.h"

static void times_are_read(void **state) {
        static const struct {
                const char *text;
                uint64_t seconds;
        } cases[] = {
                { "1970-01-01T00:00:00Z", 0 },
                { "2027-01-31T12:00:00Z", 1801396800 },
                { "2027-01-31T12:00:00.999999Z", 1801396800 },
                { "2027-01-31T13:30:00+01:30", 1801396800 },
                { "2027-01-31T10:00:00-02:00", 1801396800 },
                { "2024-02-29T00:00:00Z", 1709164800 },
                { "9999-12-31T23:59:59Z", 253402300799 },
        };
        char text[CLOCK_TEXT_MAX];
        uint64_t t, again;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                assert_int_equal(clock_parse(cases[i].text, &t), 0);
                assert_true(t == cases[i].seconds * USEC_PER_SEC);
                assert_int_equal(clock_parse(clock_text_seconds(t, text), &again), 0);
                assert_true(again == t);
        }
}

static void what_is_no_time_is_refused(void **state) {
        static const char *const cases[] = {
                "",
                "2027-01-31",
                "2027-01-31T12:00:00",
                "2027-01-31t12:00:00Z",
                "2027-01-31 12:00:00Z",
                "2027-1-31T12:00:00Z",
                "2027-02-29T00:00:00Z",
                "2027-13-01T00:00:00Z",
                "2027-00-10T00:00:00Z",
                "2027-01-00T00:00:00Z",
                "2027-01-31T24:00:00Z",
                "2027-01-31T12:60:00Z",
                "2027-01-31T12:00:60Z",
                "2027-01-31T12:00:00.Z",
                "2027-01-31T12:00:00ZZ",
                "2027-01-31T12:00:00+0100",
                "2027-01-31T12:00:00+24:00",
                "2027-01-31T12:00:00*01:00",
                "2027-01-31T12:00:0001:00",
                "1969-12-31T23:59:59Z",
                "1970-01-01T00:00:00+01:00",
        };
        uint64_t t = 7;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_true(clock_parse(cases[i], &t) < 0);
        assert_true(t == 7);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(times_are_read),
                cmocka_unit_test(what_is_no_time_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
