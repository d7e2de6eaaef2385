/* SPDX-License-Identifier: Apache-2.0 */
/* Roles: the built-in ones, and those that a TSG makes for itself and all below. */

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

static void write_rights(JsonOut *o, const Rights *rights) {
        json_begin_object(o, "pages");
        for (AdminPage i = 0; i < PAGES_MAX_; i++)
                json_out_str(o, page_name(i), access_name(rights->on[i]));
        json_end_object(o);
}

static void write_role(JsonOut *o, const Role *role) {
        char created[CLOCK_TEXT_MAX];

        json_begin_object(o, NULL);
        json_out_str(o, "id", role->id);
        json_out_str(o, "path", role->path);
        json_out_str(o, "tsg", role->tsg[0] ? role->tsg : NULL);
        json_out_str(o, "name", role->name);
        json_out_bool(o, "builtin", role->tsg[0] == '\0');
        write_rights(o, &role->rights);
        if (role->tsg[0]) {
                json_out_str(o, "created", clock_text_seconds(role->created, created));
                json_out_u64(o, "revision", role->revision);
        }
        json_end_object(o);
}

static int reply_role(Request *req, const Role *role) {
        JsonOut o = JSON_OUT(&req->reply);

        write_role(&o, role);
        req->etag = role->revision;
        return o.r;
}

static int read_role(Request *req, Role *ret, Error *e) {
        Db *db = req->service->db;
        DbConn *c;
        int r;

        r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        r = role_by_id(c, req->params[0], ret, e);
        db_release(db, c);
        return r;
}

/* Who could give it sees it, and that may be below where it is defined. */
static bool can_use(const Principal *p, const Role *role) {
        return role->tsg[0] == '\0' || tsg_chain_has(&p->above, role->tsg);
}

static int find_role(Request *req, Right right, Role *ret, Error *e) {
        const Principal *p = req->principal;
        Role role;
        int r;

        r = read_role(req, &role, e);
        if (r == -CSIGN_E_NOT_FOUND)
                return policy_unreachable(p, r, "role", NULL, e);
        if (r < 0)
                return r;
        if (right == RIGHT_WRITE(PEOPLE) && role.tsg[0] == '\0')
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'%s' is a built-in role, which stays as it is", role.name);
        if (right == RIGHT_WRITE(PEOPLE) || !can_use(p, &role))
                r = request_allow(req, right, role.tsg, e);
        if (r < 0 && strcmp(e->rule, "scope") == 0)
                return policy_unreachable(p, -CSIGN_E_NOT_FOUND, "role", NULL, e);
        if (r < 0)
                return r;
        *ret = role;
        return 0;
}

int api_role_get(Request *req, Error *e) {
        Role role;
        int r;

        r = find_role(req, RIGHT_VIEW(PEOPLE), &role, e);
        return r < 0 ? r : reply_role(req, &role);
}

static int list_role(const Role *role, void *userdata) {
        Page *page = userdata;

        if (!page_take(page, role->path))
                return 0;
        write_role(&page->o, role);
        return page->o.r;
}

/* The first page begins with the built-in ones. */
static int list_builtin(Request *req, Page *page, Error *e) {
        int r = 0;

        for (size_t i = 0; r >= 0 && role_builtin_at(i); i++) {
                Role role;

                r = role_by_id(NULL, role_builtin_at(i)->name, &role, e);
                if (r >= 0)
                        write_role(&page->o, &role);
        }
        return r;
}

int api_role_list(Request *req, Error *e) {
        const Root *root;
        Page page;
        int r;

        r = page_begin(&page, req, "roles", e);
        if (r >= 0 && page.after[0] == '\0')
                r = list_builtin(req, &page, e);
        while (r >= 0 && (root = page_root(&page, RIGHT_VIEW(PEOPLE))))
                r = role_list(req->service->db, root, page.after, page.left + 1, list_role, &page,
                              e);
        return r < 0 ? r : page_end(&page);
}

/* ---- making and changing ---- */

typedef struct RoleBody {
        const char *path;
        const json_t *pages;
        Request *req;
        Role role;
} RoleBody;

static int read_pages(const json_t *pages, Rights *ret, Error *e) {
        const char *name;
        const json_t *v;

        json_object_foreach((json_t *) pages, name, v) {
                int page = page_by_name(name);
                int access = json_is_string(v) ? access_by_name(json_string_value(v)) : -1;

                if (page < 0)
                        return error_set(e, -CSIGN_E_BAD_REQUEST, "there is no page '%.32s'", name);
                if (access < 0)
                        return error_set(e, -CSIGN_E_BAD_REQUEST,
                                         "page '%s' is \"none\", \"view\" or \"write\"", name);
                ret->on[page] = (uint8_t) access;
        }
        return 0;
}

