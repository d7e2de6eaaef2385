/* SPDX-License-Identifier: Apache-2.0 */
/* A list that requests add to, and a thread that writes it in one transaction. */

#include "service/last-used.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "service/clock.h"
#include "service/db/queries.h"

#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define NOTES_MAX       1024

typedef struct Note {
        char api_key[ID_MAX];
        uint64_t when;
} Note;

typedef struct Notes {
        size_t n;
        Note list[NOTES_MAX];
} Notes;

struct LastUsed {
        Audit *audit;
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t wake;
        bool stop;
        Notes notes;   /* locked */
        Notes writing; /* the thread's */
};

void last_used_note(LastUsed *l, Principal *p, uint64_t now) {
        uint_fast64_t before = atomic_load_explicit(&p->api_key_used, memory_order_relaxed);
        Note *note;

        if (now < before + USEC_PER_MINUTE ||
            !atomic_compare_exchange_strong(&p->api_key_used, &before, now))
                return;
        pthread_mutex_lock(&l->lock);
        if (l->notes.n < NOTES_MAX) {
                note = &l->notes.list[l->notes.n++];
                memcpy(note->api_key, p->api_key, sizeof(note->api_key));
                note->when = now;
                pthread_cond_signal(&l->wake);
        }
        pthread_mutex_unlock(&l->lock);
}

static int write_notes(DbConn *c, void *userdata, Error *e) {
        const Notes *notes = userdata;

        for (size_t i = 0; i < notes->n; i++) {
                const Note *note = &notes->list[i];
                int r = db_exec(
                        c, SQL_API_KEY_USED,
                        DB_ARGS(DB_INT(note->when), DB_TEXT(note->api_key), DB_INT(note->when)), e);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Takes what there is; false: nothing will be any more. */
static bool take_notes(LastUsed *l) {
        bool go_on;

        pthread_mutex_lock(&l->lock);
        while (l->notes.n == 0 && !l->stop)
                pthread_cond_wait(&l->wake, &l->lock);
        l->writing.n = l->notes.n;
        memcpy(l->writing.list, l->notes.list, l->notes.n * sizeof(l->notes.list[0]));
        l->notes.n = 0;
        go_on = l->writing.n > 0;
        pthread_mutex_unlock(&l->lock);
        return go_on;
}

static void *last_used_main(void *arg) {
        LastUsed *l = arg;
        bool failing = false;

        while (take_notes(l)) {
                Error e = {};
                AuditJob job = { .change = write_notes, .userdata = &l->writing, .e = &e };
                int r = audit_commit(l->audit, &job);

                if (r < 0 && !failing)
                        log_failure(LOG_ERROR, "when API keys were last used cannot be written",
                                    &e);
                failing = r < 0;
        }
        return NULL;
}

static int start_thread(LastUsed *l) {
        sigset_t all, old;
        int r;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        r = -pthread_create(&l->thread, NULL, last_used_main, l);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return r;
}

int last_used_start(LastUsed **ret, Audit *audit, Error *e) {
        LastUsed *l = calloc(1, sizeof(*l));
        int r;

        if (!l)
                return -ENOMEM;
        l->audit = audit;
        pthread_mutex_init(&l->lock, NULL);
        pthread_cond_init(&l->wake, NULL);
        r = start_thread(l);
        if (r < 0) {
                free(l);
                return error_set(e, r, "cannot start a thread: %s", strerror(-r));
        }
        *ret = l;
        return 0;
}

void last_used_stop(LastUsed *l) {
        if (!l)
                return;
        pthread_mutex_lock(&l->lock);
        l->stop = true;
        pthread_cond_signal(&l->wake);
        pthread_mutex_unlock(&l->lock);
        pthread_join(l->thread, NULL);
        pthread_cond_destroy(&l->wake);
        pthread_mutex_destroy(&l->lock);
        free(l);
}
