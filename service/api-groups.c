/* SPDX-License-Identifier: Apache-2.0 */
/* Teams and their members; projects and their signers.  Who puts somebody into a team gives him
 * what the team's roles give, and so must hold it; and who takes him out, likewise. */

#include <stdio.h>
#include <string.h>

#include "service/api.h"
#include "service/clock.h"
#include "service/groups.h"
#include "service/page.h"
#include "service/policy.h"
#include "service/revision.h"
#include "service/route.h"

/* The routes of both are alike but for their first word. */
static const GroupKind *kind_of(const Request *req) {
        return strncmp(req->route->pattern, "/v1/teams", 9) == 0 ? &group_team : &group_project;
}

/* ---- showing ---- */

static void write_group(JsonOut *o, const Group *g) {
        char created[CLOCK_TEXT_MAX];

        json_begin_object(o, NULL);
        json_out_str(o, "id", g->id);
        json_out_str(o, "path", g->path);
        json_out_str(o, "tsg", g->tsg);
        json_out_str(o, "name", g->name);
        json_out_str(o, "description", g->description);
        json_out_str(o, "created", clock_text_seconds(g->created, created));
        json_out_u64(o, "revision", g->revision);
        json_end_object(o);
}

static int reply_group(Request *req, const Group *g) {
        JsonOut o = JSON_OUT(&req->reply);

        write_group(&o, g);
        req->etag = g->revision;
        return o.r;
}

/* One group, and its words for as long as this lives. */
typedef struct Found {
        Group group;
        Buf description;
} Found;

static void found_done(Found *f) {
        buf_done(&f->description);
}

static int take_group(const Group *g, void *userdata) {
        Found *f = userdata;
        int r;

        f->group = *g;
        buf_clear(&f->description);
        r = buf_append_str(&f->description, g->description);
        f->group.description = buf_str(&f->description);
        return r;
}

static int find_group(Request *req, Right right, Found *ret, Error *e) {
        const GroupKind *kind = kind_of(req);
        Db *db = req->service->db;
        DbConn *c;
        int r;

        r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        r = group_by_id(c, kind, req->params[0], take_group, ret, e);
        db_release(db, c);
        if (r >= 0)
                r = request_allow(req, right, ret->group.tsg, e);
        if (r < 0 && strcmp(e->rule, "scope") == 0)
                return policy_unreachable(req->principal, -CSIGN_E_NOT_FOUND, kind->name, NULL, e);
        return r;
}

int api_group_get(Request *req, Error *e) {
        _cleanup_(found_done) Found f = {};
        int r;

        r = find_group(req, kind_of(req)->view, &f, e);
        return r < 0 ? r : reply_group(req, &f.group);
}

static int list_group(const Group *g, void *userdata) {
        Page *page = userdata;

        if (!page_take(page, g->path))
                return 0;
        write_group(&page->o, g);
        return page->o.r;
}

int api_group_list(Request *req, Error *e) {
        const GroupKind *kind = kind_of(req);
        const Root *root;
        Page page;
        int r;

        r = page_begin(&page, req, kind->plural, e);
        while (r >= 0 && (root = page_root(&page, kind->view)))
                r = group_list(req->service->db, kind, root, page.after, page.left + 1, list_group,
                               &page, e);
        return r < 0 ? r : page_end(&page);
}

static void write_member(JsonOut *o, const char *id, const char *path) {
        json_begin_object(o, NULL);
        json_out_str(o, "id", id);
        json_out_str(o, "path", path);
        json_end_object(o);
}

static int list_member(const char *id, const char *path, void *userdata) {
        Page *page = userdata;

        if (!page_take(page, id))
                return 0;
        write_member(&page->o, id, path);
        return page->o.r;
}

int api_group_members(Request *req, Error *e) {
        const GroupKind *kind = kind_of(req);
        _cleanup_(found_done) Found f = {};
        Page page;
        int r;

        r = find_group(req, kind->view, &f, e);
        if (r >= 0)
                r = page_begin(&page, req, kind->members, e);
        if (r >= 0)
                r = group_members(req->service->db, kind, f.group.id, page.after, page.left + 1,
                                  list_member, &page, e);
        return r < 0 ? r : page_end(&page);
}

/* ---- making, changing, deleting ---- */

typedef struct GroupChange {
        const char *path, *description, *principal; /* as asked */
        Request *req;
        const GroupKind *kind;
        Found found;
        char member[ID_MAX];
} GroupChange;

static void group_change_done(GroupChange *ch) {
        found_done(&ch->found);
}

static int commit_group(GroupChange *ch, const char *verb, const char *before, const char *after,
                        int (*change)(DbConn *c, void *userdata, Error *e), Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        const Group *g = &ch->found.group;
        char kind[32] = "";
        ChangeEvent event = request_event(ch->req, kind);
        int r;

        snprintf(kind, sizeof(kind), "%s.%s", ch->kind->name, verb);
        r = audit_entry_change(&rec, &event, ch->kind->name, g->id, "path", g->path, "tsg", g->tsg,
                               "description", after, "description_before", before, ch->kind->member,
                               ch->member[0] ? ch->member : NULL, NULL);
        return r < 0 ? r : request_commit(ch->req, change, ch, &rec, e);
}

static int check_description(const char *text, Error *e) {
        if (text && strlen(text) > GROUP_DESCRIPTION_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'description' is longer than %d bytes",
                                 GROUP_DESCRIPTION_MAX);
        return 0;
}

