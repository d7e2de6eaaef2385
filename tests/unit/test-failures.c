/* SPDX-License-Identifier: Apache-2.0 */
#include "service/failures.h"

#include "tests/unit/service-state.h"
#include "tests/unit/test.h"

typedef struct Seen {
        size_t records;
        bool others;
} Seen;

static int take(const AuditRow *row, void *userdata) {
        Seen *seen = userdata;

        seen->records++;
        if (strstr(row->entry, "\"more\":\"1000\",\"addresses\":\"others\""))
                seen->others = true;
        return 0;
}

/* However many strangers come, the log grows by no more than two records an address, and one. */
static void a_crowd_of_strangers_is_counted(void **state) {
        Failures *f = NULL;
        uint64_t after = 0;
        State *s = *state;
        Seen seen = {};
        Error e = {};

        assert_int_equal(failures_new(&f, s->audit, &e), 0);
        for (unsigned i = 0; i < FAILURE_ADDRESSES + 1000; i++) {
                char address[64];

                snprintf(address, sizeof(address), "2001:db8::%x", i);
                assert_int_equal(failures_note(f, address), i < FAILURE_ADDRESSES);
        }
        assert_false(failures_note(f, "2001:db8::0"));
        failures_free(f);

        assert_int_equal(
                audit_list(s->db, &(AuditFilter){ .kind = FAILURE_KIND }, &after, take, &seen, &e),
                0);
        assert_int_equal(seen.records, 2); /* one that came again, and the others */
        assert_true(seen.others);
}

static void without_failures_there_is_nothing_to_write(void **state) {
        Failures *f = NULL;
        State *s = *state;
        AuditHead head;
        Error e = {};

        assert_int_equal(failures_new(&f, s->audit, &e), 0);
        failures_free(f);
        assert_int_equal(audit_head(s->db, &head, &e), 0);
        assert_true(head.number == 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_crowd_of_strangers_is_counted, state_setup,
                                                state_teardown),
                cmocka_unit_test_setup_teardown(without_failures_there_is_nothing_to_write,
                                                state_setup, state_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
