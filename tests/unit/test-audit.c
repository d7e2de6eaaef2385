/* SPDX-License-Identifier: Apache-2.0 */
#include "service/audit/audit.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "lib/log.h"
#include "service/audit/entry.h"
#include "service/db/queries.h"
#include "service/metrics.h"
#include "tests/unit/service-state.h"
#include "tests/unit/test.h"

static int commit_text(State *s, const char *text, AuditRecord *rec, Error *e) {
        AuditJob job = { .records = rec, .n_records = 1, .e = e };

        buf_clear(&rec->entry);
        assert_int_equal(buf_append_str(&rec->entry, text), 0);
        return audit_commit(s->audit, &job);
}

typedef struct Chain {
        uint64_t number;
        uint8_t previous[SHA256_SIZE];
} Chain;

static int check_link(const AuditRow *row, void *userdata) {
        Chain *chain = userdata;

        assert_true(row->number == chain->number + 1);
        assert_memory_equal(row->previous, chain->previous, SHA256_SIZE);
        sha256_2(chain->previous, SHA256_SIZE, row->entry, strlen(row->entry), chain->previous);
        assert_memory_equal(row->hash, chain->previous, SHA256_SIZE);
        chain->number = row->number;
        return 0;
}

/* Walks the whole log and returns its length. */
static uint64_t check_chain(State *s) {
        Chain chain = {};
        AuditHead head;
        Error e = {};

        uint64_t after = 0;
        int r;

        do
                r = audit_list(s->db, &(AuditFilter){}, &after, check_link, &chain, &e);
        while (r > 0);
        assert_int_equal(r, 0);
        assert_int_equal(audit_head(s->db, &head, &e), 0);
        assert_true(head.number == chain.number);
        assert_memory_equal(head.hash, chain.previous, SHA256_SIZE);
        return chain.number;
}

static void records_are_a_chain(void **state) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        State *s = *state;
        Error e = {};

        for (uint64_t i = 1; i <= 3; i++) {
                assert_int_equal(commit_text(s, "{\"what\":\"\xc3\xa4\"}", &rec, &e), 0);
                assert_true(rec.number == i);
        }
        assert_true(check_chain(s) == 3);
}

static void the_chain_goes_on_after_a_restart(void **state) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        State *s = *state;
        Error e = {};

        assert_int_equal(commit_text(s, "{}", &rec, &e), 0);
        audit_close(s->audit);
        assert_int_equal(audit_open(&s->audit, s->db, &e), 0);
        assert_int_equal(commit_text(s, "{}", &rec, &e), 0);
        assert_true(check_chain(s) == 2);
}

typedef struct Caller {
        State *s;
        uint64_t numbers[50];
} Caller;

static void *call_often(void *arg) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        Caller *c = arg;
        Error e = {};

        for (size_t i = 0; i < ELEMENTSOF(c->numbers); i++) {
                assert_int_equal(commit_text(c->s, "{\"n\":1}", &rec, &e), 0);
                c->numbers[i] = rec.number;
        }
        return NULL;
}

static void a_crowd_shares_commits_and_each_gets_its_own_number(void **state) {
        uint64_t commits = metrics.audit_commits, records = metrics.audit_records;
        bool seen[16 * 50 + 1] = {};
        Caller callers[16] = {};
        pthread_t threads[16];

        for (size_t i = 0; i < 16; i++) {
                callers[i].s = *state;
                assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
        }
        for (size_t i = 0; i < 16; i++)
                pthread_join(threads[i], NULL);

        for (size_t i = 0; i < 16; i++)
                for (size_t k = 0; k < 50; k++) {
                        assert_in_range(callers[i].numbers[k], 1, 800);
                        assert_false(seen[callers[i].numbers[k]]);
                        seen[callers[i].numbers[k]] = true;
                }
        assert_true(check_chain(*state) == 800);
        assert_true(metrics.audit_records - records == 800);
        assert_true(metrics.audit_commits - commits < 800);
}

static int change_and_fail(DbConn *c, void *userdata, Error *e) {
        int r;

        r = tsg_insert(c, userdata, e);
        return r < 0 ? r : error_set(e, -CSIGN_E_KEY_DISABLED, "no");
}

static int change(DbConn *c, void *userdata, Error *e) {
        return tsg_insert(c, userdata, e);
}

static Tsg new_tsg(const State *s) {
        Tsg t = { .id = "tsg_new", .name = "new", .path = "acme/new" };

        strcpy(t.parent, s->acme.id);
        return t;
}

