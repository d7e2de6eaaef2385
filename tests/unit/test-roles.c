/* SPDX-License-Identifier: Apache-2.0 */
#include "service/roles.h"

#include <sqlite3.h>

#include "lib/file.h"
#include "service/db/queries.h"
#include "service/users.h"
#include "tests/unit/service-state.h"
#include "tests/unit/test.h"

#define USER  "usr_aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER "usr_bbbbbbbbbbbbbbbbbbbbbbbbbb"
#define TEAM  "team_aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ROLE  "role_aaaaaaaaaaaaaaaaaaaaaaaaaa"

static const char sql_team[] =
        "INSERT INTO teams (id, tsg, name, path, created) VALUES (?, ?, 'team', ?, 1)";
static const char sql_member[] = "INSERT INTO team_members (team, member) VALUES (?, ?)";
static const char sql_disable[] = "UPDATE users SET state = 'disabled' WHERE id = ?";

static void add_user(DbConn *c, const char *id, const Tsg *tsg, const char *name) {
        ApiKey k = { .name = "first", .created = 1 };
        User u = { .created = 1 };
        uint8_t hash[SHA256_SIZE] = {};
        Error e = {};

        snprintf(u.id, sizeof(u.id), "%s", id);
        snprintf(u.tsg, sizeof(u.tsg), "%s", tsg->id);
        snprintf(u.name, sizeof(u.name), "%s", name);
        snprintf(u.path, sizeof(u.path), "%.200s%s%s", tsg->path, tsg->path[0] ? "/" : "", name);
        assert_int_equal(user_insert(c, &u, &e), 1);
        memcpy(hash, name, strlen(name));
        snprintf(k.id, sizeof(k.id), "ak_%.30s", name);
        snprintf(k.user, sizeof(k.user), "%s", id);
        assert_int_equal(user_api_key_insert(c, &k, hash, &e), 1);
}

static int grant(DbConn *c, const char *id, const char *role, const char *to, const Tsg *tsg,
                 Error *e) {
        RoleBinding b = { .created = 1 };

        snprintf(b.id, sizeof(b.id), "%s", id);
        snprintf(b.role, sizeof(b.role), "%s", role);
        snprintf(b.principal, sizeof(b.principal), "%s", to);
        snprintf(b.tsg, sizeof(b.tsg), "%s", tsg->id);
        return role_binding_insert(c, &b, e);
}

static void add_team(DbConn *c, const char *id, const Tsg *tsg, const char *member) {
        Error e = {};

        assert_int_equal(
                db_exec(c, sql_team, DB_ARGS(DB_TEXT(id), DB_TEXT(tsg->id), DB_TEXT(id)), &e), 1);
        assert_int_equal(db_exec(c, sql_member, DB_ARGS(DB_TEXT(id), DB_TEXT(member)), &e), 1);
}

static Principal *load(DbConn *c, const char *id) {
        Principal *p = NULL;
        Error e = {};

        assert_int_equal(principal_by_id(c, id, &p, &e), 0);
        return p;
}

static void roles_are_the_own_ones_and_those_of_teams(void **state) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        _cleanup_(principal_unrefp) Principal *p = NULL;
        State *s = *state;
        Error e = {};

        assert_int_equal(db_writer(s->db, &c, &e), 0);
        add_user(c, USER, &s->acme, "ann");
        add_team(c, TEAM, &s->mobile, USER);
        assert_int_equal(grant(c, "bind_1", "viewer", USER, &s->acme, &e), 0);
        assert_int_equal(grant(c, "bind_2", "key-manager", TEAM, &s->ios, &e), 0);
        assert_int_equal(grant(c, "bind_3", "owner", OTHER, &s->acme, &e), 0);

        p = load(c, USER);
        assert_string_equal(p->name, "acme/ann");
        assert_string_equal(p->tsg_path, "acme");
        assert_string_equal(p->home, s->acme.id);
        assert_int_equal(p->above.n, 2);
        assert_int_equal(p->n_teams, 1);
        assert_string_equal(p->teams[0], TEAM);
        assert_int_equal(p->n_bindings, 2);
        assert_string_equal(p->bindings[0].principal, USER);
        assert_string_equal(p->bindings[1].principal, TEAM);
        assert_string_equal(p->bindings[1].path, "acme/mobile/ios");
        assert_int_equal(p->bindings[1].tsg.n, 4);
        assert_int_equal(p->bindings[1].rights.on[PAGE_KEYS], ACCESS_WRITE);
        assert_int_equal(p->bindings[0].rights.on[PAGE_KEYS], ACCESS_VIEW);
}

