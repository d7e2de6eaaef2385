/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of accounts: an administrator adds and removes them; an account rotates its own. */

#include <stdio.h>
#include <string.h>

#include "service/api-accounts.h"
#include "service/api.h"
#include "service/clock.h"
#include "service/policy.h"
#include "service/proof.h"

#define OVERLAP_MAX (30 * 24 * 3600) /* seconds that a key may last on beside its successor */

typedef struct NewKey {
        const char *public_key, *proof; /* as asked */
        uint32_t days;
        char account[ID_MAX];
        uint64_t if_match;
        AccountKey key;
        Buf spki;
} NewKey;

static void new_key_done(NewKey *n) {
        buf_done(&n->spki);
}

static int insert_key(DbConn *c, void *userdata, Error *e) {
        const NewKey *n = userdata;
        int r;

        r = account_touch(c, n->account, n->if_match, e);
        return r < 0 ? r : account_key_insert(c, n->account, &n->key, &n->spki, e);
}

static int commit_key(Request *req, NewKey *n, const char *path, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "account.key-add");
        _cleanup_(buf_done) Buf thumbprint = {};
        JsonOut o = JSON_OUT(&req->reply);
        char expires[CLOCK_TEXT_MAX];
        int r;

        write_account_key(&o, &n->key, NULL);
        r = o.r < 0 ? o.r : buf_append_hex(&thumbprint, n->key.thumbprint, SHA256_SIZE);
        if (r >= 0)
                r = audit_entry_change(&rec, &event, "account", n->account, "path", path, "key",
                                       n->key.id, "thumbprint", buf_str(&thumbprint), "expires",
                                       clock_text_seconds(n->key.expires, expires), NULL);
        req->status = 201;
        return r < 0 ? r : request_commit(req, insert_key, n, &rec, e);
}

int api_account_key_create(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "public_key", json_field_string, offsetof(NewKey, public_key), JSON_REQUIRED },
                { "validity_days", json_field_positive, offsetof(NewKey, days) },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(new_key_done) NewKey n = { .if_match = req->if_match };
        Account a;
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &n, &root, e);
        if (r >= 0)
                r = check_days(&n.days, e);
        if (r >= 0)
                r = find_account(req, RIGHT_WRITE(ACCOUNTS), &a, e);
        if (r >= 0)
                r = account_key_new(n.public_key, clock_now(), n.days, &n.key, &n.spki, e);
        if (r < 0)
                return r;
        snprintf(n.account, sizeof(n.account), "%s", a.id);
        return commit_key(req, &n, a.path, e);
}

/* ---- an end ---- */

typedef struct KeyEnd {
        const char *account, *key;
        uint64_t if_match;
        uint64_t when; /* 0: it is removed */
} KeyEnd;

static int end_key(DbConn *c, void *userdata, Error *e) {
        const KeyEnd *end = userdata;
        int r;

        r = account_touch(c, end->account, end->if_match, e);
        if (r < 0)
                return r;
        return end->when ? account_key_end(c, end->account, end->key, end->when, e)
                         : account_key_delete(c, end->account, end->key, e);
}

static int commit_end(Request *req, KeyEnd *end, const char *path, const char *kind, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, kind);
        char expires[CLOCK_TEXT_MAX];
        int r;

        r = audit_entry_change(&rec, &event, "account", end->account, "path", path, "key", end->key,
                               "expires", end->when ? clock_text_seconds(end->when, expires) : NULL,
                               NULL);
        return r < 0 ? r : request_commit(req, end_key, end, &rec, e);
}

static const AccountKey *key_of(const Account *a, const char *id, Error *e) {
        for (size_t i = 0; i < a->n_keys; i++)
                if (strcmp(a->keys[i].id, id) == 0)
                        return &a->keys[i];
        error_set(e, -CSIGN_E_NOT_FOUND, "account '%s' has no key '%s'", a->path, id);
        return NULL;
}

