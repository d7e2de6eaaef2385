/* SPDX-License-Identifier: Apache-2.0 */
#include "service/tsg.h"

#include "tests/unit/service-state.h"
#include "tests/unit/test.h"

static void reach_is_the_own_tsg_and_below(void **state) {
        State *s = *state;
        const Tsg *all[] = { &s->top, &s->acme, &s->mobile, &s->ios, &s->web, &s->other };
        /* Row: who asks; column: what for; both in the order of `all`. */
        static const bool reaches[6][6] = {
                { 1, 1, 1, 1, 1, 1 }, { 0, 1, 1, 1, 1, 0 }, { 0, 0, 1, 1, 0, 0 },
                { 0, 0, 0, 1, 0, 0 }, { 0, 0, 0, 0, 1, 0 }, { 0, 0, 0, 0, 0, 1 },
        };

        for (size_t i = 0; i < 6; i++)
                for (size_t k = 0; k < 6; k++) {
                        int expect = reaches[i][k] ? 0 : -CSIGN_E_NOT_FOUND;
                        Tsg by_id = {}, by_path = {};
                        Error e = {};

                        assert_int_equal(tsg_by_id(s->db, all[i]->id, all[k]->id, &by_id, &e),
                                         expect);
                        assert_int_equal(tsg_by_path(s->db, all[i]->id, all[k]->path, &by_path, &e),
                                         expect);
                        assert_string_equal(by_id.path, reaches[i][k] ? all[k]->path : "");
                        assert_string_equal(by_path.id, reaches[i][k] ? all[k]->id : "");
                }
}

static void an_unknown_scope_reaches_nothing(void **state) {
        State *s = *state;
        Error e = {};
        Tsg t;

        assert_refused(tsg_by_id(s->db, "", s->acme.id, &t, &e), -CSIGN_E_NOT_FOUND, &e);
        assert_refused(tsg_by_id(s->db, "tsg_none", s->acme.id, &t, &e), -CSIGN_E_NOT_FOUND, &e);
}

static void the_chain_begins_at_the_top(void **state) {
        State *s = *state;
        TsgChain chain;
        Error e = {};
        DbConn *c;

        assert_int_equal(db_acquire(s->db, &c, &e), 0);
        assert_int_equal(tsg_chain(c, s->ios.id, &chain, &e), 0);
        assert_int_equal(chain.n, 4);
        assert_string_equal(chain.ids[0], s->top.id);
        assert_string_equal(chain.ids[1], s->acme.id);
        assert_string_equal(chain.ids[3], s->ios.id);
        assert_int_equal(tsg_chain(c, s->top.id, &chain, &e), 0);
        assert_int_equal(chain.n, 1);
        db_release(s->db, c);
}

static int insert(DbConn *c, void *userdata, Error *e) {
        return tsg_insert(c, userdata, e);
}

static void a_taken_path_is_refused(void **state) {
        State *s = *state;
        Tsg twin = s->web;
        Error e = {};
        AuditJob job = { .change = insert, .userdata = &twin, .e = &e };

        strcpy(twin.id, "tsg_other");
        assert_refused(audit_commit(s->audit, &job), -CSIGN_E_ALREADY_EXISTS, &e);
}

typedef struct Seen {
        size_t n;
        char paths[8][32];
} Seen;

static int take(const Tsg *t, void *userdata) {
        Seen *seen = userdata;

        snprintf(seen->paths[seen->n++], 32, "%.31s", t->path);
        return 0;
}

static void listings_stay_in_scope_and_go_on_after_a_path(void **state) {
        State *s = *state;
        const Root root = { s->acme.id, "acme" };
        Seen seen = {};
        Error e = {};

        assert_int_equal(tsg_list(s->db, &root, "", 2, take, &seen, &e), 2);
        assert_int_equal(tsg_list(s->db, &root, seen.paths[1], 5, take, &seen, &e), 2);
        assert_string_equal(seen.paths[0], "acme");
        assert_string_equal(seen.paths[1], "acme/mobile");
        assert_string_equal(seen.paths[2], "acme/mobile/ios");
        assert_string_equal(seen.paths[3], "acme/web");
}

static void below_is_by_names_and_not_by_letters(void **state) {
        assert_true(path_is_below("acme/mobile", "acme"));
        assert_true(path_is_below("acme", "acme"));
        assert_true(path_is_below("acme", ""));
        assert_true(path_is_below("", ""));
        assert_false(path_is_below("acmes/mobile", "acme"));
        assert_false(path_is_below("acme", "acme/mobile"));
        assert_false(path_is_below("", "acme"));
}

static void a_path_splits_into_tsg_and_name(void **state) {
        char tsg[PATH_MAX_LEN] = "", name[NAME_MAX_LEN + 1] = "";
        Error e = {};

        assert_int_equal(path_split("acme/mobile/ci", tsg, name, &e), 0);
        assert_string_equal(tsg, "acme/mobile");
        assert_string_equal(name, "ci");
        assert_refused(path_split("ci", tsg, name, &e), -CSIGN_E_BAD_REQUEST, &e);
}

int main(void) {
#define WITH_STATE(f) cmocka_unit_test_setup_teardown(f, state_setup, state_teardown)
        const struct CMUnitTest tests[] = {
                WITH_STATE(reach_is_the_own_tsg_and_below),
                WITH_STATE(an_unknown_scope_reaches_nothing),
                WITH_STATE(the_chain_begins_at_the_top),
                WITH_STATE(a_taken_path_is_refused),
                WITH_STATE(listings_stay_in_scope_and_go_on_after_a_path),
                cmocka_unit_test(below_is_by_names_and_not_by_letters),
                cmocka_unit_test(a_path_splits_into_tsg_and_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
