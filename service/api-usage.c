/* SPDX-License-Identifier: Apache-2.0 */
/* How often keys were used, by whom, on which day: of the keys that the caller may view. */

#include <stdio.h>
#include <string.h>

#include "service/api.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/policy.h"
#include "service/tsg.h"

#define CURSOR_MAX (3 * ID_MAX + 24)

typedef struct UsagePage {
        JsonOut o;
        const Root *root; /* where the caller may see it */
        unsigned left;
        bool more;
        char last[CURSOR_MAX];

        /* as asked */
        char tsg[ID_MAX], key[ID_MAX], principal[ID_MAX]; /* the cursor: in this TSG behind these */
        uint64_t day;
        const char *only_key, *only_account;
        uint64_t from, to; /* days */
} UsagePage;

/* ---- what is asked for ---- */

static int read_ids(const Request *req, UsagePage *p, Error *e) {
        p->only_key = form_get(&req->query, "key");
        p->only_account = form_get(&req->query, "account");
        if (p->only_key && !id_is_valid(p->only_key, "key"))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'key' is not a key id (key_…)");
        if (p->only_account && !id_is_valid(p->only_account, "acc"))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'account' is not a client id (acc_…)");
        return 0;
}

static int read_day(const Request *req, const char *name, uint64_t unset, uint64_t *ret, Error *e) {
        const char *text = form_get(&req->query, name);
        char time[CLOCK_TEXT_MAX];
        uint64_t usec;

        *ret = unset;
        if (!text)
                return 0;
        snprintf(time, sizeof(time), "%.16sT00:00:00Z", text);
        if (strlen(text) != strlen("2026-11-21") || clock_parse(time, &usec) < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is not a day like 2026-11-21",
                                 name);
        *ret = usec / USEC_PER_DAY;
        return 0;
}

/* "tsg_….key_….acc_….20778" */
static int read_cursor(const Request *req, UsagePage *p, Error *e) {
        const char *text = form_get(&req->query, "cursor");
        unsigned long long day;
        int end = 0;

        if (!text || !text[0])
                return 0;
        if (strlen(text) >= CURSOR_MAX ||
            sscanf(text, "%39[a-z0-9_].%39[a-z0-9_].%39[a-z0-9_].%9llu%n", p->tsg, p->key,
                   p->principal, &day, &end) != 4 ||
            text[end])
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'cursor' is not the next_cursor of a page before");
        p->day = day;
        return 0;
}

static int read_query(const Request *req, UsagePage *p, Error *e) {
        int r;

        r = read_ids(req, p, e);
        if (r >= 0)
                r = read_day(req, "from", 0, &p->from, e);
        if (r >= 0)
                r = read_day(req, "to", INT32_MAX, &p->to, e);
        if (r >= 0)
                r = request_limit(req, &p->left, e);
        return r < 0 ? r : read_cursor(req, p, e);
}

/* ---- the answer ---- */

static int list_use(DbRow *row, void *userdata) {
        uint64_t day = (uint64_t) db_row_int(row, 4);
        char text[CLOCK_TEXT_MAX];
        UsagePage *p = userdata;

        if (p->left == 0) {
                p->more = true;
                return 0;
        }
        p->left--;
        snprintf(p->last, sizeof(p->last), "%s.%s.%s.%llu", p->root->id, db_row_text(row, 0),
                 db_row_text(row, 2), (unsigned long long) day);
        json_begin_object(&p->o, NULL);
        clock_text_seconds(day * USEC_PER_DAY, text);
        text[strlen("2026-11-21")] = '\0';
        json_out_str(&p->o, "day", text);
        json_out_str(&p->o, "key", db_row_text(row, 0));
        json_out_str(&p->o, "key_path", db_row_text(row, 1));
        json_out_str(&p->o, "principal", db_row_text(row, 2));
        json_out_str(&p->o, "principal_name", db_row_text(row, 3));
        json_out_i64(&p->o, "signatures", db_row_int(row, 5));
        json_out_i64(&p->o, "refused", db_row_int(row, 6));
        json_end_object(&p->o);
        return p->o.r;
}

static void begin_at_first(UsagePage *p) {
        snprintf(p->key, sizeof(p->key), "%s", p->only_key ?: "");
        p->principal[0] = '\0';
        p->day = 0;
}

static int list_root(Request *req, UsagePage *p, Error *e) {
        bool few;
        int r;

        r = tsg_has_few_keys(req->service->db, p->root->id, &few, e);
        if (r < 0)
                return r;
        /* '~' is behind all ids. */
        return db_read(req->service->db, few ? SQL_USE_LIST_OF_FEW : SQL_USE_LIST,
                       DB_ARGS(DB_TEXT(p->root->id), DB_TEXT(p->key), DB_TEXT(p->principal),
                               DB_INT(p->day), DB_TEXT(p->only_key ?: "~"),
                               DB_TEXT(p->only_account), DB_INT(p->from), DB_INT(p->to),
                               DB_INT(p->left + 1)),
                       list_use, p, e);
}

/* One TSG of the caller's after the other; a cursor of one that is the caller's no more begins
 * anew. */
static int list_roots(Request *req, UsagePage *p, Error *e) {
        Roots roots;
        size_t i = 0;
        int r = 0;

        policy_roots(req->principal, RIGHT_VIEW(KEYS), &roots);
        while (i < roots.n && strcmp(roots.list[i].id, p->tsg) != 0)
                i++;
        if (i == roots.n) {
                i = 0;
                begin_at_first(p);
        }
        for (; r >= 0 && i < roots.n && !p->more; i++) {
                p->root = &roots.list[i];
                r = list_root(req, p, e);
                begin_at_first(p);
        }
        return r;
}

int api_usage(Request *req, Error *e) {
        UsagePage p = { .o = JSON_OUT(&req->reply) };
        int r;

        r = read_query(req, &p, e);
        if (r < 0)
                return r;
        json_begin_object(&p.o, NULL);
        json_begin_array(&p.o, "usage");
        r = list_roots(req, &p, e);
        if (r < 0)
                return r;
        json_end_array(&p.o);
        json_out_str(&p.o, "next_cursor", p.more ? p.last : "");
        json_end_object(&p.o);
        return p.o.r;
}
