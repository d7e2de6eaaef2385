/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where signatures are got: a queue, and a thread for each connection that takes all that waits,
 * asks for it in one POST, checks every signature (I4) and hands the jobs back.  A thread runs a
 * batch from start to end. Under load the requests gather by themselves while the threads are busy.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/worker.h"
#include "sidecar/setup.h"

typedef struct SignJob {
        Setup *setup;
        Key *key;
        SignRequest req; /* points into what follows */
        char key_id[ID_MAX];
        char request_id[ID_MAX];
        char idempotency_key[ID_MAX];
        uint8_t digest[DIGEST_MAX];
        uint8_t spki_hash[SPKI_HASH_SIZE];
        uint64_t since, deadline;
        const atomic_bool *gone; /* the caller has left: do not sign for nobody */
        SignItem item;           /* the result */
        Done done;               /* posted when it is there */
        struct SignJob *next;
} SignJob;

typedef struct Signer Signer;

int signer_new(Signer **ret, DoneQueue *done, unsigned threads, size_t queue_max, Error *e);

/* From any thread.  The job is the signer's until it posts job->done.  -CSIGN_E_RATE_LIMITED when
 * the queue is full: the job is still the caller's. */
int signer_submit(Signer *s, SignJob *job);

/* What waits is refused, what runs is finished; all of it is posted.  Ends the threads. */
void signer_stop(Signer *s);
void signer_free(Signer *s);
DEFINE_CLEANUP(Signer, signer_free)
