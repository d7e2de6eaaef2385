/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/signer.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/clock.h"

struct Signer {
        DoneQueue *done;
        pthread_mutex_t lock;
        pthread_cond_t work;
        SignJob *first, **last;
        size_t waiting, queue_max;
        unsigned idle; /* threads that wait for work */
        atomic_bool stop;
        unsigned n_threads;
        pthread_t threads[];
};

typedef struct Batch {
        SignJob *jobs[SIGN_BATCH_MAX];
        size_t n;
} Batch;

/* ---- the queue ---- */

/* With the lock. */
static SignJob *pop(Signer *s) {
        SignJob *job = s->first;

        s->first = job->next;
        if (!s->first)
                s->last = &s->first;
        s->waiting--;
        return job;
}

/* Waits for work; then takes all that one POST can hold.  false: the signer stops. */
static bool take(Signer *s, Batch *ret) {
        ret->n = 0;
        (void) pthread_mutex_lock(&s->lock);
        s->idle++;
        while (!s->first && !s->stop)
                (void) pthread_cond_wait(&s->work, &s->lock);
        s->idle--;
        while (!s->stop && s->first && ret->n < SIGN_BATCH_MAX &&
               (ret->n == 0 || s->first->setup == ret->jobs[0]->setup))
                ret->jobs[ret->n++] = pop(s);
        (void) pthread_mutex_unlock(&s->lock);
        return ret->n > 0;
}

int signer_submit(Signer *s, SignJob *job) {
        bool wake;

        job->next = NULL;
        (void) pthread_mutex_lock(&s->lock);
        if (s->stop || s->waiting >= s->queue_max) {
                (void) pthread_mutex_unlock(&s->lock);
                return -CSIGN_E_RATE_LIMITED;
        }
        *s->last = job;
        s->last = &job->next;
        s->waiting++;
        wake = s->idle > 0;
        (void) pthread_mutex_unlock(&s->lock);
        if (wake)
                (void) pthread_cond_signal(&s->work);
        return 0;
}

static void refuse(Signer *s, SignJob *job, const Error *e) {
        job->item.r = e->code;
        job->item.e = *e;
        done_queue_post(s->done, &job->done);
}

/* ---- a batch ---- */

/* Those who left or whose time is over need no signature.  *ret_wish is the rest's: who is in a
 * hurry, or has waited for long, must not spoil it for the others. */
static void drop_late(Signer *s, Batch *b, uint64_t now, Wish *ret_wish) {
        Error late = {};
        size_t n = 0;

        (void) error_set(&late, -CSIGN_E_TIMEOUT,
                         "no connection to the service became free in time");
        for (size_t i = 0; i < b->n; i++) {
                SignJob *job = b->jobs[i];

                if (atomic_load_explicit(job->gone, memory_order_relaxed) || job->deadline <= now) {
                        refuse(s, job, &late);
                        continue;
                }
                b->jobs[n++] = job;
                if (job->deadline > ret_wish->deadline)
                        ret_wish->deadline = job->deadline;
                if (job->since > ret_wish->since)
                        ret_wish->since = job->since;
        }
        b->n = n;
}

/* Nobody is left who waits for the batch. */
static bool all_have_gone(void *data) {
        const Batch *b = data;

        for (size_t i = 0; i < b->n; i++)
                if (!atomic_load_explicit(b->jobs[i]->gone, memory_order_relaxed))
                        return false;
        return true;
}

/* I4: nobody gets a signature that this process has not checked. */
static void check_signature(SignJob *job) {
        SignItem *item = &job->item;

        if (item->r < 0)
                return;
        item->r = sign_request_verify(&job->req, job->key->public_key, item->sig.data,
                                      item->sig.len, &item->e);
        if (item->r < 0)
                buf_done(&item->sig);
}

static void run(Signer *s, Batch *b) {
        SignItem *items[SIGN_BATCH_MAX];
        Wish wish = { .given_up = all_have_gone, .data = b, .stop = &s->stop };
        Setup *setup;
        Error e = {};
        int r;

        drop_late(s, b, now_usec(), &wish);
        if (b->n == 0)
                return;
        setup = setup_ref(b->jobs[0]->setup); /* the jobs are gone when they are posted */
        for (size_t i = 0; i < b->n; i++)
                items[i] = &b->jobs[i]->item;

        r = service_sign(setup->api, items, b->n, &wish, &e);
        for (size_t i = 0; i < b->n; i++) {
                if (r < 0) {
                        refuse(s, b->jobs[i], &e);
                        continue;
                }
                check_signature(b->jobs[i]);
                done_queue_post(s->done, &b->jobs[i]->done);
        }
        setup_unref(setup);
}

static void *signer_main(void *arg) {
        Signer *s = arg;
        Batch b;

        while (take(s, &b))
                run(s, &b);
        return NULL;
}

/* ---- life ---- */

/* Signals are the event loop's business: threads start with all of them blocked. */
static int start_thread(Signer *s) {
        sigset_t all, old;
        int r;

        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &old);
        r = pthread_create(&s->threads[s->n_threads], NULL, signer_main, s);
        (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (r == 0)
                s->n_threads++;
        return -r;
}

int signer_new(Signer **ret, DoneQueue *done, unsigned threads, size_t queue_max, Error *e) {
        _cleanup_(signer_freep) Signer *s = NULL;
        int r;

        assert(ret && done && threads > 0);

        s = calloc(1, sizeof(*s) + threads * sizeof(pthread_t));
        if (!s)
                return error_set(e, -ENOMEM, "out of memory");
        s->done = done;
        s->last = &s->first;
        s->queue_max = queue_max;
        (void) pthread_mutex_init(&s->lock, NULL);
        (void) pthread_cond_init(&s->work, NULL);
        for (unsigned i = 0; i < threads; i++) {
                r = start_thread(s);
                if (r < 0)
                        return error_set(e, r, "cannot start a thread: %s", strerror(-r));
        }
        *ret = TAKE(s);
        return 0;
}

void signer_stop(Signer *s) {
        SignJob *job, *next;
        Error e = {};

        (void) pthread_mutex_lock(&s->lock);
        s->stop = true;
        job = s->first;
        s->first = NULL;
        (void) pthread_mutex_unlock(&s->lock);
        (void) pthread_cond_broadcast(&s->work);

        (void) error_set(&e, -CSIGN_E_SIDECAR_UNAVAILABLE, "the sidecar is stopping");
        for (; job; job = next) {
                next = job->next;
                refuse(s, job, &e);
        }
        for (unsigned i = 0; i < s->n_threads; i++)
                (void) pthread_join(s->threads[i], NULL);
        s->n_threads = 0;
}

void signer_free(Signer *s) {
        if (!s)
                return;
        signer_stop(s);
        (void) pthread_cond_destroy(&s->work);
        (void) pthread_mutex_destroy(&s->lock);
        free(s);
}
