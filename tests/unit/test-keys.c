/* SPDX-License-Identifier: Apache-2.0 */
#include "service/keys.h"

#include <sqlite3.h>

#include "lib/file.h"
#include "service/ca/rows.h"
#include "tests/unit/service-state.h"
#include "tests/unit/test.h"

#define ID   "key_aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define PATH "acme/mobile/release"

/* The key at a version, as a handler would have it written. */
static Key *version_of(const State *s, uint32_t version) {
        Key *k = key_new();

        assert_non_null(k);
        snprintf(k->id, sizeof(k->id), "%s", ID);
        snprintf(k->tsg, sizeof(k->tsg), "%s", s->mobile.id);
        snprintf(k->name, sizeof(k->name), "release");
        snprintf(k->path, sizeof(k->path), "%s", PATH);
        k->alg = key_alg_by_name("P-256");
        k->version = version;
        k->created = 1000;
        k->version_created = 1000 * version;
        assert_int_equal(buf_printf(&k->spki, "spki %u", version), 0);
        assert_int_equal(buf_printf(&k->sealed, "sealed %u", version), 0);
        return k;
}

/* Three versions of one key. */
static int keys_setup(void **state) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        Error e = {};
        State *s;

        if (state_setup(state) < 0)
                return -1;
        s = *state;
        assert_int_equal(db_writer(s->db, &c, &e), 0);
        for (uint32_t n = 1; n <= 3; n++) {
                _cleanup_(key_unrefp) Key *k = version_of(s, n);

                assert_true((n == 1 ? key_insert : key_add_version)(c, k, &e) >= 0);
        }
        return 0;
}

/* What is read, past any cache. */
static Key *read_version(State *s, uint32_t version) {
        _cleanup_(cache_freep) Cache *cache = cache_new(8);
        const KeyStorage storage = { .db = s->db, .cache = cache };
        Key *by_id = NULL, *by_path = NULL;
        Error e = {};

        assert_int_equal(key_by_id(&storage, ID, version, &by_id, &e), 0);
        assert_int_equal(key_by_path(&storage, PATH, version, &by_path, &e), 0);
        assert_int_equal(by_id != NULL, by_path != NULL);
        if (by_id)
                assert_int_equal(by_id->version, by_path->version);
        key_unref(by_path);
        return by_id;
}

static void the_newest_version_is_the_primary(void **state) {
        _cleanup_(key_unrefp) Key *primary = read_version(*state, 0);

        assert_int_equal(primary->version, 3);
        assert_int_equal(primary->primary_version, 3);
        assert_string_equal(buf_str(&primary->spki), "spki 3");
        assert_int_equal(primary->created, 1000);
        assert_int_equal(primary->version_created, 3000);
        assert_true(primary->version_enabled);
}

static void an_older_version_is_found_by_its_number(void **state) {
        _cleanup_(key_unrefp) Key *first = read_version(*state, 1);

        assert_int_equal(first->version, 1);
        assert_int_equal(first->primary_version, 3);
        assert_string_equal(buf_str(&first->spki), "spki 1");
        assert_string_equal(buf_str(&first->sealed), "sealed 1");
        assert_null(read_version(*state, 4));
}

/* Of two rotations at once the second finds another primary than it began with. */
static void a_version_is_added_once(void **state) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        State *s = *state;
        Error e = {};

        assert_int_equal(db_writer(s->db, &c, &e), 0);
        for (uint32_t n = 1; n <= 6; n++) {
                _cleanup_(key_unrefp) Key *k = version_of(s, n);

                if (n != 4) {
                        e = (Error){};
                        assert_refused(key_add_version(c, k, &e), -CSIGN_E_KEY_CHANGED, &e);
                }
        }
        _cleanup_(key_unrefp) Key *primary = read_version(s, 0);
        assert_int_equal(primary->version, 3);
}

