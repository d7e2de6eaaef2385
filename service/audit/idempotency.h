/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Answers that are kept for a day, by the key that the client chose for its request: who lost the
 * answer and asks again gets the first one, and nothing happens twice.
 *
 * An answer is kept in the transaction that writes the request's record.  Nobody looks before: of
 * two requests with one key, even at the same moment, the transaction lets one through. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/error.h"
#include "lib/id.h"
#include "service/db/db.h"
#include "service/digest.h"

#define IDEMPOTENCY_KEY_MAX 64

/* 1 to 64 of a-z A-Z 0-9 - _ . : */
bool idempotency_key_is_valid(const char *text);

typedef struct Idempotency {
        const char *principal;        /* keys of one principal are nobody else's business */
        const char *key;              /* NULL: the client gave none, and nothing is kept */
        uint8_t request[SHA256_SIZE]; /* what it was given for */
        int status;                   /* of HTTP; 0: the answer is a signature */
        const void *answer;
        size_t answer_len;
} Idempotency;

/* In the writer's transaction.  1: kept; 0: the key was used before, and nothing was written. */
int idempotency_keep(DbConn *c, const Idempotency *i, uint64_t record, Error *e);

typedef struct KeptAnswer {
        uint64_t record;
        uint8_t hash[SHA256_SIZE]; /* the record's */
        char request_id[ID_MAX];
        int status;
        Buf answer;
} KeptAnswer;

void kept_answer_done(KeptAnswer *k);

/* 1: found; 0: there is none.  -CSIGN_E_IDEMPOTENCY_MISMATCH: the key was given for another
 * request. */
int idempotency_find(Db *db, const Idempotency *i, KeptAnswer *ret, Error *e);

/* In the writer's transaction: drops a few answers whose day is over.  *next is when there will be
 * more to drop; until then it costs a comparison.  Begin with 0. */
int idempotency_prune(DbConn *c, uint64_t *next, Error *e);
