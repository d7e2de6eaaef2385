/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include "lib/worker.h"
#include "tests/unit/test.h"

enum { JOBS = 500 };

typedef struct Gate {
        sem_t entered, open;
} Gate;

static void gate_init(Gate *g) {
        assert_int_equal(sem_init(&g->entered, 0, 0), 0);
        assert_int_equal(sem_init(&g->open, 0, 0), 0);
}

static void pass(void *arg) {
        Gate *g = arg;

        (void) sem_post(&g->entered);
        (void) sem_wait(&g->open);
}

static void count(void *arg) {
        (void) __atomic_add_fetch((int *) arg, 1, __ATOMIC_SEQ_CST);
}

static void every_job_runs_once_before_the_pool_ends(void **state) {
        WorkerPool *p = NULL;
        int n = 0;
        Error e = {};

        assert_int_equal(worker_pool_new(&p, 4, JOBS, &e), 0);
        for (int i = 0; i < JOBS; i++)
                assert_int_equal(worker_submit(p, count, &n), 0);
        worker_pool_free(p);
        assert_int_equal(n, JOBS);
}

static void jobs_run_side_by_side(void **state) {
        WorkerPool *p = NULL;
        Error e = {};
        Gate g;

        gate_init(&g);
        assert_int_equal(worker_pool_new(&p, 3, 10, &e), 0);
        for (int i = 0; i < 3; i++)
                assert_int_equal(worker_submit(p, pass, &g), 0);
        for (int i = 0; i < 3; i++) /* all three are in before any may go on */
                assert_int_equal(sem_wait(&g.entered), 0);
        for (int i = 0; i < 3; i++)
                (void) sem_post(&g.open);
        worker_pool_free(p);
}

static void a_full_queue_says_later(void **state) {
        WorkerPool *p = NULL;
        int n = 0;
        Error e = {};
        Gate g;

        gate_init(&g);
        assert_int_equal(worker_pool_new(&p, 1, 2, &e), 0);
        assert_int_equal(worker_submit(p, pass, &g), 0);
        assert_int_equal(sem_wait(&g.entered), 0); /* it runs: it does not wait any more */
        assert_int_equal(worker_submit(p, count, &n), 0);
        assert_int_equal(worker_submit(p, count, &n), 0);
        assert_int_equal(worker_submit(p, count, &n), -CSIGN_E_RATE_LIMITED);
        (void) sem_post(&g.open);
        worker_pool_free(p);
        assert_int_equal(n, 2);
}

static void read_mask(void *arg) {
        (void) pthread_sigmask(SIG_BLOCK, NULL, arg);
}

static void signals_stay_with_the_main_thread(void **state) {
        WorkerPool *p = NULL;
        sigset_t mask;
        Error e = {};

        (void) sigemptyset(&mask);
        assert_int_equal(worker_pool_new(&p, 1, 1, &e), 0);
        assert_int_equal(worker_submit(p, read_mask, &mask), 0);
        worker_pool_free(p);
        assert_int_equal(sigismember(&mask, SIGTERM), 1);
        assert_int_equal(sigismember(&mask, SIGINT), 1);
        (void) pthread_sigmask(SIG_BLOCK, NULL, &mask);
        assert_int_equal(sigismember(&mask, SIGTERM), 0);
}

static bool is_readable(int fd, int timeout_ms) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        return poll(&p, 1, timeout_ms) == 1;
}

typedef struct Step {
        Done done;
        DoneQueue *queue;
        int number;
        int *order, *n;
} Step;

static void note(void *arg) {
        Step *s = arg;

        s->order[(*s->n)++] = s->number;
}

static void what_was_posted_runs_in_order_in_the_loop(void **state) {
        int order[3] = {}, n = 0;
        DoneQueue *q = NULL;
        Step steps[3];
        Error e = {};

        assert_int_equal(done_queue_new(&q, &e), 0);
        assert_false(is_readable(done_queue_fd(q), 0));
        for (int i = 0; i < 3; i++) {
                steps[i] = (Step){ .number = i, .order = order, .n = &n };
                steps[i].done = (Done){ .fn = note, .arg = &steps[i] };
                done_queue_post(q, &steps[i].done);
        }
        assert_true(is_readable(done_queue_fd(q), 0));
        assert_int_equal(n, 0);
        done_queue_run(q);
        assert_int_equal(n, 3);
        for (int i = 0; i < 3; i++)
                assert_int_equal(order[i], i);
        assert_false(is_readable(done_queue_fd(q), 0));
        done_queue_run(q); /* nothing there: nothing happens */
        done_queue_free(q);
}

static void post(void *arg) {
        Step *s = arg;

        done_queue_post(s->queue, &s->done);
}

/* A job may be freed by its own completion, and may post again from there. */
static void post_again(void *arg) {
        Step *s = arg;

        if (--s->number > 0)
                done_queue_post(s->queue, &s->done);
        (*s->n)++;
}

static void completions_come_from_all_threads(void **state) {
        static Step steps[JOBS];
        int n = 0;
        WorkerPool *p = NULL;
        DoneQueue *q = NULL;
        Error e = {};

        assert_int_equal(done_queue_new(&q, &e), 0);
        assert_int_equal(worker_pool_new(&p, 4, JOBS, &e), 0);
        for (int i = 0; i < JOBS; i++) {
                steps[i] = (Step){ .queue = q, .number = 2, .n = &n };
                steps[i].done = (Done){ .fn = post_again, .arg = &steps[i] };
                assert_int_equal(worker_submit(p, post, &steps[i]), 0);
        }
        while (n < 2 * JOBS) {
                assert_true(is_readable(done_queue_fd(q), 10000));
                done_queue_run(q);
        }
        worker_pool_free(p);
        done_queue_free(q);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_job_runs_once_before_the_pool_ends),
                cmocka_unit_test(jobs_run_side_by_side),
                cmocka_unit_test(a_full_queue_says_later),
                cmocka_unit_test(signals_stay_with_the_main_thread),
                cmocka_unit_test(what_was_posted_runs_in_order_in_the_loop),
                cmocka_unit_test(completions_come_from_all_threads),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
