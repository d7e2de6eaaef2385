/* SPDX-License-Identifier: Apache-2.0 */
/* Users.  Who disables or deletes one takes what his roles give, and so must hold it. */

#include <stdio.h>
#include <string.h>

#include "service/api-users.h"
#include "service/api.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/page.h"
#include "service/policy.h"
#include "service/revision.h"

/* ---- showing ---- */

static const char *state_name(bool enabled) {
        return enabled ? "enabled" : "disabled";
}

static void write_user(JsonOut *o, const User *u) {
        char created[CLOCK_TEXT_MAX];

        json_begin_object(o, NULL);
        json_out_str(o, "id", u->id);
        json_out_str(o, "path", u->path);
        json_out_str(o, "tsg", u->tsg);
        json_out_str(o, "name", u->name);
        json_out_str(o, "state", state_name(u->enabled));
        json_out_str(o, "created", clock_text_seconds(u->created, created));
        json_out_u64(o, "revision", u->revision);
        json_end_object(o);
}

static int reply_user(Request *req, const User *u) {
        JsonOut o = JSON_OUT(&req->reply);

        write_user(&o, u);
        req->etag = u->revision;
        return o.r;
}

int user_find(Request *req, Right right, User *ret, Error *e) {
        const Principal *p = req->principal;
        Db *db = req->service->db;
        DbConn *c;
        int r;

        r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        r = user_by_id(c, req->params[0], ret, e);
        db_release(db, c);
        if (r >= 0 && !(right == RIGHT_SELF && strcmp(ret->id, p->id) == 0))
                r = request_allow(req, right == RIGHT_SELF ? RIGHT_VIEW(PEOPLE) : right, ret->tsg,
                                  e);
        if (r < 0 && strcmp(e->rule, "scope") == 0)
                return policy_unreachable(p, -CSIGN_E_NOT_FOUND, "user", NULL, e);
        return r;
}

int api_user_get(Request *req, Error *e) {
        User u;
        int r;

        r = user_find(req, RIGHT_SELF, &u, e);
        return r < 0 ? r : reply_user(req, &u);
}

static int list_user(const User *u, void *userdata) {
        Page *page = userdata;

        if (!page_take(page, u->path))
                return 0;
        write_user(&page->o, u);
        return page->o.r;
}

int api_user_list(Request *req, Error *e) {
        const Root *root;
        Page page;
        int r;

        r = page_begin(&page, req, "users", e);
        while (r >= 0 && (root = page_root(&page, RIGHT_VIEW(PEOPLE))))
                r = user_list(req->service->db, root, page.after, page.left + 1, list_user, &page,
                              e);
        return r < 0 ? r : page_end(&page);
}

/* ---- making, changing, deleting ---- */

typedef struct UserChange {
        const char *path, *state; /* as asked */
        Request *req;
        User user;
        bool enabled; /* then */
} UserChange;

static int commit_user(UserChange *ch, const char *kind, const char *before, const char *after,
                       int (*change)(DbConn *c, void *userdata, Error *e), Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(ch->req, kind);
        const User *u = &ch->user;
        int r;

        r = audit_entry_change(&rec, &event, "user", u->id, "path", u->path, "tsg", u->tsg, "state",
                               after, "state_before", before, NULL);
        return r < 0 ? r : request_commit(ch->req, change, ch, &rec, e);
}

static int insert_user(DbConn *c, void *userdata, Error *e) {
        const UserChange *ch = userdata;

        return user_insert(c, &ch->user, e);
}

static int place_user(UserChange *ch, Error *e) {
        User *u = &ch->user;
        Tsg tsg;
        int r;

        r = request_place(ch->req, RIGHT_WRITE(PEOPLE), ch->path, u->path, u->name, &tsg, e);
        if (r < 0)
                return r;
        memcpy(u->tsg, tsg.id, sizeof(u->tsg));
        u->enabled = true;
        u->created = clock_now();
        u->revision = 1;
        return id_new(u->id, "usr");
}

int api_user_create(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "path", json_field_string, offsetof(UserChange, path), JSON_REQUIRED },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        UserChange ch = { .req = req };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &ch, &root, e);
        if (r >= 0)
                r = place_user(&ch, e);
        if (r >= 0)
                r = reply_user(req, &ch.user);
        if (r < 0)
                return r;
        req->status = 201;
        return commit_user(&ch, "user.create", NULL, "enabled", insert_user, e);
}

/* What every change of a user begins with, in its transaction. */
static int begin_change(const UserChange *ch, DbConn *c, Error *e) {
        int r;

        r = revision_bump(c, SQL_USER_TOUCH, "user", ch->user.id, ch->req->if_match, e);
        return r < 0 ? r : user_check_over(ch->req->principal, c, ch->user.id, e);
}

int user_check_over(const Principal *p, DbConn *c, const char *id, Error *e) {
        _cleanup_(principal_unrefp) Principal *user = NULL;
        int r;

        r = principal_by_id(c, id, &user, e);
        return r < 0 ? r : policy_check_over(p, user, e);
}

static int update_user(DbConn *c, void *userdata, Error *e) {
        const UserChange *ch = userdata;
        int r;

        r = begin_change(ch, c, e);
        return r < 0 ? r : user_set_enabled(c, ch->user.id, ch->enabled, e);
}

int api_user_change(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "state", json_field_string, offsetof(UserChange, state), JSON_REQUIRED },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        UserChange ch = { .req = req };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &ch, &root, e);
        if (r >= 0 && strcmp(ch.state, "enabled") != 0 && strcmp(ch.state, "disabled") != 0)
                r = error_set(e, -CSIGN_E_BAD_REQUEST, "'state' is enabled or disabled");
        if (r >= 0)
                r = user_find(req, RIGHT_WRITE(PEOPLE), &ch.user, e);
        if (r < 0)
                return r;
        ch.enabled = strcmp(ch.state, "enabled") == 0;
        r = commit_user(&ch, "user.change", state_name(ch.user.enabled), ch.state, update_user, e);
        if (r >= 0)
                r = user_find(req, RIGHT_WRITE(PEOPLE), &ch.user, e);
        return r < 0 ? r : reply_user(req, &ch.user);
}

static int delete_user(DbConn *c, void *userdata, Error *e) {
        const UserChange *ch = userdata;
        int r;

        r = begin_change(ch, c, e);
        return r < 0 ? r : user_delete(c, ch->user.id, e);
}

int api_user_delete(Request *req, Error *e) {
        UserChange ch = { .req = req };
        int r;

        r = user_find(req, RIGHT_WRITE(PEOPLE), &ch.user, e);
        if (r < 0)
                return r;
        req->status = 204;
        return commit_user(&ch, "user.delete", state_name(ch.user.enabled), NULL, delete_user, e);
}
