/* SPDX-License-Identifier: Apache-2.0 */
#include "service/audit/idempotency.h"

#include <pthread.h>

#include "service/audit/audit.h"
#include "service/clock.h"
#include "tests/unit/service-state.h"
#include "tests/unit/test.h"

/* One request as the service would commit it. */
typedef struct Asked {
        Idempotency idempotency;
        AuditRecord record;
        Error e;
        int r;
} Asked;

static void ask(State *s, Asked *a, const char *principal, const char *key, char request,
                const char *answer) {
        AuditJob job = { .records = &a->record, .n_records = 1, .e = &a->e };

        *a = (Asked){ .idempotency = { .principal = principal,
                                       .key = key,
                                       .answer = answer,
                                       .answer_len = strlen(answer) } };
        memset(a->idempotency.request, request, sizeof(a->idempotency.request));
        a->record.idempotency = &a->idempotency;
        strcpy(a->record.request_id, "req_x");
        assert_int_equal(buf_append_str(&a->record.entry, "{}"), 0);
        a->r = audit_commit(s->audit, &job);
        audit_record_done(&a->record);
}

static uint64_t log_length(State *s) {
        AuditHead head;
        Error e = {};

        assert_int_equal(audit_head(s->db, &head, &e), 0);
        return head.number;
}

static void the_first_answer_is_kept_with_its_record(void **state) {
        _cleanup_(kept_answer_done) KeptAnswer kept = {};
        Asked first, second, other;
        State *s = *state;
        Error e = {};

        ask(s, &first, "acc_a", "op_1", 'x', "first");
        assert_int_equal(first.r, 0);
        assert_false(first.record.repeated);
        ask(s, &second, "acc_a", "op_1", 'x', "second");
        assert_int_equal(second.r, 0);
        assert_true(second.record.repeated);
        assert_true(log_length(s) == 1);

        assert_int_equal(idempotency_find(s->db, &second.idempotency, &kept, &e), 1);
        assert_string_equal(buf_str(&kept.answer), "first");
        assert_string_equal(kept.request_id, "req_x");
        assert_true(kept.record == first.record.number);
        assert_memory_equal(kept.hash, first.record.hash, SHA256_SIZE);

        ask(s, &other, "acc_b", "op_1", 'x', "another's");
        assert_false(other.record.repeated);
        assert_true(log_length(s) == 2);
}

static void a_key_stands_for_one_request(void **state) {
        _cleanup_(kept_answer_done) KeptAnswer kept = {};
        State *s = *state;
        Asked first, second;
        Error e = {};

        ask(s, &first, "acc_a", "op_1", 'x', "first");
        ask(s, &second, "acc_a", "op_1", 'y', "second");
        assert_true(second.record.repeated);
        assert_refused(idempotency_find(s->db, &second.idempotency, &kept, &e),
                       -CSIGN_E_IDEMPOTENCY_MISMATCH, &e);
        assert_string_equal(e.rule, "idempotency-key");
        assert_null(kept.answer.data);
        second.idempotency.key = "op_2";
        assert_int_equal(idempotency_find(s->db, &second.idempotency, &kept, &e), 0);
}

typedef struct Racer {
        pthread_t thread;
        State *state;
        Asked asked;
} Racer;

static void *race(void *arg) {
        Racer *r = arg;

        ask(r->state, &r->asked, "acc_a", "op_1", 'x', "answer");
        return NULL;
}

static void of_a_crowd_one_is_first(void **state) {
        Racer racers[16] = {};
        size_t firsts = 0;

        for (size_t i = 0; i < ELEMENTSOF(racers); i++) {
                racers[i].state = *state;
                assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
        }
        for (size_t i = 0; i < ELEMENTSOF(racers); i++) {
                pthread_join(racers[i].thread, NULL);
                firsts += !racers[i].asked.record.repeated;
        }
        assert_int_equal(firsts, 1);
        assert_true(log_length(*state) == 1);
}

