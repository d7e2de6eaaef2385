/* SPDX-License-Identifier: Apache-2.0 */
/* Who can use or administer a key, and what somebody can: answered by the functions that decide
 * (policy.h), for what the caller may see of it. */

#include <stdio.h>
#include <string.h>

#include "service/api-keys.h"
#include "service/api.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/page.h"
#include "service/policy.h"

/* ---- answers ---- */

static void write_principal(JsonOut *o, const Principal *p) {
        json_begin_object(o, "principal");
        json_out_str(o, "id", p->id);
        json_out_str(o, "type", principal_type_name(p));
        json_out_str(o, "path", p->name);
        json_out_bool(o, "ended", p->ended);
        json_end_object(o);
}

static void write_sign(JsonOut *o, const Principal *p, const Key *k) {
        const char *rule = "";
        Error e = {};
        int r;

        r = policy_explain_use(p, k, &rule, &e);
        json_begin_object(o, "sign");
        json_out_bool(o, "allowed", r >= 0);
        json_out_str(o, "rule", r < 0 ? e.rule : rule);
        json_out_str(o, "detail", r < 0 ? e.detail : NULL);
        json_end_object(o);
}

static void write_role(JsonOut *o, const Principal *p, const Binding *b) {
        char pages[RIGHTS_TEXT_MAX];

        json_begin_object(o, NULL);
        json_out_str(o, "binding", b->id);
        json_out_str(o, "role", b->role);
        json_out_str(o, "tsg", b->path);
        json_out_str(o, "team", strcmp(b->principal, p->id) != 0 ? b->principal : NULL);
        json_out_str(o, "pages", rights_text(&b->rights, pages));
        json_end_object(o);
}

/* What it may do with the page keys, and by which of its roles. */
static void write_administer(JsonOut *o, const Principal *p, const Key *k) {
        Rights rights;

        policy_rights_on(p, &k->above, &rights);
        json_out_str(o, "administer", p->ended ? "none" : access_name(rights.on[PAGE_KEYS]));
        json_begin_array(o, "roles");
        for (size_t i = 0; i < p->n_bindings; i++)
                if (policy_binding_counts(p, &p->bindings[i], &k->above))
                        write_role(o, p, &p->bindings[i]);
        json_end_array(o);
}

/* ---- of a key ---- */

typedef struct KeyAccess {
        Page page;
        Request *req;
        Key *key;
        char ids[PAGE_LIMIT_MAX + 1][ID_MAX];
        size_t n;
        uint64_t unseen;
} KeyAccess;

static int take_id(DbRow *row, void *userdata) {
        KeyAccess *a = userdata;

        snprintf(a->ids[a->n++], ID_MAX, "%s", db_row_text(row, 0));
        return 0;
}

static int answer_one(KeyAccess *a, DbConn *c, const char *id, Error *e) {
        _cleanup_(principal_unrefp) Principal *p = NULL;
        JsonOut *o = &a->page.o;
        int r;

        if (!page_take(&a->page, id))
                return 0;
        r = principal_by_id(c, id, &p, e);
        if (r < 0)
                return r;
        if (policy_check_principal(a->req->principal, p, NULL) < 0) {
                a->unseen++;
                return 0;
        }
        json_begin_object(o, NULL);
        write_principal(o, p);
        write_sign(o, p, a->key);
        write_administer(o, p, a->key);
        json_end_object(o);
        return o->r;
}

static int answer_key(KeyAccess *a, Error *e) {
        Db *db = a->req->service->db;
        DbConn *c;
        int r;

        r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        r = db_query(c, SQL_PRINCIPALS_ABOVE,
                     DB_ARGS(DB_TEXT(a->key->tsg), DB_TEXT(a->key->tsg), DB_TEXT(a->page.after),
                             DB_INT(a->page.left + 1)),
                     take_id, a, e);
        for (size_t i = 0; r >= 0 && i < a->n; i++)
                r = answer_one(a, c, a->ids[i], e);
        db_release(db, c);
        return r;
}

