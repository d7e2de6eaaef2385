/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of TSGs.  Making a root TSG makes its certificate authorities too. */

#include <stdio.h>
#include <string.h>

#include "service/api.h"
#include "service/ca/rows.h"
#include "service/clock.h"
#include "service/page.h"
#include "service/policy.h"
#include "service/tsg-change.h"

static void write_tsg(JsonOut *o, const Tsg *t) {
        char created[CLOCK_TEXT_MAX];

        json_begin_object(o, NULL);
        json_out_str(o, "id", t->id);
        json_out_str(o, "path", t->path);
        json_out_str(o, "name", t->name);
        json_out_str(o, "parent", t->parent[0] ? t->parent : NULL);
        json_out_str(o, "created", clock_text_seconds(t->created, created));
        json_out_u64(o, "revision", t->revision);
        json_end_object(o);
}

static int reply_tsg(Request *req, const Tsg *t) {
        JsonOut o = JSON_OUT(&req->reply);

        write_tsg(&o, t);
        req->etag = t->revision;
        return o.r;
}

static int find_tsg(Request *req, const char *id, Tsg *ret, Error *e) {
        int r;

        r = tsg_by_id(req->service->db, req->principal->tsg, id, ret, e);
        return r == -CSIGN_E_NOT_FOUND ? policy_unreachable(req->principal, r, "TSG", NULL, e) : r;
}

int api_tsg_get(Request *req, Error *e) {
        Tsg t;
        int r;

        r = find_tsg(req, req->params[0], &t, e);
        if (r >= 0)
                r = request_allow(req, RIGHT_VIEW(TSGS), t.id, e);
        return r < 0 ? r : reply_tsg(req, &t);
}

int api_tsg_resolve(Request *req, Error *e) {
        char path[PATH_MAX_LEN];
        Tsg t;
        int r;

        if (!form_get(&req->query, "path"))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'path' is missing");
        r = request_path(req, "path", path, e);
        if (r >= 0)
                r = request_tsg(req, RIGHT_VIEW(TSGS), path, &t, e);
        return r < 0 ? r : reply_tsg(req, &t);
}

static int list_tsg(const Tsg *t, void *userdata) {
        Page *page = userdata;

        if (!page_take(page, t->path))
                return 0;
        write_tsg(&page->o, t);
        return page->o.r;
}

int api_tsg_list(Request *req, Error *e) {
        const Root *root;
        Page page;
        int r;

        r = page_begin(&page, req, "tsgs", e);
        while (r >= 0 && (root = page_root(&page, RIGHT_VIEW(TSGS))))
                r = tsg_list(req->service->db, root, page.after, page.left + 1, list_tsg, &page, e);
        return r < 0 ? r : page_end(&page);
}

/* ---- making ---- */

typedef struct NewTsg {
        const char *path; /* as asked */
        Tsg tsg;
        bool root;
        Hierarchy authorities; /* of a root TSG */
} NewTsg;

static void new_tsg_done(NewTsg *n) {
        hierarchy_done(&n->authorities);
}

static int place_tsg(Request *req, NewTsg *n, Error *e) {
        Tsg *t = &n->tsg, parent;
        int r;

        r = request_place(req, RIGHT_WRITE(TSGS), n->path, t->path, t->name, &parent, e);
        if (r < 0)
                return r;

        n->root = !strchr(t->path, '/');
        snprintf(t->parent, sizeof(t->parent), "%s", parent.id);
        t->created = clock_now();
        t->revision = 1;
        return id_new(t->id, "tsg");
}

static int insert_tsg(DbConn *c, void *userdata, Error *e) {
        const NewTsg *n = userdata;
        int r;

        r = tsg_insert(c, &n->tsg, e);
        return r >= 0 && n->root ? hierarchy_insert(c, &n->authorities, e) : r;
}

static int make_authorities(Request *req, NewTsg *n, Error *e) {
        const Service *s = req->service;
        Tsg taken;

        /* Only to spare the key store: that the name is free is checked for good when the row is
         * written. */
        if (tsg_by_path(s->db, req->principal->tsg, n->tsg.path, &taken, NULL) == 0)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "there is a TSG '%s' already",
                                 n->tsg.path);
        return ca_create_hierarchy(s->keystore, n->tsg.id, n->tsg.name, s->config.public_url,
                                   &n->authorities, e);
}