/* As after its TSG was moved elsewhere. */
static void a_role_that_could_not_be_granted_there_gives_nothing(void **state) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        _cleanup_(principal_unrefp) Principal *p = NULL;
        Role role = {
                .id = ROLE, .name = "r", .path = "acme/web/r", .rights.on = { ACCESS_WRITE }
        };
        State *s = *state;
        Error e = {};

        assert_int_equal(db_writer(s->db, &c, &e), 0);
        snprintf(role.tsg, sizeof(role.tsg), "%s", s->web.id);
        assert_int_equal(role_insert(c, &role, &e), 1);
        add_user(c, USER, &s->top, "ann");
        add_team(c, TEAM, &s->web, USER);
        assert_int_equal(grant(c, "bind_1", ROLE, USER, &s->mobile, &e), 0);
        assert_int_equal(grant(c, "bind_2", "owner", TEAM, &s->acme, &e), 0);
        assert_int_equal(grant(c, "bind_3", ROLE, USER, &s->web, &e), 0);
        assert_int_equal(grant(c, "bind_4", "role-of-a-newer-release", USER, &s->web, &e), 0);

        p = load(c, USER);
        assert_int_equal(p->n_bindings, 2);
        assert_string_equal(p->bindings[0].id, "bind_3");
        assert_int_equal(p->bindings[0].rights.on[PAGE_TSGS], ACCESS_WRITE);
        assert_false(rights_write(&p->bindings[1].rights));
}

static void what_is_no_principal_is_not_found(void **state) {
        static const char *const ids[] = {
                USER, TEAM,   "acc_aaaaaaaaaaaaaaaaaaaaaaaaaa", "key_aaaaaaaaaaaaaaaaaaaaaaaaaa",
                "",   "owner"
        };
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        State *s = *state;

        assert_int_equal(db_writer(s->db, &c, NULL), 0);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                Principal *p = NULL;
                Error e = {};

                assert_refused(principal_by_id(c, ids[i], &p, &e), -CSIGN_E_NOT_FOUND, &e);
                assert_null(p);
        }
}

/* Nobody may get more than a principal can hold, directly or by the team. */
static void grants_end_at_the_limit(void **state) {
        static const char *const roles[] = { "owner",   "key-manager", "account-manager",
                                             "auditor", "viewer",      "r1",
                                             "r2",      "r3",          "r4",
                                             "r5",      "r6" };
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        State *s = *state;
        const Tsg *tsgs[] = { &s->top, &s->acme, &s->mobile, &s->ios, &s->web, &s->other };
        Error e = {};
        int n = 0;

        assert_int_equal(db_writer(s->db, &c, &e), 0);
        add_user(c, USER, &s->top, "ann");
        add_team(c, TEAM, &s->top, USER);
        for (size_t i = 0; i < ELEMENTSOF(roles); i++)
                for (size_t k = 0; k < ELEMENTSOF(tsgs) && n < BINDINGS_MAX; k++, n++) {
                        char id[ID_MAX];

                        snprintf(id, sizeof(id), "bind_%d", n);
                        assert_int_equal(grant(c, id, roles[i], n % 2 ? USER : TEAM, tsgs[k], &e),
                                         0);
                }
        assert_refused(grant(c, "bind_x", "one-more", USER, &s->other, &e), -CSIGN_E_TOO_LARGE, &e);
        assert_true(role_binding_delete(c, "bind_x", &e) >= 0);
        assert_refused(grant(c, "bind_y", "one-more", TEAM, &s->other, &e), -CSIGN_E_TOO_LARGE, &e);
}

