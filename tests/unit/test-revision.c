/* SPDX-License-Identifier: Apache-2.0 */
#include "service/revision.h"

#include "service/db/queries.h"
#include "tests/unit/service-state.h"
#include "tests/unit/test.h"

static int take_number(DbRow *row, void *userdata) {
        *(int64_t *) userdata = db_row_int(row, 0);
        return 0;
}

static int64_t revision_of(DbConn *c, const char *id) {
        int64_t n = 0;
        Error e = {};

        assert_int_equal(db_query(c, "SELECT revision FROM accounts WHERE id = ?",
                                  DB_ARGS(DB_TEXT(id)), take_number, &n, &e),
                         1);
        return n;
}

static void a_change_wants_its_revision(void **state) {
        static const struct {
                uint64_t if_match;
                int expect;
                int64_t revision;
        } cases[] = {
                { 2, -CSIGN_E_PRECONDITION_FAILED, 1 },         { 1, 0, 2 },
                { 1, -CSIGN_E_PRECONDITION_FAILED, 2 },         { 0, 0, 3 },
                { INT64_MAX, -CSIGN_E_PRECONDITION_FAILED, 3 }, { 3, 0, 4 },
        };
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        State *s = *state;
        Error e = {};

        assert_int_equal(db_writer(s->db, &c, &e), 0);
        assert_int_equal(db_exec(c,
                                 "INSERT INTO accounts (id, tsg, name, path, created, expires) "
                                 "VALUES ('acc_x', ?, 'x', 'acme/x', 1, 2)",
                                 DB_ARGS(DB_TEXT(s->acme.id)), &e),
                         1);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int r;

                e = (Error){};
                r = revision_bump(c, SQL_ACCOUNT_TOUCH, "account", "acc_x", cases[i].if_match, &e);
                assert_int_equal(r, cases[i].expect);
                if (r < 0)
                        assert_refused(r, cases[i].expect, &e);
                assert_int_equal(revision_of(c, "acc_x"), cases[i].revision);
        }
}

static void what_is_gone_cannot_be_changed(void **state) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        State *s = *state;
        Error e = {}, f = {};

        assert_int_equal(db_writer(s->db, &c, &e), 0);
        assert_refused(revision_bump(c, SQL_KEY_TOUCH, "key", "key_gone", 0, &e),
                       -CSIGN_E_NOT_FOUND, &e);
        assert_refused(revision_bump(c, SQL_KEY_TOUCH, "key", "key_gone", 1, &f),
                       -CSIGN_E_PRECONDITION_FAILED, &f);
}

static void etags_are_read_as_they_are_written(void **state) {
        static const uint64_t revisions[] = { 1, 7, 10, INT64_MAX };
        char etag[REVISION_ETAG_MAX];
        uint64_t v = 9;
        Error e = {};

        for (size_t i = 0; i < ELEMENTSOF(revisions); i++) {
                assert_int_equal(revision_parse(revision_etag(revisions[i], etag), &v, &e), 0);
                assert_int_equal(v, revisions[i]);
        }
        assert_int_equal(revision_parse("*", &v, &e), 0);
        assert_int_equal(v, 0);
}

static void other_etags_are_refused(void **state) {
        static const char *const bad[] = {
                "",
                "\"",
                "\"\"",
                "7",
                "\"7",
                "7\"",
                "\"0\"",
                "\"07\"",
                "\"-1\"",
                "W/\"7\"",
                "\"7\" ",
                " \"7\"",
                "\"7\",\"8\"",
                "\"+7\"",
                "**",
                "\" 7\"",
                "\"9223372036854775808\"",
                "\"99999999999999999999\"",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                uint64_t v = 9;
                Error e = {};

                assert_refused(revision_parse(bad[i], &v, &e), -CSIGN_E_BAD_REQUEST, &e);
                assert_int_equal(v, 9);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_change_wants_its_revision, state_setup,
                                                state_teardown),
                cmocka_unit_test_setup_teardown(what_is_gone_cannot_be_changed, state_setup,
                                                state_teardown),
                cmocka_unit_test(etags_are_read_as_they_are_written),
                cmocka_unit_test(other_etags_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
