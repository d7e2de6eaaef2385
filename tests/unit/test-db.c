/* SPDX-License-Identifier: Apache-2.0 */
#include "service/db/db.h"

#include "service/db/queries.h"
#include "tests/unit/service-state.h"
#include "tests/unit/test.h"

static const char sql_set_version[] = "INSERT INTO schema_version (version) VALUES (?)";
static const char sql_user[] = "SELECT name FROM users WHERE name = ?";
static const char sql_users[] = "SELECT name FROM users ORDER BY name";

static void a_database_gets_its_name_last(void **state) {
        _cleanup_(db_closep) Db *made = NULL, *opened = NULL;
        State *s = *state;
        Error e = {};

        assert_int_equal(db_create(&made, s->folder, &e), 0);
        assert_refused(db_open(&opened, s->folder, 1, &e), -ENOENT, &e);
        assert_int_equal(db_publish(made, &e), 0);
        assert_int_equal(db_open(&opened, s->folder, 1, &e), 0);
}

static void a_database_that_is_there_is_not_made_again(void **state) {
        _cleanup_(db_closep) Db *again = NULL;
        State *s = *state;
        Error e = {};

        assert_refused(db_create(&again, s->folder, &e), -EEXIST, &e);
        assert_null(again);
}

static void an_init_that_broke_off_is_begun_anew(void **state) {
        _cleanup_(db_closep) Db *first = NULL, *second = NULL;
        State *s = *state;
        Error e = {};

        assert_int_equal(db_create(&first, s->folder, &e), 0);
        assert_int_equal(db_create(&second, s->folder, &e), 0);
        assert_int_equal(db_publish(second, &e), 0);
}

static void opening_twice_changes_no_schema(void **state) {
        _cleanup_(db_closep) Db *again = NULL;
        State *s = *state;
        Error e = {};
        Tsg t;

        assert_int_equal(db_open(&again, s->folder, 1, &e), 0);
        assert_int_equal(tsg_by_path(again, s->top.id, "acme/web", &t, &e), 0);
}

static void a_newer_schema_is_refused(void **state) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        _cleanup_(db_closep) Db *again = NULL;
        State *s = *state;
        Error e = {};

        assert_int_equal(db_writer(s->db, &c, &e), 0);
        assert_int_equal(db_exec(c, sql_set_version, DB_ARGS(DB_INT(1000)), &e), 1);
        assert_refused(db_open(&again, s->folder, 1, &e), -CSIGN_E_BAD_CONFIG, &e);
}

static int add_user(DbConn *c, const char *id, const char *tsg, const char *name, Error *e) {
        return db_exec(c, SQL_USER_INSERT,
                       DB_ARGS(DB_TEXT(id), DB_TEXT(tsg), DB_TEXT(name), DB_TEXT(name), DB_INT(1)),
                       e);
}

static int take_name(DbRow *row, void *userdata) {
        snprintf(userdata, 64, "%s", db_row_text(row, 0));
        return 0;
}

static void bound_text_stays_text(void **state) {
        static const char name[] = "x'); DROP TABLE users; --";
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        State *s = *state;
        char found[64] = "";
        Error e = {};

        assert_int_equal(db_writer(s->db, &c, &e), 0);
        assert_int_equal(add_user(c, "usr_1", s->top.id, name, &e), 1);
        assert_int_equal(db_read(s->db, sql_user, DB_ARGS(DB_TEXT(name)), take_name, found, &e), 1);
        assert_string_equal(found, name);
}

static void a_taken_name_is_told_from_other_failures(void **state) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        State *s = *state;
        Error e = {};

        assert_int_equal(db_writer(s->db, &c, &e), 0);
        assert_int_equal(add_user(c, "usr_1", s->top.id, "a", &e), 1);
        assert_refused(add_user(c, "usr_1", s->top.id, "b", &e), -EEXIST, &e);
        assert_refused(add_user(c, "usr_2", s->top.id, "a", &e), -EEXIST, &e);
        assert_refused(add_user(c, "usr_2", "tsg_none", "b", &e), -EINVAL, &e);
}

static void a_savepoint_is_undone_alone(void **state) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        State *s = *state;
        char found[64] = "";
        Error e = {};

        assert_int_equal(db_writer(s->db, &c, &e), 0);
        assert_int_equal(db_begin(c, &e), 0);
        assert_int_equal(add_user(c, "usr_1", s->top.id, "kept", &e), 1);
        assert_true(db_savepoint(c, &e) >= 0);
        assert_int_equal(add_user(c, "usr_2", s->top.id, "undone", &e), 1);
        assert_true(db_savepoint_undo(c, &e) >= 0);
        assert_int_equal(db_commit(c, &e), 0);
        assert_int_equal(db_read(s->db, sql_users, DB_NO_ARGS, take_name, found, &e), 1);
        assert_string_equal(found, "kept");
}

static void a_reader_writes_nothing(void **state) {
        State *s = *state;
        DbConn *c;
        Error e = {};

        assert_int_equal(db_acquire(s->db, &c, &e), 0);
        assert_refused(add_user(c, "usr_1", s->top.id, "a", &e), -EROFS, &e);
        db_release(s->db, c);
}

static int stop(DbRow *row, void *userdata) {
        (*(int *) userdata)++;
        return -CSIGN_E_BAD_ANSWER;
}

static void a_row_can_end_the_query(void **state) {
        State *s = *state;
        PathRange range;
        Error e = {};
        int n = 0;

        path_range(s->top.id, "", "", &range);
        assert_int_equal(db_read(s->db, SQL_TSG_LIST, DB_ARGS(PATH_RANGE_ARGS(&range), DB_INT(9)),
                                 stop, &n, &e),
                         -CSIGN_E_BAD_ANSWER);
        assert_int_equal(n, 1);
}

int main(void) {
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)
#define WITH_STATE(f)  cmocka_unit_test_setup_teardown(f, state_setup, state_teardown)
        const struct CMUnitTest tests[] = {
                WITH_FOLDER(a_database_gets_its_name_last),
                WITH_STATE(a_database_that_is_there_is_not_made_again),
                WITH_FOLDER(an_init_that_broke_off_is_begun_anew),
                WITH_STATE(opening_twice_changes_no_schema),
                WITH_STATE(a_newer_schema_is_refused),
                WITH_STATE(bound_text_stays_text),
                WITH_STATE(a_taken_name_is_told_from_other_failures),
                WITH_STATE(a_savepoint_is_undone_alone),
                WITH_STATE(a_reader_writes_nothing),
                WITH_STATE(a_row_can_end_the_query),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