/* Who makes a role gives it to all who have it: so nobody puts into one what he does not hold. */
static int check_holds(const RoleBody *b, DbConn *c, Error *e) {
        TsgChain chain;
        int r;

        r = tsg_chain(c, b->role.tsg, &chain, e);
        return r < 0 ? r : policy_check_grant(b->req->principal, &b->role.rights, &chain, e);
}

static int place_role(RoleBody *b, Error *e) {
        Role *role = &b->role;
        Tsg tsg;
        int r;

        r = request_place(b->req, RIGHT_WRITE(PEOPLE), b->path, role->path, role->name, &tsg, e);
        if (r < 0)
                return r;
        if (role_builtin(role->name))
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "'%s' is a built-in role's name",
                                 role->name);
        memcpy(role->tsg, tsg.id, sizeof(role->tsg));
        role->created = clock_now();
        role->revision = 1;
        return id_new(role->id, "role");
}

static int insert_role(DbConn *c, void *userdata, Error *e) {
        const RoleBody *b = userdata;
        int r;

        r = check_holds(b, c, e);
        return r < 0 ? r : role_insert(c, &b->role, e);
}

static int commit_role(RoleBody *b, const char *kind, const Role *before,
                       int (*change)(DbConn *c, void *userdata, Error *e), Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(b->req, kind);
        char pages[RIGHTS_TEXT_MAX], pages_before[RIGHTS_TEXT_MAX];
        const Role *role = &b->role;
        int r;

        r = audit_entry_change(&rec, &event, "role", role->id, "path", role->path, "tsg", role->tsg,
                               "pages", rights_text(&role->rights, pages), "pages_before",
                               before ? rights_text(&before->rights, pages_before) : NULL, NULL);
        return r < 0 ? r : request_commit(b->req, change, b, &rec, e);
}

int api_role_create(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "path", json_field_string, offsetof(RoleBody, path), JSON_REQUIRED },
                { "pages", json_field_object, offsetof(RoleBody, pages), JSON_REQUIRED },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        RoleBody b = { .req = req };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &b, &root, e);
        if (r >= 0)
                r = read_pages(b.pages, &b.role.rights, e);
        if (r >= 0)
                r = place_role(&b, e);
        if (r >= 0)
                r = reply_role(req, &b.role);
        if (r < 0)
                return r;
        req->status = 201;
        return commit_role(&b, "role.create", NULL, insert_role, e);
}

static int update_role(DbConn *c, void *userdata, Error *e) {
        const RoleBody *b = userdata;
        int r;

        r = revision_bump(c, SQL_ROLE_TOUCH, "role", b->role.id, b->req->if_match, e);
        if (r >= 0)
                r = check_holds(b, c, e);
        return r < 0 ? r : role_update(c, &b->role, e);
}

int api_role_change(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "pages", json_field_object, offsetof(RoleBody, pages), JSON_REQUIRED },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        RoleBody b = { .req = req };
        Role before;
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &b, &root, e);
        if (r >= 0)
                r = find_role(req, RIGHT_WRITE(PEOPLE), &before, e);
        if (r < 0)
                return r;
        b.role = before;
        b.role.rights = (Rights){};
        r = read_pages(b.pages, &b.role.rights, e);
        if (r >= 0)
                r = commit_role(&b, "role.change", &before, update_role, e);
        if (r >= 0)
                r = find_role(req, RIGHT_WRITE(PEOPLE), &b.role, e);
        return r < 0 ? r : reply_role(req, &b.role);
}

static int delete_role(DbConn *c, void *userdata, Error *e) {
        const RoleBody *b = userdata;
        int r;

        r = revision_bump(c, SQL_ROLE_TOUCH, "role", b->role.id, b->req->if_match, e);
        return r < 0 ? r : role_delete(c, b->role.id, e);
}

int api_role_delete(Request *req, Error *e) {
        RoleBody b = { .req = req };
        int r;

        r = find_role(req, RIGHT_WRITE(PEOPLE), &b.role, e);
        if (r < 0)
                return r;
        req->status = 204;
        return commit_role(&b, "role.delete", NULL, delete_role, e);
}
