/* SPDX-License-Identifier: Apache-2.0 */
/* The one writer: groups what waits, continues the chain, commits, and only then wakes. */

#include "service/audit/audit.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "service/db/queries.h"
#include "service/metrics.h"

#define GROUP_MAX 256 /* jobs in one transaction */

struct Audit {
        Db *db;
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t queued;
        AuditJob *first, **last;
        bool stop;

        /* The thread's own. */
        DbConn *writer;      /* NULL: to be opened anew, after a failure */
        AuditHead head;      /* of what is durable */
        uint64_t prune_next; /* see idempotency_prune() */
        Tally tally;         /* of the transaction */
        bool failing;
};

void audit_record_done(AuditRecord *rec) {
        buf_done(&rec->entry);
}

/* ---- the head ---- */

static int take_head(DbRow *row, void *userdata) {
        AuditHead *head = userdata;
        const uint8_t *hash;
        size_t len;

        hash = db_row_blob(row, 1, &len);
        if (len != SHA256_SIZE)
                return -EBADMSG;
        head->number = (uint64_t) db_row_int(row, 0);
        memcpy(head->hash, hash, SHA256_SIZE);
        return 0;
}

static int read_head(DbConn *c, AuditHead *ret, Error *e) {
        AuditHead head = {};
        int r;

        r = db_query(c, SQL_AUDIT_HEAD, DB_NO_ARGS, take_head, &head, e);
        if (r == -EBADMSG)
                return error_set(e, r, "the audit log's last record has no hash");
        if (r < 0)
                return r;
        *ret = head;
        return 0;
}

int audit_head(Db *db, AuditHead *ret, Error *e) {
        DbConn *c;
        int r;

        r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        r = read_head(c, ret, e);
        db_release(db, c);
        return r;
}

/* ---- one group ---- */

/* 1: counted; 0: one too many, and no answer is kept either. */
static int count_usage(Audit *a, AuditRecord *rec, const AuditHead *head, Error *e) {
        int r;

        r = usage_take(a->writer, rec->limit, e);
        if (r < 0)
                return r;
        rec->limited = r == 0;
        if (rec->limited && rec->idempotency)
                r = db_exec(a->writer, SQL_IDEMPOTENCY_DROP, DB_ARGS(DB_INT(head->number + 1)), e);
        return r < 0 ? r : !rec->limited;
}

static int append_record(Audit *a, AuditRecord *rec, AuditHead *head, Error *e) {
        uint8_t hash[SHA256_SIZE];
        int r;

        if (rec->idempotency) {
                r = idempotency_keep(a->writer, rec->idempotency, head->number + 1, e);
                if (r < 0)
                        return r;
                rec->repeated = r == 0;
                if (rec->repeated)
                        return 0;
        }
        if (rec->limit) {
                r = count_usage(a, rec, head, e);
                if (r <= 0)
                        return r;
        }

        sha256_2(head->hash, SHA256_SIZE, rec->entry.data, rec->entry.len, hash);
        r = db_exec(a->writer, SQL_AUDIT_INSERT,
                    DB_ARGS(DB_INT(head->number + 1), DB_BLOB(head->hash, SHA256_SIZE),
                            DB_BLOB(hash, SHA256_SIZE), DB_TEXT(buf_str(&rec->entry)),
                            DB_TEXT(rec->key_id[0] ? rec->key_id : NULL),
                            DB_TEXT(rec->request_id[0] ? rec->request_id : NULL),
                            DB_TEXT(rec->principal), DB_TEXT(rec->tsg), DB_TEXT(rec->kind ?: ""),
                            DB_TEXT(rec->result ?: ""), DB_INT(rec->time)),
                    e);
        if (r >= 0 && rec->is_use)
                r = tally_add(&a->tally, a->writer, rec->key_id, rec->principal, rec->time,
                              strcmp(rec->result, "allowed") == 0, e);
        if (r < 0)
                return r;

        head->number++;
        memcpy(head->hash, hash, SHA256_SIZE);
        rec->number = head->number;
        memcpy(rec->hash, hash, SHA256_SIZE);
        return 0;
}

/* Returns how many of the job's records were not written because they repeat another. */
static int append_records(Audit *a, AuditJob *job, AuditHead *head, Error *e) {
        int r, repeated = 0;

        for (size_t i = 0; i < job->n_records; i++) {
                r = append_record(a, &job->records[i], head, e);
                if (r < 0)
                        return r;
                repeated += job->records[i].repeated;
        }
        return repeated;
}

/* The change and its records, in a savepoint.  A failure of the change is the job's; a negative
 * result is the group's. */
static int apply_change(Audit *a, AuditJob *job, AuditHead *head, Error *e) {
        AuditHead before = *head;
        int r;

        r = db_savepoint(a->writer, e);
        if (r < 0)
                return r;
        r = job->change(a->writer, job->userdata, job->e);
        job->r = r < 0 ? r : 0;
        if (job->r >= 0) {
                r = append_records(a, job, head, e);
                if (r < 0)
                        return r;
                if (r > 0)
                        job->r = -EALREADY;
        }
        if (job->r >= 0)
                return db_savepoint_keep(a->writer, e);
        *head = before;
        return db_savepoint_undo(a->writer, e);
}