static void a_role_is_given_once(void **state) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        State *s = *state;
        Error e = {};

        assert_int_equal(db_writer(s->db, &c, &e), 0);
        assert_int_equal(grant(c, "bind_1", "viewer", USER, &s->acme, &e), 0);
        assert_refused(grant(c, "bind_2", "viewer", USER, &s->acme, &e), -CSIGN_E_ALREADY_EXISTS,
                       &e);
        assert_int_equal(grant(c, "bind_3", "viewer", USER, &s->web, &e), 0);
}

/* One row a way of owning the top, and whether it counts. */
static void the_last_owner_is_one_who_can_come_in(void **state) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        State *s = *state;
        Error e = {};

        assert_int_equal(db_writer(s->db, &c, &e), 0);
        assert_refused(role_check_last_owner(c, &e), -CSIGN_E_IN_USE, &e);
        assert_string_equal(e.rule, "last-owner");

        add_user(c, OTHER, &s->acme, "of-acme");
        assert_int_equal(grant(c, "bind_1", "owner", OTHER, &s->top, &e), 0);
        assert_int_equal(role_check_last_owner(c, &e), -CSIGN_E_IN_USE);
        add_user(c, USER, &s->top, "ann");
        assert_int_equal(grant(c, "bind_2", "auditor", USER, &s->top, &e), 0);
        assert_int_equal(grant(c, "bind_3", "owner", USER, &s->acme, &e), 0);
        assert_int_equal(role_check_last_owner(c, &e), -CSIGN_E_IN_USE);

        add_team(c, TEAM, &s->top, USER);
        assert_int_equal(grant(c, "bind_4", "owner", TEAM, &s->top, &e), 0);
        assert_int_equal(role_check_last_owner(c, &e), 0);
        assert_true(role_binding_delete(c, "bind_1", &e) >= 0);
        assert_int_equal(db_exec(c, sql_disable, DB_ARGS(DB_TEXT(USER)), &e), 1);
        assert_int_equal(role_check_last_owner(c, &e), -CSIGN_E_IN_USE);
}

typedef struct Seen {
        size_t n;
        char places[8][ID_MAX + 32];
} Seen;

static int take(const RoleBinding *b, void *userdata) {
        Seen *seen = userdata;

        snprintf(seen->places[seen->n++], sizeof(seen->places[0]), "%.31s%s%s", b->path,
                 b->path[0] ? "/" : "", b->id);
        return 0;
}

static void bindings_are_listed_by_tsg_and_id(void **state) {
        static const char *const expect[] = { "bind_2", "acme/bind_3", "acme/bind_4",
                                              "acme/web/bind_1" };
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        State *s = *state;
        const Root top = { s->top.id, "" }, acme = { s->acme.id, "acme" };
        Seen seen = {}, below = {};
        Error e = {};

        assert_int_equal(db_writer(s->db, &c, &e), 0);
        assert_int_equal(grant(c, "bind_1", "viewer", USER, &s->web, &e), 0);
        assert_int_equal(grant(c, "bind_2", "viewer", USER, &s->top, &e), 0);
        assert_int_equal(grant(c, "bind_4", "viewer", USER, &s->acme, &e), 0);
        assert_int_equal(grant(c, "bind_3", "owner", USER, &s->acme, &e), 0);
        for (size_t i = 0; i < ELEMENTSOF(expect); i++) {
                assert_int_equal(role_binding_list(s->db, &top, i ? seen.places[i - 1] : "", 1,
                                                   take, &seen, &e),
                                 1);
                assert_string_equal(seen.places[i], expect[i]);
        }
        assert_int_equal(role_binding_list(s->db, &top, seen.places[3], 1, take, &seen, &e), 0);
        assert_int_equal(role_binding_list(s->db, &acme, "", 9, take, &below, &e), 3);
}

