/* SPDX-License-Identifier: Apache-2.0 */
/* One row a key: the hour and the day that are counted, and how many signatures are in them. */

#include "service/audit/usage.h"

#include "service/clock.h"
#include "service/db/queries.h"

#define USEC_PER_HOUR (3600 * USEC_PER_SEC)

static int64_t limit_of(uint32_t n) {
        return n ? n : INT64_MAX;
}

int usage_take(DbConn *c, const UsageLimit *l, Error *e) {
        uint64_t now = clock_now();

        return db_exec(c, SQL_USAGE_TAKE,
                       DB_ARGS(DB_TEXT(l->key_id), DB_INT(now / USEC_PER_HOUR),
                               DB_INT(now / USEC_PER_DAY), DB_INT(limit_of(l->per_hour)),
                               DB_INT(limit_of(l->per_day))),
                       e);
}

typedef struct Counted {
        uint64_t hour, in_hour, day, in_day;
} Counted;

static int take_counted(DbRow *row, void *userdata) {
        *(Counted *) userdata = (Counted){
                .hour = (uint64_t) db_row_int(row, 0),
                .in_hour = (uint64_t) db_row_int(row, 1),
                .day = (uint64_t) db_row_int(row, 2),
                .in_day = (uint64_t) db_row_int(row, 3),
        };
        return 0;
}

/* Until the window after this one begins. */
static unsigned seconds_left(uint64_t window, uint64_t usec) {
        uint64_t now = clock_now(), end = (window + 1) * usec;

        return end > now ? (unsigned) ((end - now) / USEC_PER_SEC) + 1 : 1;
}

static int refuse(const UsageLimit *l, uint32_t limit, const char *window, unsigned wait,
                  Error *e) {
        int r = error_set_rule(e, -CSIGN_E_RATE_LIMITED, "usage-rate",
                               "key '%s' has made all signatures that it may make %s, which are "
                               "%u: the next in %u s",
                               l->key_path, window, limit, wait);

        if (e)
                e->retry_after = wait;
        return r;
}

int usage_check(Db *db, const UsageLimit *l, Error *e) {
        Counted c = {};
        int r;

        r = db_read(db, SQL_USAGE, DB_ARGS(DB_TEXT(l->key_id)), take_counted, &c, e);
        if (r < 0)
                return r;
        if (l->per_day && c.in_day >= l->per_day && c.day >= clock_now() / USEC_PER_DAY)
                return refuse(l, l->per_day, "in a day", seconds_left(c.day, USEC_PER_DAY), e);
        if (l->per_hour && c.in_hour >= l->per_hour && c.hour >= clock_now() / USEC_PER_HOUR)
                return refuse(l, l->per_hour, "in an hour", seconds_left(c.hour, USEC_PER_HOUR), e);
        return 0;
}
