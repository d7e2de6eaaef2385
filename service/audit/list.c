/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the log.  An index leads to a key's, a principal's or a request's records; what else is
 * asked for is compared with each, so what a call may look at has a limit. */

#include "service/audit/audit.h"

#include <errno.h>

#include "service/db/queries.h"

#define LOOK_MAX 10000

/* Records that are written at once are not in the order of their times, and clocks are set. */
#define DISORDER_MAX 4096

typedef struct Listing {
        int (*fn)(const AuditRow *row, void *userdata);
        void *userdata;
        uint64_t last; /* looked at */
        bool full;
} Listing;

static int list_row(DbRow *row, void *userdata) {
        size_t previous_len, hash_len;
        Listing *l = userdata;
        uint64_t number = (uint64_t) db_row_int(row, 0);
        AuditRow out = { .number = number };
        int r;

        if (db_row_int(row, 1) != 0) {
                out.previous = db_row_blob(row, 2, &previous_len);
                out.hash = db_row_blob(row, 3, &hash_len);
                out.entry = db_row_text(row, 4);
                if (previous_len != SHA256_SIZE)
                        out.previous = NULL;
                if (hash_len != SHA256_SIZE)
                        out.hash = NULL;
                r = l->fn(&out, l->userdata);
                if (r != 0) {
                        l->full = r > 0;
                        return r < 0 ? r : -ECANCELED;
                }
        }
        l->last = number;
        return 0;
}

static int take_number(DbRow *row, void *userdata) {
        *(uint64_t *) userdata = (uint64_t) db_row_int(row, 0);
        return 0;
}

/* Numbers between which the times can lie. */
static int bounds(DbConn *c, const AuditFilter *f, uint64_t *after, uint64_t *upto, Error *e) {
        uint64_t number = INT64_MAX;
        int r = 0;

        *upto = INT64_MAX;
        if (f->from) {
                r = db_query(c, SQL_AUDIT_FROM, DB_ARGS(DB_INT(f->from)), take_number, &number, e);
                if (r >= 0 && number > *after + DISORDER_MAX)
                        *after = number - DISORDER_MAX;
        }
        if (r >= 0 && f->to) {
                number = 0;
                r = db_query(c, SQL_AUDIT_TO, DB_ARGS(DB_INT(f->to)), take_number, &number, e);
                *upto = number + DISORDER_MAX;
        }
        return r < 0 ? r : 0;
}

static int look(DbConn *c, const AuditFilter *f, uint64_t after, uint64_t upto, Listing *l,
                Error *e) {
        const char *sql = SQL_AUDIT_LIST, *lead = NULL;
        DbValue args[16];
        size_t n = 0;

        if (f->request_id) {
                sql = SQL_AUDIT_LIST_BY_REQUEST;
                lead = f->request_id;
        } else if (f->key_id) {
                sql = SQL_AUDIT_LIST_BY_KEY;
                lead = f->key_id;
        } else if (f->principal) {
                sql = SQL_AUDIT_LIST_BY_PRINCIPAL;
                lead = f->principal;
        }

        args[n++] = DB_TEXT(f->key_id);
        args[n++] = DB_TEXT(f->principal);
        args[n++] = DB_TEXT(f->kind);
        args[n++] = DB_TEXT(f->result);
        args[n++] = DB_TEXT(f->refused ? "allowed" : "-");
        args[n++] = DB_INT(f->from);
        args[n++] = DB_INT(f->to ? f->to : INT64_MAX);
        args[n++] = DB_TEXT(f->scope ? "" : "all");
        args[n++] = DB_TEXT(f->scope);
        if (lead)
                args[n++] = DB_TEXT(lead);
        args[n++] = DB_INT(after);
        args[n++] = DB_INT(upto);
        args[n++] = DB_INT(LOOK_MAX);
        return db_query(c, sql, args, n, list_row, l, e);
}

int audit_list(Db *db, const AuditFilter *filter, uint64_t *after,
               int (*fn)(const AuditRow *row, void *userdata), void *userdata, Error *e) {
        Listing l = { .fn = fn, .userdata = userdata };
        uint64_t upto;
        DbConn *c;
        int r;

        r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        r = bounds(c, filter, after, &upto, e);
        l.last = *after;
        if (r >= 0)
                r = look(c, filter, *after, upto, &l, e);
        db_release(db, c);
        if (r < 0 && !l.full)
                return r;
        *after = l.last;
        return l.full || r == LOOK_MAX;
}
