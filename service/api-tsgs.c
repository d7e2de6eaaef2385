/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of TSGs.  Making a root TSG makes its certificate authorities too. */

#include <stdio.h>
#include <string.h>

#include "service/api.h"
#include "service/ca/rows.h"
#include "service/clock.h"
#include "service/page.h"
#include "service/policy.h"

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

int api_tsg_get(Request *req, Error *e) {
        Tsg t;
        int r;

        r = tsg_by_id(req->service->db, req->principal->tsg, req->params[0], &t, e);
        if (r == -CSIGN_E_NOT_FOUND)
                return policy_unreachable(req->principal, r, "TSG", NULL, e);
        if (r >= 0)
                r = request_allow(req, RIGHT_VIEW(TSGS), t.id, e);
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
        char parent_path[PATH_MAX_LEN] = "";
        const Principal *p = req->principal;
        Tsg *t = &n->tsg, parent;
        int r;

        r = path_normalize(n->path, t->path, e);
        if (r < 0)
                return r;
        n->root = !strchr(t->path, '/');
        if (n->root)
                snprintf(t->name, sizeof(t->name), "%.63s", t->path);
        else
                r = path_split(t->path, parent_path, t->name, e);
        if (r >= 0)
                r = tsg_by_path(req->service->db, p->tsg, parent_path, &parent, e);
        if (r == -CSIGN_E_NOT_FOUND)
                return policy_unreachable(p, r, "TSG", parent_path, e);
        if (r >= 0)
                r = request_allow(req, RIGHT_WRITE(TSGS), parent.id, e);
        if (r < 0)
                return r;

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
