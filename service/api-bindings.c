/* SPDX-License-Identifier: Apache-2.0 */
/* Who has which role where: seeing, granting and revoking.  Nobody gives, or takes, what he does
 * not hold himself. */

#include <stdio.h>
#include <string.h>

#include "service/api.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/page.h"
#include "service/policy.h"
#include "service/revision.h"
#include "service/roles.h"

/* ---- showing ---- */

static void write_binding(JsonOut *o, const RoleBinding *b) {
        char created[CLOCK_TEXT_MAX];

        json_begin_object(o, NULL);
        json_out_str(o, "id", b->id);
        json_out_str(o, "role", b->role);
        json_out_str(o, "principal", b->principal);
        json_begin_object(o, "tsg");
        json_out_str(o, "id", b->tsg);
        json_out_str(o, "path", b->path);
        json_end_object(o);
        json_out_str(o, "created", clock_text_seconds(b->created, created));
        json_out_u64(o, "revision", b->revision);
        json_end_object(o);
}

static int reply_binding(Request *req, const RoleBinding *b) {
        JsonOut o = JSON_OUT(&req->reply);

        write_binding(&o, b);
        req->etag = b->revision;
        return o.r;
}

static int find_binding(Request *req, Right right, RoleBinding *ret, Error *e) {
        Db *db = req->service->db;
        DbConn *c;
        int r;

        r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        r = role_binding_by_id(c, req->params[0], ret, e);
        db_release(db, c);
        if (r >= 0)
                r = request_allow(req, right, ret->tsg, e);
        if (r < 0 && strcmp(e->rule, "scope") == 0)
                return policy_unreachable(req->principal, -CSIGN_E_NOT_FOUND, "binding", NULL, e);
        return r;
}

int api_binding_get(Request *req, Error *e) {
        RoleBinding b;
        int r;

        r = find_binding(req, RIGHT_VIEW(PEOPLE), &b, e);
        return r < 0 ? r : reply_binding(req, &b);
}

/* The cursor is the TSG's path and the id. */
static int list_binding(const RoleBinding *b, void *userdata) {
        char place[PATH_MAX_LEN];
        Page *page = userdata;

        snprintf(place, sizeof(place), "%.*s%s%s", PATH_MAX_LEN - ID_MAX - 1, b->path,
                 b->path[0] ? "/" : "", b->id);
        if (!page_take(page, place))
                return 0;
        write_binding(&page->o, b);
        return page->o.r;
}

typedef struct OwnListing {
        Request *req;
        Page *page;
        DbConn *c;
        Error *e;
} OwnListing;

/* A principal has few: they are one page, of those that the caller may see. */
static int list_own(const RoleBinding *b, void *userdata) {
        OwnListing *l = userdata;
        TsgChain chain;
        int r;

        r = tsg_chain(l->c, b->tsg, &chain, l->e);
        if (r >= 0)
                r = policy_check_on(l->req->principal, RIGHT_VIEW(PEOPLE), &chain, NULL);
        if (r == -CSIGN_E_NOT_PERMITTED)
                return 0;
        if (r < 0)
                return r;
        write_binding(&l->page->o, b);
        return l->page->o.r;
}

static int list_of_principal(Request *req, Page *page, const char *principal, Error *e) {
        OwnListing l = { .req = req, .page = page, .e = e };
        int r;

        r = db_acquire(req->service->db, &l.c, e);
        if (r < 0)
                return r;
        r = role_binding_list_of(l.c, principal, list_own, &l, e);
        db_release(req->service->db, l.c);
        return r;
}

int api_binding_list(Request *req, Error *e) {
        const char *principal = form_get(&req->query, "principal");
        const Root *root;
        Page page;
        int r;

        r = page_begin(&page, req, "bindings", e);
        if (r >= 0 && principal)
                r = list_of_principal(req, &page, principal, e);
        else
                while (r >= 0 && (root = page_root(&page, RIGHT_VIEW(PEOPLE))))
                        r = role_binding_list(req->service->db, root, page.after, page.left + 1,
                                              list_binding, &page, e);
        return r < 0 ? r : page_end(&page);
}

/* ---- granting and revoking ---- */

typedef struct Grant {
        const char *role, *principal, *tsg; /* as asked */
        Request *req;
        RoleBinding binding;
} Grant;

