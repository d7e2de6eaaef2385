/* SPDX-License-Identifier: Apache-2.0 */
/* Counting failed authentications, minute by minute. */

#include "service/failures.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "service/audit/entry.h"
#include "service/metrics.h"

/* One minute's failures; it begins with the first of them. */
typedef struct Minute {
        struct {
                char address[64];
                uint64_t more; /* after the first */
        } from[FAILURE_ADDRESSES];
        size_t n;
        uint64_t elsewhere;
} Minute;

struct Failures {
        Audit *audit;
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool stop;
        struct timespec end; /* of the minute */
        Minute minute;
};

/* ---- counting ---- */

static bool count(Minute *m, const char *address) {
        for (size_t i = 0; i < m->n; i++)
                if (strcmp(m->from[i].address, address) == 0) {
                        m->from[i].more++;
                        return false;
                }
        if (m->n == FAILURE_ADDRESSES) {
                m->elsewhere++;
                return false;
        }
        snprintf(m->from[m->n++].address, sizeof(m->from[0].address), "%s", address);
        return true;
}

bool failures_note(Failures *f, const char *address) {
        bool first;

        METRIC_ADD(authentications_refused, 1);
        pthread_mutex_lock(&f->lock);
        if (f->minute.n == 0) {
                clock_gettime(CLOCK_MONOTONIC, &f->end);
                f->end.tv_sec += FAILURE_SECONDS;
                pthread_cond_signal(&f->changed);
        }
        first = count(&f->minute, address);
        pthread_mutex_unlock(&f->lock);
        return first;
}

/* ---- recording ---- */

static void record(Audit *audit, const char *address, uint64_t more) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = { .kind = FAILURE_KIND,
                              .anonymous = true,
                              .address = address,
                              .rule = "credential",
                              .code = -CSIGN_E_UNAUTHENTICATED };
        AuditJob job = { .records = &rec, .n_records = 1 };
        char text[24];

        if (more == 0)
                return;
        snprintf(text, sizeof(text), "%" PRIu64, more);
        /* A failure is logged by the log itself, and there is nobody to tell. */
        if (audit_entry_change(&rec, &event, "more", text, address ? NULL : "addresses", "others",
                               NULL) >= 0)
                (void) audit_commit(audit, &job);
}

static void record_minute(Audit *audit, const Minute *m) {
        for (size_t i = 0; i < m->n; i++)
                record(audit, m->from[i].address, m->from[i].more);
        record(audit, NULL, m->elsewhere);
}

/* Until there is a minute and it is over; the lock is held. */
static void wait_for_end(Failures *f) {
        while (!f->stop && f->minute.n == 0)
                pthread_cond_wait(&f->changed, &f->lock);
        while (!f->stop &&
               pthread_cond_clockwait(&f->changed, &f->lock, CLOCK_MONOTONIC, &f->end) != ETIMEDOUT)
                ;
}

static void *failures_main(void *arg) {
        Failures *f = arg;
        bool stop;

        do {
                Minute over;

                pthread_mutex_lock(&f->lock);
                wait_for_end(f);
                over = f->minute;
                f->minute = (Minute){};
                stop = f->stop;
                pthread_mutex_unlock(&f->lock);
                record_minute(f->audit, &over);
        } while (!stop);
        return NULL;
}

/* ---- life ---- */

int failures_new(Failures **ret, Audit *audit, Error *e) {
        sigset_t all, old;
        Failures *f;
        int r;

        f = calloc(1, sizeof(*f));
        if (!f)
                return -ENOMEM;
        f->audit = audit;
        pthread_mutex_init(&f->lock, NULL);
        pthread_cond_init(&f->changed, NULL);

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        r = -pthread_create(&f->thread, NULL, failures_main, f);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (r < 0) {
                free(f);
                return error_set(e, r, "cannot start a thread: %s", strerror(-r));
        }
        *ret = f;
        return 0;
}

void failures_free(Failures *f) {
        if (!f)
                return;
        pthread_mutex_lock(&f->lock);
        f->stop = true;
        pthread_cond_signal(&f->changed);
        pthread_mutex_unlock(&f->lock);

        pthread_join(f->thread, NULL);
        pthread_cond_destroy(&f->changed);
        pthread_mutex_destroy(&f->lock);
        free(f);
}
