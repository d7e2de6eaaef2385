/* SPDX-License-Identifier: Apache-2.0 */
#include "service/keks.h"

#include "service/db/queries.h"
#include "service/keys.h"
#include "tests/unit/service-state.h"
#include "tests/unit/test.h"

#define KEYS 5

static const uint8_t older[KEYSTORE_KEK_ID_SIZE] = "older...", primary[] = "primary.";

static void key_id(char id[static ID_MAX], char last) {
        snprintf(id, ID_MAX, "key_aaaaaaaaaaaaaaaaaaaaaaaaa%c", last);
}

/* Keys in the order of their ids, all sealed under the older KEK, as far as the header tells. */
static int keks_setup(void **state) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        Error e = {};
        State *s;

        if (state_setup(state) < 0)
                return -1;
        s = *state;
        assert_int_equal(db_writer(s->db, &c, &e), 0);
        for (char n = 0; n < KEYS; n++) {
                _cleanup_(key_unrefp) Key *k = key_new();

                key_id(k->id, (char) ('a' + n));
                snprintf(k->tsg, sizeof(k->tsg), "%s", s->mobile.id);
                snprintf(k->name, sizeof(k->name), "k%d", n);
                snprintf(k->path, sizeof(k->path), "acme/mobile/k%d", n);
                k->alg = key_alg_by_name("P-256");
                k->version = 1;
                assert_int_equal(buf_printf(&k->spki, "spki"), 0);
                assert_int_equal(buf_printf(&k->sealed, "CSK1%.8s and more", older), 0);
                assert_true(key_insert(c, k, &e) >= 0);
        }
        return 0;
}

static int add(const uint8_t *id, uint64_t blobs, void *userdata) {
        uint64_t *of = userdata;

        of[memcmp(id, older, sizeof(older)) == 0] += blobs;
        return 0;
}

static void assert_counts(const State *s, uint64_t under_older, uint64_t under_others) {
        uint64_t n[2] = {};
        Error e = {};

        assert_int_equal(keks_count(s->db, add, n, &e), 0);
        assert_int_equal(n[1], under_older);
        assert_int_equal(n[0], under_others);
}

/* As the key store would have sealed it anew. */
static int replace(State *s, SealedBlob *b) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        Error e = {};

        assert_int_equal(buf_printf(&b->resealed, "CSK1%s and more", primary), 0);
        assert_int_equal(db_writer(s->db, &c, &e), 0);
        return keks_replace(c, b, &e);
}

static void a_walk_comes_past_each_once(void **state) {
        char cursor[KEK_CURSOR_MAX] = "";
        SealedBatch *batch = calloc(1, sizeof(*batch));
        State *s = *state;
        size_t seen = 0;
        Error e = {};

        assert_counts(s, KEYS, 0);
        do {
                assert_int_equal(keks_next(s->db, primary, cursor, 2, batch, &e), 0);
                for (size_t i = 0; i < batch->n; i++, seen++) {
                        char id[ID_MAX];

                        key_id(id, (char) ('a' + seen));
                        assert_string_equal(batch->blobs[i].id, id);
                        assert_int_equal(replace(s, &batch->blobs[i]), 1);
                }
                sealed_batch_done(batch);
        } while (cursor[0]);
        assert_int_equal(seen, KEYS);
        assert_counts(s, 0, KEYS);

        assert_int_equal(keks_next(s->db, primary, cursor, 2, batch, &e), 0);
        assert_int_equal(batch->n, 0);
        assert_string_equal(cursor, "");
        free(batch);
}

/* Between a blob's reading and its replacement its key was destroyed: it stays destroyed. */
static void what_was_destroyed_meanwhile_does_not_come_back(void **state) {
        SealedBatch *batch = calloc(1, sizeof(*batch));
        char cursor[KEK_CURSOR_MAX] = "";
        State *s = *state;
        Error e = {};

        assert_int_equal(keks_next(s->db, primary, cursor, 10, batch, &e), 0);
        assert_int_equal(batch->n, KEYS);
        {
                _cleanup_(db_conn_closep) DbConn *c = NULL;

                assert_int_equal(db_writer(s->db, &c, &e), 0);
                assert_int_equal(db_exec(c, SQL_KEY_ERASE,
                                         DB_ARGS(DB_BLOB("", 0), DB_TEXT(batch->blobs[2].id)), &e),
                                 1);
        }
        assert_int_equal(replace(s, &batch->blobs[2]), 0);
        assert_int_equal(replace(s, &batch->blobs[3]), 1);
        assert_counts(s, KEYS - 2, 1);
        sealed_batch_done(batch);
        free(batch);
}

static void what_is_no_cursor_is_refused(void **state) {
        static const char *const cursors[] = {
                "x",
                "0",
                "0.",
                "0..1",
                "2.key_aaaaaaaaaaaaaaaaaaaaaaaaaa.1",
                "0.key_aaaaaaaaaaaaaaaaaaaaaaaaaa",
                "0.key_aaaaaaaaaaaaaaaaaaaaaaaaaa.",
                "0.key_aaaaaaaaaaaaaaaaaaaaaaaaaa.0",
                "0.key_aaaaaaaaaaaaaaaaaaaaaaaaaa.1x",
                "0.key_AAAAAAAAAAAAAAAAAAAAAAAAAA.1",
        };
        SealedBatch *batch = calloc(1, sizeof(*batch));
        State *s = *state;

        for (size_t i = 0; i < ELEMENTSOF(cursors); i++) {
                char cursor[KEK_CURSOR_MAX];
                Error e = {};
                int r;

                snprintf(cursor, sizeof(cursor), "%s", cursors[i]);
                r = keks_next(s->db, primary, cursor, 2, batch, &e);
                assert_refused(r, -CSIGN_E_BAD_REQUEST, &e);
                assert_int_equal(batch->n, 0);
        }
        free(batch);
}

#define FIXTURE_TEST(f) cmocka_unit_test_setup_teardown(f, keks_setup, state_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                FIXTURE_TEST(a_walk_comes_past_each_once),
                FIXTURE_TEST(what_was_destroyed_meanwhile_does_not_come_back),
                FIXTURE_TEST(what_is_no_cursor_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