/* In the transaction: what the role gives by then is what must be held. */
static int check_holds(const Grant *g, DbConn *c, Error *e) {
        TsgChain chain;
        Role role;
        int r;

        r = role_by_id(c, g->binding.role, &role, e);
        if (r >= 0)
                r = tsg_chain(c, g->binding.tsg, &chain, e);
        if (r < 0)
                return r;
        if (role.tsg[0] && !tsg_chain_has(&chain, role.tsg))
                return policy_unreachable(g->req->principal, -CSIGN_E_NOT_FOUND, "role", NULL, e);
        return policy_check_grant(g->req->principal, &role.rights, &chain, e);
}

static int check_principal(const Grant *g, DbConn *c, Error *e) {
        _cleanup_(principal_unrefp) Principal *to = NULL;
        TsgChain chain;
        int r;

        r = principal_by_id(c, g->binding.principal, &to, e);
        if (r >= 0)
                r = policy_check_principal(g->req->principal, to, e);
        if (r >= 0)
                r = tsg_chain(c, g->binding.tsg, &chain, e);
        if (r < 0 || tsg_chain_has(&chain, to->home))
                return r;
        return error_set(e, -CSIGN_E_BAD_REQUEST,
                         "%s '%s' can have roles only in its own TSG '%s' and below",
                         principal_type_name(to), to->name, to->tsg_path);
}

static int insert_binding(DbConn *c, void *userdata, Error *e) {
        const Grant *g = userdata;
        int r;

        r = check_principal(g, c, e);
        if (r >= 0)
                r = check_holds(g, c, e);
        return r < 0 ? r : role_binding_insert(c, &g->binding, e);
}

static int delete_binding(DbConn *c, void *userdata, Error *e) {
        const Grant *g = userdata;
        int r;

        r = revision_bump(c, SQL_BINDING_TOUCH, "binding", g->binding.id, g->req->if_match, e);
        if (r >= 0)
                r = check_holds(g, c, e);
        return r < 0 ? r : role_binding_delete(c, g->binding.id, e);
}

static int commit_binding(Grant *g, const char *kind,
                          int (*change)(DbConn *c, void *userdata, Error *e), Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(g->req, kind);
        const RoleBinding *b = &g->binding;
        int r;

        r = audit_entry_change(&rec, &event, "binding", b->id, "role", b->role, "principal",
                               b->principal, "tsg", b->tsg, "tsg_path", b->path, NULL);
        return r < 0 ? r : request_commit(g->req, change, g, &rec, e);
}

static int place_binding(Grant *g, Error *e) {
        RoleBinding *b = &g->binding;
        Tsg tsg;
        int r;

        r = g->tsg[0] ? path_normalize(g->tsg, b->path, e) : 0;
        if (r >= 0)
                r = request_tsg(g->req, RIGHT_WRITE(PEOPLE), b->path, &tsg, e);
        if (r >= 0 && !role_builtin(g->role) && !id_is_valid(g->role, "role"))
                r = error_set(e, -CSIGN_E_BAD_REQUEST,
                              "'role' is a built-in role's name or a role's id");
        if (r < 0)
                return r;

        memcpy(b->tsg, tsg.id, sizeof(b->tsg));
        snprintf(b->role, sizeof(b->role), "%s", g->role);
        snprintf(b->principal, sizeof(b->principal), "%.39s", g->principal);
        b->created = clock_now();
        b->revision = 1;
        return id_new(b->id, "bind");
}

int api_binding_create(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "role", json_field_string, offsetof(Grant, role), JSON_REQUIRED },
                { "principal", json_field_string, offsetof(Grant, principal), JSON_REQUIRED },
                { "tsg", json_field_string, offsetof(Grant, tsg), JSON_REQUIRED },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        Grant g = { .req = req };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &g, &root, e);
        if (r >= 0)
                r = place_binding(&g, e);
        if (r >= 0)
                r = reply_binding(req, &g.binding);
        if (r < 0)
                return r;
        req->status = 201;
        return commit_binding(&g, "role.grant", insert_binding, e);
}

int api_binding_delete(Request *req, Error *e) {
        Grant g = { .req = req };
        int r;

        r = find_binding(req, RIGHT_WRITE(PEOPLE), &g.binding, e);
        if (r < 0)
                return r;
        req->status = 204;
        return commit_binding(&g, "role.revoke", delete_binding, e);
}