/* head becomes what the log's head will be. */
static int apply_jobs(Audit *a, AuditJob *group, AuditHead *head, Error *e) {
        int r;

        for (AuditJob *job = group; job; job = job->next) {
                job->r = 0;
                r = job->change ? apply_change(a, job, head, e) : append_records(a, job, head, e);
                if (r < 0)
                        return r;
        }
        r = tally_write(&a->tally, a->writer, e);
        return r < 0 ? r : idempotency_prune(a->writer, &a->prune_next, e);
}

static int open_writer(Audit *a, Error *e) {
        int r;

        if (a->writer)
                return 0;
        r = db_writer(a->db, &a->writer, e);
        if (r < 0)
                return r;
        r = read_head(a->writer, &a->head, e);
        if (r < 0) {
                db_conn_close(a->writer);
                a->writer = NULL;
        }
        return r;
}

static int commit_group(Audit *a, AuditJob *group, Error *e) {
        AuditHead head;
        int r;

        r = open_writer(a, e);
        if (r < 0)
                return r;

        head = a->head;
        a->tally.n = 0;
        r = db_begin(a->writer, e);
        if (r >= 0)
                r = apply_jobs(a, group, &head, e);
        if (r >= 0)
                r = db_commit(a->writer, e);
        if (r < 0) {
                /* What a failed commit left is known only to the disk: ask it again. */
                db_rollback(a->writer);
                db_conn_close(a->writer);
                a->writer = NULL;
                return r;
        }

        METRIC_ADD(audit_commits, 1);
        METRIC_ADD(audit_records, head.number - a->head.number);
        a->head = head;
        return 0;
}

/* Says once that it fails, and once that it works again. */
static void note_outcome(Audit *a, int r, const Error *e) {
        if (r < 0) {
                METRIC_ADD(audit_failures, 1);
                if (!a->failing)
                        log_failure(LOG_ERROR, "the audit log cannot be written: nothing is signed",
                                    e);
        } else if (a->failing)
                log_line(LOG_NOTICE, "the audit log can be written again", NULL);
        a->failing = r < 0;
}

static void run_group(Audit *a, AuditJob *group) {
        Error e = {};
        int r;

        r = commit_group(a, group, &e);
        note_outcome(a, r, &e);

        for (AuditJob *job = group, *next; job; job = next) {
                next = job->next; /* job is gone once its owner is awake */
                if (r < 0)
                        job->r = error_set(job->e, -CSIGN_E_AUDIT_UNAVAILABLE,
                                           "the audit record could not be made durable");
                sem_post(&job->done);
        }
}

/* ---- the queue ---- */

/* Waits for work and takes up to GROUP_MAX jobs; NULL: the end. */
static AuditJob *take_group(Audit *a) {
        AuditJob *group, **end;
        size_t n = 0;

        pthread_mutex_lock(&a->lock);
        while (!a->first && !a->stop)
                pthread_cond_wait(&a->queued, &a->lock);

        group = a->first;
        for (end = &group; *end && n < GROUP_MAX; n++)
                end = &(*end)->next;
        a->first = *end;
        if (!a->first)
                a->last = &a->first;
        *end = NULL;
        pthread_mutex_unlock(&a->lock);
        return group;
}

static void *writer_main(void *arg) {
        AuditJob *group;
        Audit *a = arg;

        while ((group = take_group(a)))
                run_group(a, group);
        return NULL;
}

int audit_commit(Audit *a, AuditJob *job) {
        assert(a && job);

        job->next = NULL;
        sem_init(&job->done, 0, 0);

        pthread_mutex_lock(&a->lock);
        assert(!a->stop);
        *a->last = job;
        a->last = &job->next;
        pthread_cond_signal(&a->queued);
        pthread_mutex_unlock(&a->lock);

        while (sem_wait(&job->done) < 0)
                assert(errno == EINTR);
        sem_destroy(&job->done);

        if (job->r < 0 && error_public_code(job->r) == -CSIGN_E_INTERNAL &&
            job->r != -CSIGN_E_INTERNAL && job->r != -EALREADY)
                log_line(LOG_ERROR, "a change failed", "DETAIL", job->e ? job->e->detail : "",
                         NULL);
        return job->r;
}

/* ---- life ---- */

static int start_thread(Audit *a) {
        sigset_t all, old;
        int r;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        r = -pthread_create(&a->thread, NULL, writer_main, a);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return r;
}

int audit_open(Audit **ret, Db *db, Error *e) {
        Audit *a;
        int r;

        a = calloc(1, sizeof(*a));
        if (!a)
                return -ENOMEM;
        a->db = db;
        a->last = &a->first;
        pthread_mutex_init(&a->lock, NULL);
        pthread_cond_init(&a->queued, NULL);

        r = open_writer(a, e);
        if (r >= 0)
                r = start_thread(a);
        if (r < 0) {
                db_conn_close(a->writer);
                free(a);
                return r;
        }
        *ret = a;
        return 0;
}

void audit_close(Audit *a) {
        if (!a)
                return;
        pthread_mutex_lock(&a->lock);
        a->stop = true;
        pthread_cond_signal(&a->queued);
        pthread_mutex_unlock(&a->lock);

        pthread_join(a->thread, NULL);
        db_conn_close(a->writer);
        pthread_cond_destroy(&a->queued);
        pthread_mutex_destroy(&a->lock);
        free(a);
}
