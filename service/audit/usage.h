/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Signatures of keys that may make so many an hour and a day: counted in the transaction that
 * writes their records, so that there are never more of these than the limit, whatever crashes and
 * however many ask at once.  The hour and the day are those of the calendar, UTC.  Counting begins
 * when a key gets a limit. */

#include <stdint.h>

#include "lib/error.h"
#include "service/db/db.h"

typedef struct UsageLimit {
        const char *key_id, *key_path;
        uint32_t per_hour, per_day; /* 0: none */
} UsageLimit;

/* In the writer's transaction.  1: counted; 0: it would be one too many, and nothing was written.
 */
int usage_take(DbConn *c, const UsageLimit *l, Error *e);

/* What is counted so far, before anything is signed.  -CSIGN_E_RATE_LIMITED, rule "usage-rate", and
 * how long to wait. */
int usage_check(Db *db, const UsageLimit *l, Error *e);
