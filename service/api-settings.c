/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of TSGs: separation of duties, which those below inherit. */

#include <stdio.h>
#include <string.h>

#include "service/api.h"
#include "service/db/queries.h"
#include "service/policy.h"
#include "service/revision.h"

typedef struct Settings {
        const json_t *duties; /* as asked */
        Request *req;
        Tsg tsg;
        char is[8]; /* "on", "off", or "": as the TSG above */
        uint64_t revision;
        bool effective;
} Settings;

static int take_settings(DbRow *row, void *userdata) {
        Settings *s = userdata;

        snprintf(s->is, sizeof(s->is), "%s", db_row_text(row, 0));
        s->revision = (uint64_t) db_row_int(row, 1);
        return 0;
}

static int read_settings(Settings *s, Error *e) {
        Db *db = s->req->service->db;
        TsgChain chain;
        DbConn *c;
        int r;

        r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        r = db_query(c, SQL_TSG_SETTINGS, DB_ARGS(DB_TEXT(s->tsg.id)), take_settings, s, e);
        if (r >= 0)
                r = tsg_chain(c, s->tsg.id, &chain, e);
        db_release(db, c);
        if (r >= 0)
                s->effective = chain.separation_of_duties;
        return r;
}

static int find_settings(Settings *s, Right right, Error *e) {
        const Principal *p = s->req->principal;
        int r;

        r = tsg_by_id(s->req->service->db, p->tsg, s->req->params[0], &s->tsg, e);
        if (r == -CSIGN_E_NOT_FOUND)
                return policy_unreachable(p, r, "TSG", NULL, e);
        if (r >= 0)
                r = request_allow(s->req, right, s->tsg.id, e);
        return r < 0 ? r : read_settings(s, e);
}

static int reply_settings(Settings *s) {
        JsonOut o = JSON_OUT(&s->req->reply);

        json_begin_object(&o, NULL);
        json_out_str(&o, "tsg", s->tsg.id);
        if (s->is[0])
                json_out_bool(&o, "separation_of_duties", strcmp(s->is, "off") != 0);
        else
                json_out_str(&o, "separation_of_duties", NULL);
        json_begin_object(&o, "effective");
        json_out_bool(&o, "separation_of_duties", s->effective);
        json_end_object(&o);
        json_out_u64(&o, "revision", s->revision);
        json_end_object(&o);
        s->req->etag = s->revision;
        return o.r;
}

int api_settings_get(Request *req, Error *e) {
        Settings s = { .req = req };
        int r;

        r = find_settings(&s, RIGHT_VIEW(SETTINGS), e);
        return r < 0 ? r : reply_settings(&s);
}

static int read_duties(const json_t *v, const char *name, void *target, Error *e) {
        if (!json_is_boolean(v) && !json_is_null(v))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is true, false or null", name);
        *(const json_t **) target = v;
        return 0;
}

static const char *asked(const Settings *s) {
        return json_is_null(s->duties) ? NULL : json_is_true(s->duties) ? "on" : "off";
}

static int write_settings(DbConn *c, void *userdata, Error *e) {
        const Settings *s = userdata;
        int r;

        r = revision_bump(c, SQL_TSG_TOUCH, "TSG", s->tsg.id, s->req->if_match, e);
        if (r < 0)
                return r;
        return db_exec(c, SQL_TSG_SET_DUTIES, DB_ARGS(DB_TEXT(asked(s)), DB_TEXT(s->tsg.id)), e);
}

static int commit_settings(Settings *s, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(s->req, "tsg.settings");
        int r;

        r = audit_entry_change(&rec, &event, "tsg", s->tsg.id, "path", s->tsg.path,
                               "separation_of_duties", asked(s) ?: "inherited",
                               "separation_of_duties_before", s->is[0] ? s->is : "inherited", NULL);
        return r < 0 ? r : request_commit(s->req, write_settings, s, &rec, e);
}

int api_settings_change(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "separation_of_duties", read_duties, offsetof(Settings, duties), JSON_REQUIRED },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        Settings s = { .req = req };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &s, &root, e);
        if (r >= 0)
                r = find_settings(&s, RIGHT_WRITE(SETTINGS), e);
        if (r >= 0)
                r = commit_settings(&s, e);
        if (r >= 0)
                r = read_settings(&s, e);
        return r < 0 ? r : reply_settings(&s);
}
