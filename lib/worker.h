/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A pool of threads that run blocking jobs, and a way back: completions are posted to a DoneQueue,
 * whose eventfd an event loop watches (sd-event and libevent alike). */

#include <stddef.h>

#include "lib/error.h"

typedef void (*WorkerFn)(void *arg);

typedef struct WorkerPool WorkerPool;

/* Threads block all signals and have small stacks (256 KiB). */
int worker_pool_new(WorkerPool **ret, unsigned threads, size_t queue_max, Error *e);
/* Runs fn(arg) on some thread.  -CSIGN_E_RATE_LIMITED when queue_max jobs wait already. */
int worker_submit(WorkerPool *p, WorkerFn fn, void *arg);
/* Waits for the jobs that run and wait, then ends the threads. */
void worker_pool_free(WorkerPool *p);
DEFINE_CLEANUP(WorkerPool, worker_pool_free)

typedef struct DoneQueue DoneQueue;

/* Embedded in the caller's job, so that posting cannot fail. */
typedef struct Done {
        struct Done *next;
        WorkerFn fn;
        void *arg;
} Done;

int done_queue_new(DoneQueue **ret, Error *e);
void done_queue_free(DoneQueue *q);
DEFINE_CLEANUP(DoneQueue, done_queue_free)
int done_queue_fd(const DoneQueue *q);       /* readable when something was posted */
void done_queue_post(DoneQueue *q, Done *d); /* from any thread */
void done_queue_run(DoneQueue *q);           /* in the loop: runs all that was posted, in order */
