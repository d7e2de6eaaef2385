/* SPDX-License-Identifier: Apache-2.0 */
/* Built-in accounts: what sidecars authenticate as. */

#include <stdio.h>
#include <string.h>

#include "service/accounts.h"
#include "service/api-team-accounts.h"
#include "service/api.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/page.h"
#include "service/policy.h"
#include "service/revision.h"
#include "service/tsg.h"

#define DAYS_MAX 3650

/* ---- showing ---- */

static void write_account_key(JsonOut *o, const AccountKey *k) {
        json_begin_object(o, NULL);
        json_out_str(o, "id", k->id);
        json_out_hex(o, "thumbprint", k->thumbprint, sizeof(k->thumbprint));
        json_out_str(o, "algorithm", k->algorithm);
        json_end_object(o);
}

static void write_account(JsonOut *o, const Account *a) {
        char created[CLOCK_TEXT_MAX], expires[CLOCK_TEXT_MAX];

        json_begin_object(o, NULL);
        json_out_str(o, "id", a->id);
        json_out_str(o, "path", a->path);
        json_out_str(o, "tsg", a->tsg);
        json_out_str(o, "name", a->name);
        json_out_str(o, "state", a->enabled ? "enabled" : "disabled");
        json_out_str(o, "created", clock_text_seconds(a->created, created));
        json_out_str(o, "expires", clock_text_seconds(a->expires, expires));
        json_out_u64(o, "revision", a->revision);
        json_begin_array(o, "keys");
        for (size_t i = 0; i < a->n_keys; i++)
                write_account_key(o, &a->keys[i]);
        json_end_array(o);
        json_end_object(o);
}

static int reply_account(Request *req, const Account *a) {
        JsonOut o = JSON_OUT(&req->reply);

        write_account(&o, a);
        req->etag = a->revision;
        return o.r;
}

static int find_account(Request *req, Right right, Account *ret, Error *e) {
        int r;

        r = account_by_id(req->service->db, req->principal->tsg, req->params[0], ret, e);
        if (r == -CSIGN_E_NOT_FOUND)
                return policy_unreachable(req->principal, r, "account", NULL, e);
        return r < 0 ? r : account_allow(req, right, ret->id, ret->tsg, e);
}

int api_account_get(Request *req, Error *e) {
        Account a;
        int r;

        r = find_account(req, RIGHT_VIEW(ACCOUNTS), &a, e);
        return r < 0 ? r : reply_account(req, &a);
}

static int list_account(const Account *a, void *userdata) {
        Page *page = userdata;

        if (!page_take(page, a->path))
                return 0;
        write_account(&page->o, a);
        return page->o.r;
}

int api_account_list(Request *req, Error *e) {
        const Root *root;
        Page page;
        int r;

        r = page_begin(&page, req, "accounts", e);
        while (r >= 0 && (root = page_root(&page, RIGHT_VIEW(ACCOUNTS))))
                r = account_list(req->service->db, root, page.after, page.left + 1, list_account,
                                 &page, e);
        return r < 0 ? r : page_end(&page);
}

/* ---- making ---- */

typedef struct NewAccount {
        const char *path, *public_key; /* as asked */
        uint32_t days;
        Account account;
        Buf spki;
} NewAccount;

static void new_account_done(NewAccount *n) {
        buf_done(&n->spki);
}

