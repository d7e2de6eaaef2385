/* SPDX-License-Identifier: Apache-2.0 */
/* Built-in accounts: what sidecars authenticate as. */

#include <stdio.h>
#include <string.h>

#include "service/api-accounts.h"
#include "service/api-team-accounts.h"
#include "service/api.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/page.h"
#include "service/policy.h"
#include "service/tsg.h"

/* ---- showing ---- */

static void write_time(JsonOut *o, const char *name, uint64_t when) {
        char text[CLOCK_TEXT_MAX];

        json_out_str(o, name, when ? clock_text_seconds(when, text) : NULL);
}

void write_account_key(JsonOut *o, const AccountKey *k, const uint8_t *current) {
        json_begin_object(o, NULL);
        json_out_str(o, "id", k->id);
        json_out_hex(o, "thumbprint", k->thumbprint, sizeof(k->thumbprint));
        json_out_str(o, "algorithm", k->algorithm);
        write_time(o, "created", k->created);
        write_time(o, "expires", k->expires);
        write_time(o, "last_used", k->last_used);
        if (current)
                json_out_bool(o, "current", memcmp(current, k->thumbprint, SHA256_SIZE) == 0);
        json_end_object(o);
}

static void write_networks(JsonOut *o, const Networks *n) {
        char text[NETWORK_TEXT_MAX];

        json_begin_array(o, "networks");
        for (size_t i = 0; i < n->n; i++)
                json_out_str(o, NULL, network_text(&n->list[i], text));
        json_end_array(o);
}

/* private_key NULL: there is none to hand out. */
static void write_account(JsonOut *o, const Account *a, const Secret *private_key) {
        json_begin_object(o, NULL);
        json_out_str(o, "id", a->id);
        json_out_str(o, "path", a->path);
        json_out_str(o, "tsg", a->tsg);
        json_out_str(o, "name", a->name);
        json_out_str(o, "state", a->enabled ? "enabled" : "disabled");
        write_time(o, "created", a->created);
        write_time(o, "expires", a->expires);
        json_out_u64(o, "revision", a->revision);
        write_time(o, "last_used", a->last_used);
        write_networks(o, &a->networks);
        json_begin_array(o, "keys");
        for (size_t i = 0; i < a->n_keys; i++)
                write_account_key(o, &a->keys[i], NULL);
        json_end_array(o);
        if (private_key)
                json_out_str(o, "private_key", (const char *) private_key->data);
        json_end_object(o);
}

static int reply_account(Request *req, const Account *a) {
        JsonOut o = JSON_OUT(&req->reply);

        write_account(&o, a, NULL);
        req->etag = a->revision;
        return o.r;
}

int find_account(Request *req, Right right, Account *ret, Error *e) {
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
        write_account(&page->o, a, NULL);
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

/* ---- what requests say ---- */

int check_days(uint32_t *days, Error *e) {
        if (*days > ACCOUNT_DAYS_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'validity_days' is 1 to %d",
                                 ACCOUNT_DAYS_MAX);
        *days = *days ?: ACCOUNT_DAYS_DEFAULT;
        return 0;
}

typedef struct AskedNetworks {
        Networks networks;
        bool given;
} AskedNetworks;

static int read_networks(const json_t *v, const char *name, void *target, Error *e) {
        AskedNetworks *asked = target;

        if (!json_is_array(v))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is not a list", name);
        for (size_t i = 0; i < json_array_size(v); i++) {
                const char *text = json_string_value(json_array_get(v, i));
                int r;

                if (!text)
                        return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is not a list of strings",
                                         name);
                r = networks_add(&asked->networks, text, e);
                if (r < 0)
                        return r;
        }
        asked->given = true;
        return 0;
}

/* ---- making ---- */

typedef struct NewAccount {
        const char *path, *public_key, *generate; /* as asked */
        uint32_t days;
        AskedNetworks asked;
        Account account;
        Buf spki;
        Secret private_key; /* of a pair that was made here */
} NewAccount;