static int commit_tsg(Request *req, NewTsg *n, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "tsg.create");
        int r;

        r = audit_entry_change(&rec, &event, "tsg", n->tsg.id, "path", n->tsg.path, "authority",
                               n->root ? n->authorities.issuing.id : NULL, NULL);
        return r < 0 ? r : request_commit(req, insert_tsg, n, &rec, e);
}

int api_tsg_create(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "path", json_field_string, offsetof(NewTsg, path), JSON_REQUIRED },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(new_tsg_done) NewTsg n = {};
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &n, &root, e);
        if (r >= 0)
                r = place_tsg(req, &n, e);
        if (r >= 0 && n.root)
                r = make_authorities(req, &n, e);
        if (r >= 0)
                r = reply_tsg(req, &n.tsg);
        if (r < 0)
                return r;
        req->status = 201;
        return commit_tsg(req, &n, e);
}

/* ---- changing ---- */

/* A TSG's name and place are its parent's: who has rights only in the TSG changes neither. */
static int find_to_change(Request *req, Tsg *ret, Error *e) {
        int r;

        r = find_tsg(req, req->params[0], ret, e);
        if (r < 0)
                return r;
        if (!ret->parent[0])
                return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "tree-top",
                                      "the top TSG has no name and no place, and is not deleted");
        return request_allow(req, RIGHT_WRITE(TSGS), ret->parent, e);
}

typedef struct TsgChange {
        const char *name, *parent; /* as asked */
        TsgMove move;
} TsgChange;

static int read_change(Request *req, TsgChange *change, json_t **root, Error *e) {
        static const JsonField fields[] = {
                { "name", json_field_string, offsetof(TsgChange, name) },
                { "parent", json_field_string, offsetof(TsgChange, parent) },
        };
        TsgMove *m = &change->move;
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), change, root, e);
        if (r >= 0 && !change->name && !change->parent)
                r = error_set(e, -CSIGN_E_BAD_REQUEST,
                              "there is nothing to change: give 'name' or 'parent', or both");
        if (r >= 0 && change->name)
                r = name_normalize(change->name, m->name, e);
        if (r >= 0)
                r = find_to_change(req, &m->before, e);
        if (r >= 0)
                r = find_tsg(req, change->parent ?: m->before.parent, &m->parent, e);
        if (r >= 0 && change->parent)
                r = request_allow(req, RIGHT_WRITE(TSGS), m->parent.id, e);
        if (r >= 0 && !change->name)
                snprintf(m->name, sizeof(m->name), "%s", m->before.name);
        m->if_match = req->if_match;
        return r;
}

static int move_tsg(DbConn *c, void *userdata, Error *e) {
        TsgChange *change = userdata;

        return tsg_move(c, &change->move, e);
}

static int commit_change(Request *req, TsgChange *change, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "tsg.change");
        const TsgMove *m = &change->move;
        int r;

        r = audit_entry_change(&rec, &event, "tsg", m->before.id, "path_before", m->before.path,
                               "name", change->name ? m->name : NULL, "name_before",
                               change->name ? m->before.name : NULL, "parent",
                               change->parent ? m->parent.id : NULL, "parent_before",
                               change->parent ? m->before.parent : NULL, NULL);
        return r < 0 ? r : request_commit(req, move_tsg, change, &rec, e);
}

int api_tsg_change(Request *req, Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        TsgChange change = {};
        Tsg after;
        int r;

        r = read_change(req, &change, &root, e);
        if (r >= 0)
                r = commit_change(req, &change, e);
        if (r >= 0)
                r = find_tsg(req, req->params[0], &after, e);
        return r < 0 ? r : reply_tsg(req, &after);
}

/* ---- deleting ---- */

typedef struct TsgDeletion {
        Tsg tsg;
        uint64_t if_match;
} TsgDeletion;

static int delete_tsg(DbConn *c, void *userdata, Error *e) {
        const TsgDeletion *d = userdata;

        return tsg_delete(c, &d->tsg, d->if_match, e);
}

int api_tsg_delete(Request *req, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "tsg.delete");
        TsgDeletion d = { .if_match = req->if_match };
        int r;

        r = find_to_change(req, &d.tsg, e);
        if (r >= 0)
                r = audit_entry_change(&rec, &event, "deleted", d.tsg.id, "path", d.tsg.path, "tsg",
                                       d.tsg.parent, NULL);
        if (r >= 0)
                r = request_commit(req, delete_tsg, &d, &rec, e);
        req->status = 204;
        return r;
}