static void a_change_that_fails_leaves_neither_row_nor_record(void **state) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        State *s = *state;
        Tsg t = new_tsg(s), found;
        Error e = {};
        AuditJob job = {
                .change = change_and_fail, .userdata = &t, .records = &rec, .n_records = 1, .e = &e
        };

        assert_int_equal(buf_append_str(&rec.entry, "{}"), 0);
        assert_refused(audit_commit(s->audit, &job), -CSIGN_E_KEY_DISABLED, &e);
        assert_refused(tsg_by_path(s->db, s->top.id, "acme/new", &found, &e), -CSIGN_E_NOT_FOUND,
                       &e);
        assert_true(check_chain(s) == 0);
}

static void a_change_and_its_record_are_one_commit(void **state) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        State *s = *state;
        uint64_t commits = metrics.audit_commits;
        Tsg t = new_tsg(s), found;
        Error e = {};
        AuditJob job = {
                .change = change, .userdata = &t, .records = &rec, .n_records = 1, .e = &e
        };

        assert_int_equal(buf_append_str(&rec.entry, "{}"), 0);
        assert_int_equal(audit_commit(s->audit, &job), 0);
        assert_int_equal(tsg_by_path(s->db, s->top.id, "acme/new", &found, &e), 0);
        assert_true(metrics.audit_commits - commits == 1);
        assert_true(check_chain(s) == 1);
}

/* A file size limit is a full disk that can be emptied. */
static void a_full_disk_refuses_and_the_log_goes_on_when_there_is_room(void **state) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        struct rlimit old, small;
        State *s = *state;
        Error e = {};
        int r = 0;

        signal(SIGXFSZ, SIG_IGN);
        log_open("test-audit", LOG_ERROR - 1);
        assert_int_equal(commit_text(s, "{\"before\":true}", &rec, &e), 0);

        assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
        small = (struct rlimit){ .rlim_cur = 512 * 1024, .rlim_max = old.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        for (int i = 0; i < 1000 && r == 0; i++)
                r = commit_text(
                        s, "{\"filler\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
                        &rec, &e);
        assert_refused(r, -CSIGN_E_AUDIT_UNAVAILABLE, &e);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);

        assert_int_equal(commit_text(s, "{\"after\":true}", &rec, &e), 0);
        assert_true(check_chain(s) == rec.number);
}

/* Numbers of the records that pass, at most 8. */
typedef struct Found {
        size_t n;
        uint64_t numbers[8];
} Found;

static int take_number(const AuditRow *row, void *userdata) {
        Found *f = userdata;

        if (f->n == ELEMENTSOF(f->numbers))
                return 1;
        f->numbers[f->n++] = row->number;
        return 0;
}

static void assert_found(State *s, const AuditFilter *filter, const char *expect) {
        char numbers[64] = "";
        uint64_t after = 0;
        Found f = {};
        Error e = {};

        assert_int_equal(audit_list(s->db, filter, &after, take_number, &f, &e), 0);
        for (size_t i = 0; i < f.n; i++)
                snprintf(numbers + strlen(numbers), sizeof(numbers) - strlen(numbers), "%llu ",
                         (unsigned long long) f.numbers[i]);
        assert_string_equal(numbers, expect);
}

static void records_are_found_by_what_they_say(void **state) {
        static const struct {
                const char *kind, *key, *request, *principal, *tsg;
                int code;
        } events[] = {
                { "key.create", "key_x", "req_1", "usr_a", "acme", 0 },
                { "key.change", "key_x", "req_2", "usr_b", "mobile", 0 },
                { "key.change", "key_y", "req_3", "usr_a", "web", -CSIGN_E_NOT_PERMITTED },
                { "token.issue", NULL, "req_4", "usr_b", "other", 0 },
        };
        State *s = *state;
        uint64_t times[ELEMENTSOF(events)];

        for (size_t i = 0; i < ELEMENTSOF(events); i++) {
                _cleanup_(audit_record_done) AuditRecord rec = {};
                const Tsg *tsgs[] = { &s->acme, &s->mobile, &s->web, &s->other };
                Principal p = { .type = PRINCIPAL_USER };
                ChangeEvent event = { .kind = events[i].kind,
                                      .key_id = events[i].key,
                                      .request_id = events[i].request,
                                      .principal = &p,
                                      .code = events[i].code };
                Error e = {};
                AuditJob job = { .records = &rec, .n_records = 1, .e = &e };

                snprintf(p.id, sizeof(p.id), "%s", events[i].principal);
                snprintf(p.tsg, sizeof(p.tsg), "%s", s->top.id);
                assert_int_equal(audit_entry_change(&rec, &event, "path", "acme/x", "none", NULL,
                                                    "tsg", tsgs[i]->id, NULL),
                                 0);
                assert_non_null(strstr(buf_str(&rec.entry), "\"what\":{\"path\":\"acme/x\""));
                assert_int_equal(audit_commit(s->audit, &job), 0);
                times[i] = rec.time;
        }

        assert_found(s, &(AuditFilter){}, "1 2 3 4 ");
        assert_found(s, &(AuditFilter){ .key_id = "key_x" }, "1 2 ");
        assert_found(s, &(AuditFilter){ .key_id = "key_z" }, "");
        assert_found(s, &(AuditFilter){ .request_id = "req_4" }, "4 ");
        assert_found(s, &(AuditFilter){ .principal = "usr_a" }, "1 3 ");
        assert_found(s, &(AuditFilter){ .principal = "usr_a", .key_id = "key_x" }, "1 ");
        assert_found(s, &(AuditFilter){ .key_id = "key_x", .request_id = "req_4" }, "");
        assert_found(s, &(AuditFilter){ .kind = "key.change" }, "2 3 ");
        assert_found(s, &(AuditFilter){ .result = "allowed" }, "1 2 4 ");
        assert_found(s, &(AuditFilter){ .result = "NotPermitted" }, "3 ");
        assert_found(s, &(AuditFilter){ .refused = true }, "3 ");
        assert_found(s, &(AuditFilter){ .scope = s->top.id }, "1 2 3 4 ");
        assert_found(s, &(AuditFilter){ .scope = s->acme.id }, "1 2 3 ");
        assert_found(s, &(AuditFilter){ .scope = s->mobile.id }, "2 ");
        assert_found(s, &(AuditFilter){ .scope = s->ios.id }, "");
        assert_found(s, &(AuditFilter){ .from = times[3] + 1 }, "");
        assert_found(s, &(AuditFilter){ .to = times[0] }, "");
        assert_found(s, &(AuditFilter){ .from = times[0], .to = times[3] + 1 }, "1 2 3 4 ");
}