static void new_account_done(NewAccount *n) {
        buf_done(&n->spki);
        secret_done(&n->private_key);
}

static int place_account(Request *req, NewAccount *n, Error *e) {
        char tsg_path[PATH_MAX_LEN];
        Account *a = &n->account;
        Tsg tsg;
        int r;

        r = path_normalize(n->path, a->path, e);
        if (r >= 0)
                r = path_split(a->path, tsg_path, a->name, e);
        if (r < 0)
                return r;
        r = request_tsg(req, RIGHT_WRITE(ACCOUNTS), tsg_path, &tsg, e);
        if (r < 0)
                return r;

        snprintf(a->tsg, sizeof(a->tsg), "%s", tsg.id);
        a->enabled = true;
        a->revision = 1;
        a->created = clock_now();
        a->expires = a->created + n->days * USEC_PER_DAY;
        a->networks = n->asked.networks;
        return id_new(a->id, "acc");
}

/* Its first key: the client's, one made here, or none yet. */
static int take_key(NewAccount *n, Error *e) {
        _cleanup_(buf_done) Buf made = {};
        int r;

        if (n->public_key && n->generate)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'public_key' and 'generate' are not for one account");
        if (n->generate) {
                r = account_key_generate(n->generate, &made, &n->private_key, e);
                if (r < 0)
                        return r;
                n->public_key = buf_str(&made);
        }
        if (!n->public_key)
                return 0;
        n->account.n_keys = 1;
        return account_key_new(n->public_key, n->account.created, n->days, &n->account.keys[0],
                               &n->spki, e);
}

static int insert_account(DbConn *c, void *userdata, Error *e) {
        const NewAccount *n = userdata;
        int r;

        r = account_insert(c, &n->account, e);
        if (r >= 0 && n->account.n_keys > 0)
                r = account_key_insert(c, n->account.id, &n->account.keys[0], &n->spki, e);
        return r;
}

static int commit_account(Request *req, NewAccount *n, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "account.create");
        const Account *a = &n->account;
        char networks[NETWORKS_TEXT], expires[CLOCK_TEXT_MAX];
        _cleanup_(buf_done) Buf thumbprint = {};
        int r = 0;

        if (a->n_keys > 0)
                r = buf_append_hex(&thumbprint, a->keys[0].thumbprint, SHA256_SIZE);
        if (r >= 0)
                r = audit_entry_change(&rec, &event, "account", a->id, "path", a->path, "tsg",
                                       a->tsg, "expires", clock_text_seconds(a->expires, expires),
                                       "networks", networks_text(&a->networks, networks),
                                       "thumbprint", buf_str(&thumbprint), NULL);
        return r < 0 ? r : request_commit(req, insert_account, n, &rec, e);
}

/* After the commit, which keeps the reply for who asks again: that one has no private key in it.
 * All room at once, so that growing leaves no copy behind. */
static int hand_out(Request *req, const NewAccount *n) {
        JsonOut o = JSON_OUT(&req->reply);
        int r;

        buf_clear(&req->reply);
        r = buf_reserve(&req->reply, 16 * 1024);
        if (r < 0)
                return r;
        write_account(&o, &n->account, &n->private_key);
        return o.r;
}

int api_account_create(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "path", json_field_string, offsetof(NewAccount, path), JSON_REQUIRED },
                { "public_key", json_field_string, offsetof(NewAccount, public_key) },
                { "generate", json_field_string, offsetof(NewAccount, generate) },
                { "validity_days", json_field_positive, offsetof(NewAccount, days) },
                { "networks", read_networks, offsetof(NewAccount, asked) },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(new_account_done) NewAccount n = {};
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &n, &root, e);
        if (r >= 0)
                r = check_days(&n.days, e);
        if (r >= 0)
                r = place_account(req, &n, e);
        if (r >= 0)
                r = take_key(&n, e);
        if (r >= 0)
                r = reply_account(req, &n.account);
        if (r < 0)
                return r;
        req->status = 201;
        r = commit_account(req, &n, e);
        return r < 0 || !n.generate ? r : hand_out(req, &n);
}

