/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the parts that a signature needs. */

#include "service/ready.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "service/clock.h"
#include "service/db/queries.h"

#define HOLDS_SECONDS 1

struct Ready {
        Db *db;
        Keystore *keystore;
        Audit *audit;
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t asked, answered;
        bool stop, asking, known;
        const char *part; /* that is asked now */
        struct timespec since;
        int r;
        Error e; /* of the last answer */
};

/* ---- the parts ---- */

static int ask_database(Ready *y, Error *e) {
        AuditHead head;
        Error why = {};

        if (audit_head(y->db, &head, &why) >= 0)
                return 0;
        return error_set(e, -CSIGN_E_SERVICE_UNAVAILABLE, "the database cannot be read");
}

static int ask_keystore(Ready *y, Error *e) {
        KeystoreStatus status;
        Error why = {};

        if (keystore_status(y->keystore, &status, &why) >= 0)
                return 0;
        return error_set(e, -CSIGN_E_KEYSTORE_UNAVAILABLE, "the key store does not answer");
}

static int write_time(DbConn *c, void *userdata, Error *e) {
        return db_exec(c, SQL_READY_SET, DB_ARGS(DB_INT(clock_now())), e);
}

/* A write that has to reach the disk: an empty transaction would not. */
static int ask_audit(Ready *y, Error *e) {
        Error why = {};
        AuditJob job = { .change = write_time, .e = &why };

        if (audit_commit(y->audit, &job) >= 0)
                return 0;
        return error_set(e, -CSIGN_E_AUDIT_UNAVAILABLE, "the audit log cannot be written");
}

static const struct {
        const char *name;
        int (*ask)(Ready *y, Error *e);
} parts[] = {
        { "the database", ask_database },
        { "the key store", ask_keystore },
        { "the audit log", ask_audit },
};

/* ---- the thread ---- */

static void set_part(Ready *y, const char *name) {
        pthread_mutex_lock(&y->lock);
        y->part = name;
        pthread_mutex_unlock(&y->lock);
}

static void ask_all(Ready *y) {
        Error e = {};
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(parts); i++) {
                set_part(y, parts[i].name);
                r = parts[i].ask(y, &e);
        }
        pthread_mutex_lock(&y->lock);
        y->r = r;
        y->e = e;
        y->asking = false;
        y->known = true;
        clock_gettime(CLOCK_MONOTONIC, &y->since);
        pthread_cond_broadcast(&y->answered);
        pthread_mutex_unlock(&y->lock);
}

static bool wait_for_question(Ready *y) {
        bool stop;

        pthread_mutex_lock(&y->lock);
        while (!y->stop && !y->asking)
                pthread_cond_wait(&y->asked, &y->lock);
        stop = y->stop;
        pthread_mutex_unlock(&y->lock);
        return !stop;
}

static void *ready_main(void *arg) {
        Ready *y = arg;

        while (wait_for_question(y))
                ask_all(y);
        return NULL;
}

/* ---- the question ---- */

static bool is_over(const struct timespec *since, time_t seconds) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec - since->tv_sec > seconds ||
               (now.tv_sec - since->tv_sec == seconds && now.tv_nsec >= since->tv_nsec);
}

/* The lock is held.  A question that is asked already, however long, is not asked anew. */
static void ask(Ready *y) {
        if (y->asking || (y->known && !is_over(&y->since, HOLDS_SECONDS)))
                return;
        y->asking = true;
        clock_gettime(CLOCK_MONOTONIC, &y->since);
        pthread_cond_signal(&y->asked);
}

int ready_check(Ready *y, Error *e) {
        struct timespec end;
        int r;

        pthread_mutex_lock(&y->lock);
        ask(y);
        end = y->since;
        end.tv_sec += READY_SECONDS;
        while (y->asking &&
               pthread_cond_clockwait(&y->answered, &y->lock, CLOCK_MONOTONIC, &end) != ETIMEDOUT)
                ;
        if (y->asking)
                r = error_set(e, -CSIGN_E_SERVICE_UNAVAILABLE,
                              "%s has not answered within %d seconds", y->part, READY_SECONDS);
        else {
                r = y->r;
                *e = y->e;
        }
        pthread_mutex_unlock(&y->lock);
        return r;
}

/* ---- life ---- */

int ready_new(Ready **ret, Db *db, Keystore *keystore, Audit *audit, Error *e) {
        sigset_t all, old;
        Ready *y;
        int r;

        y = calloc(1, sizeof(*y));
        if (!y)
                return -ENOMEM;
        *y = (Ready){ .db = db, .keystore = keystore, .audit = audit, .part = parts[0].name };
        pthread_mutex_init(&y->lock, NULL);
        pthread_cond_init(&y->asked, NULL);
        pthread_cond_init(&y->answered, NULL);

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        r = -pthread_create(&y->thread, NULL, ready_main, y);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (r < 0) {
                free(y);
                return error_set(e, r, "cannot start a thread: %s", strerror(-r));
        }
        *ret = y;
        return 0;
}

void ready_free(Ready *y) {
        if (!y)
                return;
        pthread_mutex_lock(&y->lock);
        y->stop = true;
        pthread_cond_signal(&y->asked);
        pthread_mutex_unlock(&y->lock);

        pthread_join(y->thread, NULL);
        pthread_cond_destroy(&y->asked);
        pthread_cond_destroy(&y->answered);
        pthread_mutex_destroy(&y->lock);
        free(y);
}