static void a_call_looks_at_so_many_records(void **state) {
        uint64_t after = 0, calls = 0;
        State *s = *state;
        Error e = {};
        int r;

        for (size_t i = 0; i < 500; i++) {
                AuditRecord recs[64] = {};
                AuditJob job = { .records = recs, .n_records = 64, .e = &e };

                for (size_t k = 0; k < 64; k++) {
                        ChangeEvent event = { .kind = i == 499 ? "last" : "other" };

                        assert_int_equal(audit_entry_change(&recs[k], &event, NULL), 0);
                }
                assert_int_equal(audit_commit(s->audit, &job), 0);
                for (size_t k = 0; k < 64; k++)
                        audit_record_done(&recs[k]);
        }
        do {
                Found f = {};

                r = audit_list(s->db, &(AuditFilter){ .kind = "last" }, &after, take_number, &f,
                               &e);
                calls++;
                if (r > 0 && f.n > 0) {
                        assert_int_equal(f.n, 8);
                        assert_true(f.numbers[0] == 499 * 64 + 1 && after == f.numbers[7]);
                        break;
                }
        } while (r > 0);
        assert_true(calls == 4);
}

static void use_is_counted_by_day(void **state) {
        AuditRecord recs[4] = {};
        State *s = *state;
        Error e = {};
        AuditJob job = { .records = recs, .n_records = 4, .e = &e };

        for (size_t i = 0; i < 2; i++) {
                for (size_t k = 0; k < 4; k++) {
                        Principal p = { .type = PRINCIPAL_ACCOUNT, .id = "acc_x" };
                        SignEvent event = { .principal = &p,
                                            .key_id = "key_x",
                                            .key_path = k < 3 ? "acme/x" : NULL,
                                            .code = k == 2 ? -CSIGN_E_KEY_DISABLED : 0 };

                        assert_int_equal(audit_entry_sign(&recs[k], &event), 0);
                }
                assert_int_equal(audit_commit(s->audit, &job), 0);
        }
        for (size_t k = 0; k < 4; k++)
                audit_record_done(&recs[k]);
        assert_int_equal(db_read(s->db,
                                 "SELECT 1 FROM use_by_day WHERE key_id = 'key_x' AND "
                                 "principal = 'acc_x' AND signatures = 4 AND refused = 2",
                                 DB_NO_ARGS, NULL, NULL, &e),
                         1);
        assert_int_equal(db_read(s->db, "SELECT 1 FROM use_by_day ", DB_NO_ARGS, NULL, NULL, &e),
                         1);
}

int main(void) {
#define WITH_STATE(f) cmocka_unit_test_setup_teardown(f, state_setup, state_teardown)
        const struct CMUnitTest tests[] = {
                WITH_STATE(records_are_a_chain),
                WITH_STATE(the_chain_goes_on_after_a_restart),
                WITH_STATE(a_crowd_shares_commits_and_each_gets_its_own_number),
                WITH_STATE(a_change_that_fails_leaves_neither_row_nor_record),
                WITH_STATE(a_change_and_its_record_are_one_commit),
                WITH_STATE(a_full_disk_refuses_and_the_log_goes_on_when_there_is_room),
                WITH_STATE(records_are_found_by_what_they_say),
                WITH_STATE(a_call_looks_at_so_many_records),
                WITH_STATE(use_is_counted_by_day),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