static void versions_are_disabled_one_by_one(void **state) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        State *s = *state;
        Error e = {};

        assert_int_equal(db_writer(s->db, &c, &e), 0);
        assert_int_equal(key_version_set_enabled(c, ID, 2, false, &e), 1);
        for (uint32_t n = 1; n <= 3; n++) {
                _cleanup_(key_unrefp) Key *k = read_version(s, n);

                assert_int_equal(k->version_enabled, n != 2);
                assert_int_equal(k->state, KEY_ENABLED);
        }
        assert_int_equal(key_version_set_enabled(c, ID, 2, true, &e), 1);
        _cleanup_(key_unrefp) Key *again = read_version(s, 2);
        assert_true(again->version_enabled);
        assert_int_equal(key_version_set_enabled(c, ID, 9, false, &e), 0);
}

static int take_number(const Key *k, void *userdata) {
        Buf *numbers = userdata;

        return buf_printf(numbers, "%u ", k->version);
}

static void versions_are_listed_newest_first(void **state) {
        static const struct {
                uint32_t before;
                unsigned limit;
                const char *expect;
        } cases[] = {
                { UINT32_MAX, 9, "3 2 1 " },
                { UINT32_MAX, 2, "3 2 " },
                { 3, 2, "2 1 " },
                { 2, 2, "1 " },
                { 1, 2, "" },
        };
        State *s = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(buf_done) Buf numbers = {};
                Error e = {};

                assert_true(key_versions(s->db, ID, cases[i].before, cases[i].limit, take_number,
                                         &numbers, &e) >= 0);
                assert_string_equal(buf_str(&numbers), cases[i].expect);
        }
}

/* ---- a database of before there were versions' states ---- */

/* As the first release left it, with one key. */
static void make_old_database(const char *folder) {
        _cleanup_(buf_done) Buf sql = {};
        char path[128];
        sqlite3 *db;
        Error e = {};

        assert_int_equal(file_read(OLD_DATABASE, FILE_ANY, &sql, &e), 0);
        snprintf(path, sizeof(path), "%s/csign.db", folder);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, buf_str(&sql), NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* The one that certified and issued goes on. */
static void check_old_authority(Db *db, const char *tsg) {
        _cleanup_(authority_done) Authority a = {};
        Error e = {};

        assert_int_equal(authority_above(db, tsg, &a, &e), 0);
        assert_int_equal(a.kind, AUTHORITY_ISSUING);
        assert_string_equal(a.issuer, "");
        assert_string_equal(a.policy.extended_key_usage, "codeSigning");
        assert_true(a.sealed.len > 0 && a.certificate.len > 0);
}

static void an_old_database_is_brought_up_to_date(void **state) {
        _cleanup_(cache_freep) Cache *cache = cache_new(8);
        _cleanup_(key_unrefp) Key *k = NULL;
        _cleanup_(db_closep) Db *db = NULL;
        State *s = *state;
        Error e = {};

        make_old_database(s->folder);
        for (int i = 0; i < 2; i++) { /* and not twice */
                db_close(TAKE(db));
                assert_int_equal(db_open(&db, s->folder, 1, &e), 0);
        }
        const KeyStorage storage = { .db = db, .cache = cache };
        assert_int_equal(key_by_path(&storage, PATH, 0, &k, &e), 0);
        assert_non_null(k);
        assert_int_equal(k->version, 1);
        assert_true(k->state == KEY_ENABLED && k->version_enabled);
        assert_true(k->spki.len > 0 && k->sealed.len > 0 && k->certificate.len > 0);
        assert_int_equal(k->version_created, k->created);
        assert_true(k->chain.len > 0 && k->certificate_expires > k->created);
        assert_false(k->certificate_revoked || k->policy.allow_expired_certificate);
        check_old_authority(db, k->tsg);
}

int main(void) {
#define WITH_KEYS(f)   cmocka_unit_test_setup_teardown(f, keys_setup, state_teardown)
#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)
        const struct CMUnitTest tests[] = {
                WITH_KEYS(the_newest_version_is_the_primary),
                WITH_KEYS(an_older_version_is_found_by_its_number),
                WITH_KEYS(a_version_is_added_once),
                WITH_KEYS(versions_are_disabled_one_by_one),
                WITH_KEYS(versions_are_listed_newest_first),
                WITH_FOLDER(an_old_database_is_brought_up_to_date),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