int api_key_access(Request *req, Error *e) {
        _cleanup_(key_unrefp) Key *k = NULL;
        KeyAccess a = { .req = req };
        int r;

        r = key_find(req, 0, &k, e);
        if (r >= 0)
                r = policy_check_on(req->principal, RIGHT_VIEW(KEYS), &k->above, e);
        if (r >= 0)
                r = page_begin(&a.page, req, "principals", e);
        if (r < 0)
                return r;
        a.key = k;
        r = answer_key(&a, e);
        if (r < 0)
                return r;
        json_end_array(&a.page.o);
        json_out_u64(&a.page.o, "unseen", a.unseen);
        return page_finish(&a.page);
}

/* ---- of a principal ---- */

typedef struct PrincipalAccess {
        Page page;
        Request *req;
        Principal *of;
        unsigned rows;
        char seen[PATH_MAX_LEN];
} PrincipalAccess;

static int list_key(const Key *k, void *userdata) {
        PrincipalAccess *a = userdata;
        JsonOut *o = &a->page.o;

        a->rows++;
        snprintf(a->seen, sizeof(a->seen), "%s", k->path);
        if (policy_check_key(a->req->principal, k, NULL, NULL) < 0 || !page_take(&a->page, k->path))
                return 0;
        json_begin_object(o, NULL);
        json_out_str(o, "id", k->id);
        json_out_str(o, "path", k->path);
        json_out_str(o, "state", key_state_name(k, clock_now()));
        write_sign(o, a->of, k);
        write_administer(o, a->of, k);
        json_end_object(o);
        return o->r;
}

/* Until the page is full: some of what is read may be hidden. */
static int list_keys(PrincipalAccess *a, Error *e) {
        const Root root = { a->of->tsg, a->of->tsg_path };
        const KeyFilter all = { .prefix = "" };
        const char *after = a->page.after;
        unsigned want;
        int r;

        do {
                want = a->page.left + 1;
                a->rows = 0;
                r = key_list(a->req->service->db, &root, &all, after, want, list_key, a, e);
                after = a->seen;
        } while (r >= 0 && !a->page.more && a->rows == want);
        return r;
}

static void write_roles(JsonOut *o, const Principal *caller, const Principal *of) {
        bool self = strcmp(caller->id, of->id) == 0;

        json_begin_array(o, "roles");
        for (size_t i = 0; i < of->n_bindings; i++)
                if (self ||
                    policy_check_on(caller, RIGHT_VIEW(PEOPLE), &of->bindings[i].tsg, NULL) >= 0)
                        write_role(o, of, &of->bindings[i]);
        json_end_array(o);
}

static int find_principal(Request *req, Principal **ret, Error *e) {
        _cleanup_(principal_unrefp) Principal *p = NULL;
        Db *db = req->service->db;
        DbConn *c;
        int r;

        if (id_is_valid(req->params[0], "team"))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "a team does nothing itself: ask for its members");
        r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        r = principal_by_id(c, req->params[0], &p, e);
        db_release(db, c);
        if (r >= 0 && strcmp(p->id, req->principal->id) != 0)
                r = policy_check_principal(req->principal, p, e);
        if (r < 0 && strcmp(e->rule, "scope") == 0)
                return policy_unreachable(req->principal, -CSIGN_E_NOT_FOUND, "principal", NULL, e);
        if (r < 0)
                return r;
        *ret = TAKE(p);
        return 0;
}

int api_principal_access(Request *req, Error *e) {
        _cleanup_(principal_unrefp) Principal *p = NULL;
        PrincipalAccess a = { .req = req };
        int r;

        r = find_principal(req, &p, e);
        if (r >= 0)
                r = page_begin(&a.page, req, "keys", e);
        if (r < 0)
                return r;
        a.of = p;
        r = list_keys(&a, e);
        if (r < 0)
                return r;
        json_end_array(&a.page.o);
        write_principal(&a.page.o, p);
        json_out_str(&a.page.o, "tsg", p->tsg_path);
        write_roles(&a.page.o, req->principal, p);
        return page_finish(&a.page);
}