static int place_account(Request *req, NewAccount *n, Error *e) {
        const Principal *p = req->principal;
        char tsg_path[PATH_MAX_LEN];
        Account *a = &n->account;
        Tsg tsg;
        int r;

        r = path_normalize(n->path, a->path, e);
        if (r >= 0)
                r = path_split(a->path, tsg_path, a->name, e);
        if (r < 0)
                return r;
        r = tsg_by_path(req->service->db, p->tsg, tsg_path, &tsg, e);
        if (r == -CSIGN_E_NOT_FOUND)
                return policy_unreachable(p, r, "TSG", tsg_path, e);
        if (r >= 0)
                r = request_allow(req, RIGHT_WRITE(ACCOUNTS), tsg.id, e);
        if (r < 0)
                return r;

        if (n->days > DAYS_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'validity_days' is 1 to %d", DAYS_MAX);
        snprintf(a->tsg, sizeof(a->tsg), "%s", tsg.id);
        a->enabled = true;
        a->revision = 1;
        a->created = clock_now();
        a->expires = a->created + (n->days ?: 365) * USEC_PER_DAY;
        return id_new(a->id, "acc");
}

static int take_public_key(NewAccount *n, Error *e) {
        AccountKey *k = &n->account.keys[0];
        const char *algorithm;
        int r;

        r = account_key_parse(n->public_key, &n->spki, &algorithm, e);
        if (r < 0)
                return r;
        sha256(n->spki.data, n->spki.len, k->thumbprint);
        snprintf(k->algorithm, sizeof(k->algorithm), "%s", algorithm);
        n->account.n_keys = 1;
        return id_new(k->id, "ack");
}

static int insert_account(DbConn *c, void *userdata, Error *e) {
        const NewAccount *n = userdata;

        return account_insert(c, &n->account, &n->spki, e);
}

static int commit_account(Request *req, NewAccount *n, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "account.create");
        const Account *a = &n->account;
        _cleanup_(buf_done) Buf thumbprint = {};
        int r;

        r = buf_append_hex(&thumbprint, a->keys[0].thumbprint, SHA256_SIZE);
        if (r >= 0)
                r = audit_entry_change(&rec, &event, "account", a->id, "path", a->path, "tsg",
                                       a->tsg, "thumbprint", buf_str(&thumbprint), NULL);
        return r < 0 ? r : request_commit(req, insert_account, n, &rec, e);
}

int api_account_create(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "path", json_field_string, offsetof(NewAccount, path), JSON_REQUIRED },
                { "public_key", json_field_string, offsetof(NewAccount, public_key),
                  JSON_REQUIRED },
                { "validity_days", json_field_u32, offsetof(NewAccount, days) },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(new_account_done) NewAccount n = {};
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &n, &root, e);
        if (r >= 0)
                r = place_account(req, &n, e);
        if (r >= 0)
                r = take_public_key(&n, e);
        if (r >= 0)
                r = reply_account(req, &n.account);
        if (r < 0)
                return r;
        req->status = 201;
        return commit_account(req, &n, e);
}

/* ---- changing ---- */

typedef struct AccountChange {
        const char *id;
        uint64_t if_match;
        const char *state;
} AccountChange;

static int apply_change(DbConn *c, void *userdata, Error *e) {
        const AccountChange *change = userdata;

        int r;

        r = revision_bump(c, SQL_ACCOUNT_TOUCH, "account", change->id, change->if_match, e);
        if (r < 0)
                return r;
        return account_set_enabled(c, change->id, strcmp(change->state, "enabled") == 0, e);
}

static int commit_change(Request *req, const Account *a, AccountChange *change, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "account.change");
        int r;

        r = audit_entry_change(&rec, &event, "account", a->id, "path", a->path, "tsg", a->tsg,
                               "state", change->state, "state_before",
                               a->enabled ? "enabled" : "disabled", NULL);
        return r < 0 ? r : request_commit(req, apply_change, change, &rec, e);
}

int api_account_change(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "state", json_field_string, offsetof(AccountChange, state), JSON_REQUIRED },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        AccountChange change = { .id = req->params[0], .if_match = req->if_match };
        Account a;
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &change, &root, e);
        if (r >= 0 && strcmp(change.state, "enabled") != 0 && strcmp(change.state, "disabled") != 0)
                r = error_set(e, -CSIGN_E_BAD_REQUEST, "'state' is enabled or disabled");
        if (r >= 0)
                r = find_account(req, RIGHT_WRITE(ACCOUNTS), &a, e);
        if (r >= 0)
                r = commit_change(req, &a, &change, e);
        if (r >= 0)
                r = find_account(req, RIGHT_WRITE(ACCOUNTS), &a, e);
        return r < 0 ? r : reply_account(req, &a);
}