int api_account_key_delete(Request *req, Error *e) {
        KeyEnd end = { .account = req->params[0],
                       .key = req->params[1],
                       .if_match = req->if_match };
        Account a;
        int r;

        r = find_account(req, RIGHT_WRITE(ACCOUNTS), &a, e);
        if (r < 0)
                return r;
        if (!key_of(&a, end.key, e))
                return -CSIGN_E_NOT_FOUND;
        req->status = 204;
        return commit_end(req, &end, a.path, "account.key-remove", e);
}

/* ---- an account's own ---- */

static int find_self(Request *req, Account *ret, Error *e) {
        const Principal *p = req->principal;

        if (p->type != PRINCIPAL_ACCOUNT)
                return error_set_rule(e, -CSIGN_E_NOT_PERMITTED, "own-keys",
                                      "user '%s' has API keys, not an account's", p->name);
        return account_by_id(req->service->db, p->tsg, p->id, ret, e);
}

int api_own_key_list(Request *req, Error *e) {
        JsonOut o = JSON_OUT(&req->reply);
        Account a;
        int r;

        r = find_self(req, &a, e);
        if (r < 0)
                return r;
        json_begin_object(&o, NULL);
        json_begin_array(&o, "keys");
        for (size_t i = 0; i < a.n_keys; i++)
                write_account_key(&o, &a.keys[i], req->client_key);
        json_end_array(&o);
        json_end_object(&o);
        return o.r;
}

/* As long as the key that asks for it was to last.  That does not make the account last longer. */
static uint32_t own_days(const Request *req, const Account *a) {
        for (size_t i = 0; i < a->n_keys; i++) {
                const AccountKey *k = &a->keys[i];

                if (memcmp(k->thumbprint, req->client_key, SHA256_SIZE) == 0)
                        return (uint32_t) ((k->expires - k->created + USEC_PER_DAY - 1) /
                                           USEC_PER_DAY);
        }
        return 1;
}

int api_own_key_create(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "public_key", json_field_string, offsetof(NewKey, public_key), JSON_REQUIRED },
                { "proof", json_field_string, offsetof(NewKey, proof), JSON_REQUIRED },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(new_key_done) NewKey n = { .if_match = req->if_match };
        Account a;
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &n, &root, e);
        if (r >= 0)
                r = find_self(req, &a, e);
        if (r >= 0)
                r = account_key_new(n.public_key, clock_now(), own_days(req, &a), &n.key, &n.spki,
                                    e);
        if (r >= 0)
                r = proof_check(n.proof, &n.spki, a.id, NULL, req->service->config.issuer, e);
        if (r < 0)
                return r;
        snprintf(n.account, sizeof(n.account), "%s", a.id);
        return commit_key(req, &n, a.path, e);
}

/* Its old key ends after an overlap, in which what is under way with it comes to its end. */
int api_own_key_end(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "ends_in", json_field_u32, 0, JSON_REQUIRED },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        KeyEnd end = { .account = req->principal->id,
                       .key = req->params[0],
                       .if_match = req->if_match };
        JsonOut o = JSON_OUT(&req->reply);
        uint32_t seconds = 0;
        const AccountKey *k;
        AccountKey ended;
        Account a;
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &seconds, &root, e);
        if (r >= 0 && seconds > OVERLAP_MAX)
                r = error_set(e, -CSIGN_E_BAD_REQUEST, "'ends_in' is 0 to %d seconds", OVERLAP_MAX);
        if (r >= 0)
                r = find_self(req, &a, e);
        if (r < 0)
                return r;
        k = key_of(&a, end.key, e);
        if (!k)
                return -CSIGN_E_NOT_FOUND;
        if (memcmp(k->thumbprint, req->client_key, SHA256_SIZE) == 0)
                return error_set_rule(e, -CSIGN_E_NOT_PERMITTED, "own-keys",
                                      "this is the key of the connection: end it by its successor");

        end.when = clock_now() + seconds * USEC_PER_SEC;
        ended = *k;
        if (end.when < ended.expires)
                ended.expires = end.when;
        write_account_key(&o, &ended, req->client_key);
        return o.r < 0 ? o.r : commit_end(req, &end, a.path, "account.key-end", e);
}
