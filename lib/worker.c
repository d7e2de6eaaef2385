/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that run blocking jobs, and the queue on which their results come back to an event loop.
 */

#include "lib/worker.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_SIZE (256 * 1024)

typedef struct Job {
        WorkerFn fn;
        void *arg;
} Job;

/* The jobs that wait are a ring of fixed size: nothing is allocated per job. */
struct WorkerPool {
        pthread_mutex_t lock;
        pthread_cond_t work;
        Job *ring;
        size_t size, head, waiting;
        bool stop;
        unsigned n_threads;
        pthread_t threads[];
};

static bool take_job(WorkerPool *p, Job *ret) {
        bool got;

        pthread_mutex_lock(&p->lock);
        while (p->waiting == 0 && !p->stop)
                pthread_cond_wait(&p->work, &p->lock);
        got = p->waiting > 0;
        if (got) {
                *ret = p->ring[p->head];
                p->head = (p->head + 1) % p->size;
                p->waiting--;
        }
        pthread_mutex_unlock(&p->lock);
        return got;
}

static void *worker_main(void *arg) {
        Job job;

        while (take_job(arg, &job))
                job.fn(job.arg);
        return NULL;
}

/* Signals are the event loop's business: threads start with all of them blocked. */
static int start_thread(pthread_t *thread, WorkerPool *p) {
        sigset_t all, old;
        pthread_attr_t attr;
        int r;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, STACK_SIZE);
        r = pthread_create(thread, &attr, worker_main, p);
        pthread_attr_destroy(&attr);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return -r;
}

int worker_pool_new(WorkerPool **ret, unsigned threads, size_t queue_max, Error *e) {
        _cleanup_(worker_pool_freep) WorkerPool *p = NULL;
        int r;

        assert(ret && threads > 0 && queue_max > 0);

        p = calloc(1, sizeof(*p) + threads * sizeof(p->threads[0]));
        if (!p)
                return -ENOMEM;
        pthread_mutex_init(&p->lock, NULL);
        pthread_cond_init(&p->work, NULL);

        p->size = queue_max;
        p->ring = calloc(queue_max, sizeof(*p->ring));
        if (!p->ring)
                return -ENOMEM;

        for (; p->n_threads < threads; p->n_threads++) {
                r = start_thread(&p->threads[p->n_threads], p);
                if (r < 0)
                        return error_set(e, r, "cannot start a thread: %s", strerror(-r));
        }
        *ret = TAKE(p);
        return 0;
}

int worker_submit(WorkerPool *p, WorkerFn fn, void *arg) {
        int r = 0;

        pthread_mutex_lock(&p->lock);
        if (p->waiting == p->size)
                r = -CSIGN_E_RATE_LIMITED;
        else {
                p->ring[(p->head + p->waiting) % p->size] = (Job){ fn, arg };
                p->waiting++;
        }
        pthread_mutex_unlock(&p->lock);
        if (r >= 0)
                pthread_cond_signal(&p->work);
        return r;
}

void worker_pool_free(WorkerPool *p) {
        if (!p)
                return;

        pthread_mutex_lock(&p->lock);
        p->stop = true;
        pthread_mutex_unlock(&p->lock);
        pthread_cond_broadcast(&p->work);
        for (unsigned i = 0; i < p->n_threads; i++)
                pthread_join(p->threads[i], NULL);

        pthread_cond_destroy(&p->work);
        pthread_mutex_destroy(&p->lock);
        free(p->ring);
        free(p);
}

/* ---- completions ---- */

struct DoneQueue {
        pthread_mutex_t lock;
        Done *first, **last;
        int fd;
};

int done_queue_new(DoneQueue **ret, Error *e) {
        DoneQueue *q;

        q = calloc(1, sizeof(*q));
        if (!q)
                return -ENOMEM;
        q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (q->fd < 0) {
                int r = -errno;

                free(q);
                return error_set(e, r, "cannot make an eventfd: %s", strerror(-r));
        }
        pthread_mutex_init(&q->lock, NULL);
        q->last = &q->first;
        *ret = q;
        return 0;
}

void done_queue_free(DoneQueue *q) {
        if (!q)
                return;
        close(q->fd);
        pthread_mutex_destroy(&q->lock);
        free(q);
}

int done_queue_fd(const DoneQueue *q) {
        return q->fd;
}

void done_queue_post(DoneQueue *q, Done *d) {
        uint64_t one = 1;
        bool wake;

        d->next = NULL;
        pthread_mutex_lock(&q->lock);
        wake = !q->first; /* who posts behind another relies on that one's wake-up */
        *q->last = d;
        q->last = &d->next;
        pthread_mutex_unlock(&q->lock);

        if (wake)
                while (write(q->fd, &one, sizeof(one)) < 0 && errno == EINTR)
                        ;
}

void done_queue_run(DoneQueue *q) {
        uint64_t count;
        Done *d;

        while (read(q->fd, &count, sizeof(count)) < 0 && errno == EINTR)
                ;

        pthread_mutex_lock(&q->lock);
        d = q->first;
        q->first = NULL;
        q->last = &q->first;
        pthread_mutex_unlock(&q->lock);

        while (d) {
                Done *next = d->next; /* fn may free d */

                d->fn(d->arg);
                d = next;
        }
}