/* ---- changing ---- */

typedef struct Change {
        const char *id;
        uint64_t if_match;
        const char *state; /* as asked; NULL and 0: not */
        uint32_t days;
        AskedNetworks asked;
        AccountChange account;
} Change;

static int apply_change(DbConn *c, void *userdata, Error *e) {
        const Change *change = userdata;

        int r;

        r = account_touch(c, change->id, change->if_match, e);
        return r < 0 ? r : account_change(c, change->id, &change->account, e);
}

static int check_change(Change *c, Error *e) {
        if (!c->state && !c->days && !c->asked.given)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "there is nothing to change: 'state', 'validity_days' or "
                                 "'networks'");
        if (c->state && strcmp(c->state, "enabled") != 0 && strcmp(c->state, "disabled") != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'state' is enabled or disabled");
        if (c->days > ACCOUNT_DAYS_MAX)
                return check_days(&c->days, e);

        c->account.state = c->state;
        c->account.expires = c->days ? clock_now() + c->days * USEC_PER_DAY : 0;
        c->account.networks = c->asked.given ? &c->asked.networks : NULL;
        return 0;
}

/* What is changed, as it is and as it was. */
static int commit_change(Request *req, const Account *a, Change *c, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "account.change");
        char networks[NETWORKS_TEXT], networks_before[NETWORKS_TEXT];
        char expires[CLOCK_TEXT_MAX], expires_before[CLOCK_TEXT_MAX];
        bool state = c->account.state, until = c->account.expires, where = c->account.networks;
        int r;

        clock_text_seconds(c->account.expires, expires);
        clock_text_seconds(a->expires, expires_before);
        networks_text(&c->asked.networks, networks);
        networks_text(&a->networks, networks_before);
        r = audit_entry_change(
                &rec, &event, "account", a->id, "path", a->path, "tsg", a->tsg, "state", c->state,
                "state_before", state ? (a->enabled ? "enabled" : "disabled") : NULL, "expires",
                until ? expires : NULL, "expires_before", until ? expires_before : NULL, "networks",
                where ? (networks[0] ? networks : "any") : NULL, "networks_before",
                where ? (networks_before[0] ? networks_before : "any") : NULL, NULL);
        return r < 0 ? r : request_commit(req, apply_change, c, &rec, e);
}

int api_account_change(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "state", json_field_string, offsetof(Change, state) },
                { "validity_days", json_field_positive, offsetof(Change, days) },
                { "networks", read_networks, offsetof(Change, asked) },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        Change change = { .id = req->params[0], .if_match = req->if_match };
        Account a;
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &change, &root, e);
        if (r >= 0)
                r = check_change(&change, e);
        if (r >= 0)
                r = find_account(req, RIGHT_WRITE(ACCOUNTS), &a, e);
        if (r >= 0)
                r = commit_change(req, &a, &change, e);
        if (r >= 0)
                r = find_account(req, RIGHT_WRITE(ACCOUNTS), &a, e);
        return r < 0 ? r : reply_account(req, &a);
}

/* ---- deleting ---- */

static int delete_account(DbConn *c, void *userdata, Error *e) {
        const Request *req = userdata;
        int r;

        r = account_touch(c, req->params[0], req->if_match, e);
        return r < 0 ? r : account_delete(c, req->params[0], e);
}

int api_account_delete(Request *req, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "account.delete");
        Account a;
        int r;

        r = find_account(req, RIGHT_WRITE(ACCOUNTS), &a, e);
        if (r >= 0)
                r = audit_entry_change(&rec, &event, "account", a.id, "path", a.path, "tsg", a.tsg,
                                       "state_before", a.enabled ? "enabled" : "disabled", NULL);
        if (r >= 0)
                r = request_commit(req, delete_account, req, &rec, e);
        req->status = 204;
        return r;
}