static int insert_tsg(DbConn *c, void *userdata, Error *e) {
        return tsg_insert(c, userdata, e);
}

/* The record alone would not stop a change that can be made twice. */
static void a_repeated_change_is_undone(void **state) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        State *s = *state;
        Tsg t = { .id = "tsg_new", .name = "new", .path = "acme/new" }, found;
        Error e = {};
        Asked first;
        AuditJob job = {
                .change = insert_tsg, .userdata = &t, .records = &rec, .n_records = 1, .e = &e
        };

        strcpy(t.parent, s->acme.id);
        ask(s, &first, "acc_a", "op_1", 'x', "first");
        rec.idempotency = &first.idempotency;
        assert_int_equal(buf_append_str(&rec.entry, "{}"), 0);
        assert_int_equal(audit_commit(s->audit, &job), -EALREADY);
        assert_refused(tsg_by_path(s->db, s->top.id, "acme/new", &found, &e), -CSIGN_E_NOT_FOUND,
                       &e);
        assert_true(log_length(s) == 1);
}

/* In batches, the oldest first, and only when there is something to drop. */
static void answers_are_dropped_after_a_day(void **state) {
        static const char expire[] = "UPDATE idempotency SET expires = 1 WHERE record <= 150";
        static const char count[] = "SELECT record FROM idempotency";
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        State *s = *state;
        uint64_t next = 0;
        char key[16];
        Error e = {};
        Asked a;

        for (int i = 0; i < 200; i++) {
                snprintf(key, sizeof(key), "op_%d", i);
                ask(s, &a, "acc_a", key, 'x', "answer");
        }
        assert_int_equal(db_writer(s->db, &c, &e), 0);
        assert_int_equal(db_exec(c, expire, DB_NO_ARGS, &e), 150);
        assert_int_equal(idempotency_prune(c, &next, &e), 0);
        assert_true(next == 0);
        assert_int_equal(db_query(c, count, DB_NO_ARGS, NULL, NULL, &e), 200 - 128);
        assert_int_equal(idempotency_prune(c, &next, &e), 0);
        assert_int_equal(db_query(c, count, DB_NO_ARGS, NULL, NULL, &e), 50);
        assert_true(next > clock_now() + USEC_PER_DAY / 2);
        assert_int_equal(db_exec(c, expire, DB_NO_ARGS, &e), 0);
        assert_int_equal(idempotency_prune(c, &next, &e), 0);
        assert_int_equal(db_query(c, count, DB_NO_ARGS, NULL, NULL, &e), 50);
}

static void keys_have_a_form(void **state) {
        static const char *const good[] = { "a", "op_aaaaaaaaaaaaaaaaaaaaaaaaaa",
                                            "8e03978e-40d5-43dd-bc93-6894a57f9324" };
        static const char *const bad[] = { "", "a b", "a\"b", "\xc3\xa4", "a\n" };
        char text[IDEMPOTENCY_KEY_MAX + 2] = "";

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_true(idempotency_key_is_valid(good[i]));
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_false(idempotency_key_is_valid(bad[i]));
        memset(text, 'a', IDEMPOTENCY_KEY_MAX);
        assert_true(idempotency_key_is_valid(text));
        text[IDEMPOTENCY_KEY_MAX] = 'a';
        assert_false(idempotency_key_is_valid(text));
}

int main(void) {
#define WITH_STATE(f) cmocka_unit_test_setup_teardown(f, state_setup, state_teardown)
        const struct CMUnitTest tests[] = {
                WITH_STATE(the_first_answer_is_kept_with_its_record),
                WITH_STATE(a_key_stands_for_one_request),
                WITH_STATE(of_a_crowd_one_is_first),
                WITH_STATE(a_repeated_change_is_undone),
                WITH_STATE(answers_are_dropped_after_a_day),
                cmocka_unit_test(keys_have_a_form),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
