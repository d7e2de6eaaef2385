/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of a transaction: most have one key and one account, so a search is a comparison or two. */

#include "service/audit/tally.h"

#include <stdio.h>
#include <string.h>

#include "service/clock.h"
#include "service/db/queries.h"

static size_t find(const Tally *t, const char *key_id, const char *principal, uint64_t day) {
        size_t i = 0;

        while (i < t->n && (t->sums[i].day != day || strcmp(t->sums[i].key_id, key_id) != 0 ||
                            strcmp(t->sums[i].principal, principal) != 0))
                i++;
        return i;
}

int tally_write(Tally *t, DbConn *c, Error *e) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < t->n; i++)
                r = db_exec(c, SQL_USE_ADD,
                            DB_ARGS(DB_TEXT(t->sums[i].key_id), DB_TEXT(t->sums[i].principal),
                                    DB_INT(t->sums[i].day), DB_INT(t->sums[i].signatures),
                                    DB_INT(t->sums[i].refused)),
                            e);
        t->n = 0;
        return r < 0 ? r : 0;
}

int tally_add(Tally *t, DbConn *c, const char *key_id, const char *principal, uint64_t time,
              bool signed_it, Error *e) {
        uint64_t day = time / USEC_PER_DAY;
        size_t i;
        int r;

        if (t->n == TALLY_MAX) {
                r = tally_write(t, c, e);
                if (r < 0)
                        return r;
        }
        i = find(t, key_id, principal, day);
        if (i == t->n) {
                memset(&t->sums[i], 0, sizeof(t->sums[i]));
                snprintf(t->sums[i].key_id, ID_MAX, "%s", key_id);
                snprintf(t->sums[i].principal, ID_MAX, "%s", principal);
                t->sums[i].day = day;
                t->n++;
        }
        if (signed_it)
                t->sums[i].signatures++;
        else
                t->sums[i].refused++;
        return 0;
}