static int place_group(GroupChange *ch, Error *e) {
        Group *g = &ch->found.group;
        Tsg tsg;
        int r;

        r = check_description(ch->description, e);
        if (r >= 0)
                r = request_place(ch->req, ch->kind->write, ch->path, g->path, g->name, &tsg, e);
        if (r < 0)
                return r;
        memcpy(g->tsg, tsg.id, sizeof(g->tsg));
        g->description = ch->description ?: "";
        g->created = clock_now();
        g->revision = 1;
        return id_new(g->id, ch->kind->prefix);
}

static int insert_group(DbConn *c, void *userdata, Error *e) {
        const GroupChange *ch = userdata;

        return group_insert(c, ch->kind, &ch->found.group, e);
}

int api_group_create(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "path", json_field_string, offsetof(GroupChange, path), JSON_REQUIRED },
                { "description", json_field_string, offsetof(GroupChange, description) },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(group_change_done) GroupChange ch = { .req = req, .kind = kind_of(req) };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &ch, &root, e);
        if (r >= 0)
                r = place_group(&ch, e);
        if (r >= 0)
                r = reply_group(req, &ch.found.group);
        if (r < 0)
                return r;
        req->status = 201;
        return commit_group(&ch, "create", NULL, ch.description, insert_group, e);
}

static int touch(const GroupChange *ch, DbConn *c, Error *e) {
        return revision_bump(c, ch->kind->touch, ch->kind->name, ch->found.group.id,
                             ch->req->if_match, e);
}

static int update_group(DbConn *c, void *userdata, Error *e) {
        const GroupChange *ch = userdata;
        int r;

        r = touch(ch, c, e);
        return r < 0 ? r : group_describe(c, ch->kind, ch->found.group.id, ch->description, e);
}

int api_group_change(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "description", json_field_string, offsetof(GroupChange, description),
                  JSON_REQUIRED },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(group_change_done) GroupChange ch = { .req = req, .kind = kind_of(req) };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &ch, &root, e);
        if (r >= 0)
                r = check_description(ch.description, e);
        if (r >= 0)
                r = find_group(req, ch.kind->write, &ch.found, e);
        if (r >= 0)
                r = commit_group(&ch, "change", ch.found.group.description, ch.description,
                                 update_group, e);
        if (r >= 0)
                r = find_group(req, ch.kind->write, &ch.found, e);
        return r < 0 ? r : reply_group(req, &ch.found.group);
}

static int delete_group(DbConn *c, void *userdata, Error *e) {
        const GroupChange *ch = userdata;
        int r;

        r = touch(ch, c, e);
        return r < 0 ? r : group_delete(c, ch->kind, ch->found.group.id, e);
}

int api_group_delete(Request *req, Error *e) {
        _cleanup_(group_change_done) GroupChange ch = { .req = req, .kind = kind_of(req) };
        int r;

        r = find_group(req, ch.kind->write, &ch.found, e);
        if (r < 0)
                return r;
        req->status = 204;
        return commit_group(&ch, "delete", NULL, NULL, delete_group, e);
}

/* ---- members ---- */

/* In the transaction: what the team's roles give by then. */
static int check_team(const GroupChange *ch, DbConn *c, Error *e) {
        _cleanup_(principal_unrefp) Principal *team = NULL;
        int r;

        if (ch->kind != &group_team)
                return 0;
        r = principal_by_id(c, ch->found.group.id, &team, e);
        return r < 0 ? r : policy_check_over(ch->req->principal, team, e);
}

static int check_member(const GroupChange *ch, DbConn *c, Error *e) {
        _cleanup_(principal_unrefp) Principal *member = NULL;
        int r;

        r = principal_by_id(c, ch->member, &member, e);
        if (r >= 0)
                r = policy_check_principal(ch->req->principal, member, e);
        if (r >= 0 && member->type == PRINCIPAL_TEAM && !ch->kind->of_teams)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "a team has no teams as members");
        return r;
}

static int insert_member(DbConn *c, void *userdata, Error *e) {
        const GroupChange *ch = userdata;
        int r;

        r = touch(ch, c, e);
        if (r >= 0)
                r = check_member(ch, c, e);
        if (r >= 0)
                r = check_team(ch, c, e);
        return r < 0 ? r : group_member_insert(c, ch->kind, ch->found.group.id, ch->member, e);
}

int api_group_member_add(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "principal", json_field_string, offsetof(GroupChange, principal), JSON_REQUIRED },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(group_change_done) GroupChange ch = { .req = req, .kind = kind_of(req) };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &ch, &root, e);
        if (r >= 0)
                r = find_group(req, ch.kind->write, &ch.found, e);
        if (r < 0)
                return r;
        snprintf(ch.member, sizeof(ch.member), "%.39s", ch.principal);
        r = request_reply_id(req, ch.member);
        return r < 0 ? r : commit_group(&ch, "add", NULL, NULL, insert_member, e);
}

static int delete_member(DbConn *c, void *userdata, Error *e) {
        const GroupChange *ch = userdata;
        int r;

        r = touch(ch, c, e);
        if (r >= 0)
                r = check_team(ch, c, e);
        return r < 0 ? r : group_member_delete(c, ch->kind, ch->found.group.id, ch->member, e);
}

int api_group_member_remove(Request *req, Error *e) {
        _cleanup_(group_change_done) GroupChange ch = { .req = req, .kind = kind_of(req) };
        int r;

        r = find_group(req, ch.kind->write, &ch.found, e);
        if (r < 0)
                return r;
        snprintf(ch.member, sizeof(ch.member), "%.39s", req->params[1]);
        req->status = 204;
        return commit_group(&ch, "remove", NULL, NULL, delete_member, e);
}