static void rights_have_one_text(void **state) {
        static const struct {
                const char *text, *expect; /* NULL: refused */
        } cases[] = {
                { "", "" },
                { "keys:write", "keys:write" },
                { "settings:view keys:write", "keys:write settings:view" },
                { "keys:none", "" },
                { "keys", NULL },
                { "keys:", NULL },
                { "keys:all", NULL },
                { "key:view", NULL },
                { " keys:view", NULL },
                { "keys:view,tsgs:view", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[RIGHTS_TEXT_MAX];
                Rights rights = {};
                Error e = {};
                int r;

                r = rights_parse(cases[i].text, &rights, &e);
                if (!cases[i].expect)
                        assert_refused(r, -CSIGN_E_BAD_REQUEST, &e);
                else
                        assert_string_equal(rights_text(&rights, text), cases[i].expect);
        }
        for (size_t i = 0; role_builtin_at(i); i++) {
                char text[RIGHTS_TEXT_MAX];
                Rights rights;

                rights_text(&role_builtin_at(i)->rights, text);
                assert_int_equal(rights_parse(text, &rights, NULL), 0);
                assert_memory_equal(&rights, &role_builtin_at(i)->rights, sizeof(rights));
        }
}

static void an_owner_of_an_old_database_stays_one(void **state) {
        static const char old_owner[] =
                "INSERT INTO users (id, tsg, name, role, created) SELECT '" USER
                "', id, 'owner', 'owner', 1 FROM tsgs WHERE parent IS NULL;"
                "INSERT INTO api_keys (id, user_id, hash, created) VALUES ('apk_x', '" USER
                "', x'00', 1)";
        _cleanup_(principal_unrefp) Principal *p = NULL;
        _cleanup_(buf_done) Buf sql = {};
        _cleanup_(db_closep) Db *db = NULL;
        State *s = *state;
        char path[128];
        sqlite3 *old = NULL;
        Error e = {};
        DbConn *c;

        assert_int_equal(file_read(OLD_DATABASE, FILE_ANY, &sql, &e), 0);
        snprintf(path, sizeof(path), "%s/csign.db", s->folder);
        assert_int_equal(sqlite3_open(path, &old), SQLITE_OK);
        assert_int_equal(sqlite3_exec(old, buf_str(&sql), NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_exec(old, old_owner, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(old), SQLITE_OK);

        assert_int_equal(db_open(&db, s->folder, 1, &e), 0);
        assert_int_equal(db_acquire(db, &c, &e), 0);
        p = load(c, USER);
        assert_string_equal(p->name, "owner");
        assert_int_equal(p->n_bindings, 1);
        assert_string_equal(p->bindings[0].role, "owner");
        assert_true(id_is_valid(p->bindings[0].id, "bind"));
        assert_int_equal(p->bindings[0].tsg.n, 1);
        assert_int_equal(role_check_last_owner(c, &e), 0);
        db_release(db, c);
}

int main(void) {
#define WITH_STATE(f) cmocka_unit_test_setup_teardown(f, state_setup, state_teardown)
        const struct CMUnitTest tests[] = {
                WITH_STATE(roles_are_the_own_ones_and_those_of_teams),
                WITH_STATE(a_role_that_could_not_be_granted_there_gives_nothing),
                WITH_STATE(what_is_no_principal_is_not_found),
                WITH_STATE(grants_end_at_the_limit),
                WITH_STATE(a_role_is_given_once),
                WITH_STATE(the_last_owner_is_one_who_can_come_in),
                WITH_STATE(bindings_are_listed_by_tsg_and_id),
                cmocka_unit_test(rights_have_one_text),
                cmocka_unit_test_setup_teardown(an_owner_of_an_old_database_stays_one, folder_setup,
                                                folder_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
