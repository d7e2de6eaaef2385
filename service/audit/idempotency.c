/* SPDX-License-Identifier: Apache-2.0 */
/* Kept answers.  Rows are in the order of their records, and so of their age: the oldest are found
 * without an index. */

#include "service/audit/idempotency.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "service/clock.h"
#include "service/db/queries.h"

#define KEPT_USEC USEC_PER_DAY
#define PRUNE_MAX 128 /* rows in one transaction */
#define PRUNE_GAP USEC_PER_SEC

bool idempotency_key_is_valid(const char *text) {
        size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789-_.:");

        return n > 0 && n <= IDEMPOTENCY_KEY_MAX && text[n] == '\0';
}

int idempotency_keep(DbConn *c, const Idempotency *i, uint64_t record, Error *e) {
        return db_exec(c, SQL_IDEMPOTENCY_INSERT,
                       DB_ARGS(DB_INT(record), DB_TEXT(i->principal), DB_TEXT(i->key),
                               DB_BLOB(i->request, sizeof(i->request)), DB_INT(i->status),
                               DB_BLOB(i->answer, i->answer_len), DB_INT(clock_now() + KEPT_USEC)),
                       e);
}

void kept_answer_done(KeptAnswer *k) {
        buf_done(&k->answer);
}

/* ---- finding ---- */

typedef struct Search {
        const Idempotency *asked;
        KeptAnswer found;
} Search;

static int take_answer(DbRow *row, void *userdata) {
        const uint8_t *request, *hash, *answer;
        size_t request_len, hash_len, answer_len;
        Search *s = userdata;
        KeptAnswer *k = &s->found;

        request = db_row_blob(row, 0, &request_len);
        hash = db_row_blob(row, 4, &hash_len);
        if (request_len != SHA256_SIZE || hash_len != SHA256_SIZE)
                return -EBADMSG;
        if (memcmp(request, s->asked->request, SHA256_SIZE) != 0)
                return -CSIGN_E_IDEMPOTENCY_MISMATCH;

        k->record = (uint64_t) db_row_int(row, 1);
        k->status = (int) db_row_int(row, 2);
        memcpy(k->hash, hash, SHA256_SIZE);
        snprintf(k->request_id, sizeof(k->request_id), "%s", db_row_text(row, 5));
        answer = db_row_blob(row, 3, &answer_len);
        return buf_append(&k->answer, answer, answer_len);
}

int idempotency_find(Db *db, const Idempotency *i, KeptAnswer *ret, Error *e) {
        Search s = { .asked = i };
        int r;

        r = db_read(db, SQL_IDEMPOTENCY_FIND, DB_ARGS(DB_TEXT(i->principal), DB_TEXT(i->key)),
                    take_answer, &s, e);
        if (r > 0) {
                *ret = s.found;
                return 1;
        }
        kept_answer_done(&s.found);
        if (r == -CSIGN_E_IDEMPOTENCY_MISMATCH)
                return error_set_rule(e, r, "idempotency-key",
                                      "the idempotency key '%s' was given for another request",
                                      i->key);
        return r;
}

/* ---- ageing ---- */

static int take_time(DbRow *row, void *userdata) {
        *(uint64_t *) userdata = (uint64_t) db_row_int(row, 0);
        return 0;
}

int idempotency_prune(DbConn *c, uint64_t *next, Error *e) {
        uint64_t now = clock_now(), oldest = 0;
        int r;

        if (now < *next)
                return 0;

        r = db_exec(c, SQL_IDEMPOTENCY_EXPIRE, DB_ARGS(DB_INT(PRUNE_MAX), DB_INT(now)), e);
        if (r < 0)
                return r;
        if (r == PRUNE_MAX)
                return 0; /* the next transaction goes on */

        r = db_query(c, SQL_IDEMPOTENCY_OLDEST, DB_NO_ARGS, take_time, &oldest, e);
        if (r < 0)
                return r;
        *next = r > 0 ? oldest : now + KEPT_USEC;
        if (*next < now + PRUNE_GAP)
                *next = now + PRUNE_GAP;
        return 0;
}
