/* SPDX-License-Identifier: Apache-2.0 */
/* API keys of users.  Users manage their own, but none that is for more than the one they came
 * with; those of others are for who may change people and holds all that the user's roles give. */

#include <stdio.h>
#include <string.h>

#include "service/api-users.h"
#include "service/api.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/policy.h"
#include "service/revision.h"

#define DAYS_MAX 3650

/* ---- showing ---- */

static void write_time(JsonOut *o, const char *name, uint64_t when) {
        char text[CLOCK_TEXT_MAX];

        json_out_str(o, name, when ? clock_text_seconds(when, text) : NULL);
}

/* text NULL: it was handed out before. */
static void write_api_key(JsonOut *o, const ApiKey *k, const Secret *text) {
        json_begin_object(o, NULL);
        json_out_str(o, "id", k->id);
        json_out_str(o, "user", k->user);
        json_out_str(o, "name", k->name);
        json_out_str(o, "tsg", k->tsg[0] ? k->tsg_path : NULL);
        json_out_str(o, "purpose", api_key_purpose_name(k->purpose));
        write_time(o, "created", k->created);
        write_time(o, "expires", k->expires);
        write_time(o, "last_used", k->last_used);
        if (text)
                json_out_str(o, "api_key", (const char *) text->data);
        json_end_object(o);
}

static int list_api_key(const ApiKey *k, void *userdata) {
        JsonOut *o = userdata;

        write_api_key(o, k, NULL);
        return o->r;
}

int api_user_key_list(Request *req, Error *e) {
        JsonOut o = JSON_OUT(&req->reply);
        Db *db = req->service->db;
        DbConn *c;
        User u;
        int r;

        r = user_find(req, RIGHT_SELF, &u, e);
        if (r >= 0)
                r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        json_begin_object(&o, NULL);
        json_begin_array(&o, "api_keys");
        r = user_api_keys(c, u.id, list_api_key, &o, e);
        db_release(db, c);
        json_end_array(&o);
        json_end_object(&o);
        return r < 0 ? r : o.r;
}

/* ---- making and revoking ---- */

typedef struct KeyRequest {
        const char *name, *tsg, *purpose; /* as asked */
        uint32_t days;
        Request *req;
        User user;
        ApiKey key;
        Secret text;
        uint8_t hash[SHA256_SIZE];
} KeyRequest;

static void key_request_done(KeyRequest *k) {
        secret_done(&k->text);
}

static int check_own(const KeyRequest *k, const TsgChain *tsg, Error *e) {
        return policy_check_api_key(k->req->principal, tsg, k->key.purpose != API_KEY_ADMINISTER,
                                    k->key.purpose != API_KEY_SIGN, k->key.expires, e);
}

static int check_others(const KeyRequest *k, DbConn *c, Error *e) {
        const Principal *p = k->req->principal;
        TsgChain home;
        int r;

        r = tsg_chain(c, k->user.tsg, &home, e);
        if (r >= 0)
                r = policy_check_on(p, RIGHT_WRITE(PEOPLE), &home, e);
        return r < 0 ? r : user_check_over(p, c, k->user.id, e);
}

/* In the transaction. */
static int check_allowed(const KeyRequest *k, DbConn *c, Error *e) {
        TsgChain tsg;
        int r;

        r = tsg_chain(c, k->key.tsg[0] ? k->key.tsg : k->user.tsg, &tsg, e);
        if (r < 0)
                return r;
        if (!tsg_chain_has(&tsg, k->user.tsg))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'%s' is not below the TSG of user '%s': an API key reaches no "
                                 "further than its user",
                                 k->key.tsg_path, k->user.path);
        if (strcmp(k->user.id, k->req->principal->id) == 0)
                return check_own(k, &tsg, e);
        return check_others(k, c, e);
}

/* API keys have no revision of their own: they are their user's. */
static int touch(const KeyRequest *k, DbConn *c, Error *e) {
        return revision_bump(c, SQL_USER_TOUCH, "user", k->user.id, k->req->if_match, e);
}

static int insert_api_key(DbConn *c, void *userdata, Error *e) {
        const KeyRequest *k = userdata;
        int r;

        r = check_allowed(k, c, e);
        if (r >= 0)
                r = touch(k, c, e);
        return r < 0 ? r : user_api_key_insert(c, &k->key, k->hash, e);
}

static int commit_api_key(KeyRequest *k, const char *kind,
                          int (*change)(DbConn *c, void *userdata, Error *e), Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(k->req, kind);
        char expires[CLOCK_TEXT_MAX];
        int r;

        r = audit_entry_change(
                &rec, &event, "api_key", k->key.id, "user", k->user.id, "path", k->user.path,
                "name", k->key.name, "purpose", api_key_purpose_name(k->key.purpose), "tsg",
                k->key.tsg[0] ? k->key.tsg : NULL, "expires",
                k->key.expires ? clock_text_seconds(k->key.expires, expires) : NULL, NULL);
        return r < 0 ? r : request_commit(k->req, change, k, &rec, e);
}

static int read_limits(KeyRequest *k, Error *e) {
        const Principal *p = k->req->principal;
        int purpose = k->purpose ? api_key_purpose_by_name(k->purpose) : API_KEY_ANY;
        Tsg tsg;
        int r;

        if (purpose < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'purpose' is any, sign or administer");
        if (k->days > DAYS_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'validity_days' is 1 to %d", DAYS_MAX);
        k->key.purpose = (ApiKeyPurpose) purpose;
        k->key.expires = k->days ? k->key.created + k->days * USEC_PER_DAY : 0;
        if (!k->tsg)
                return 0;
        r = path_normalize(k->tsg, k->key.tsg_path, e);
        if (r >= 0)
                r = tsg_by_path(k->req->service->db, p->tsg, k->key.tsg_path, &tsg, e);
        if (r == -CSIGN_E_NOT_FOUND)
                return policy_unreachable(p, r, "TSG", k->key.tsg_path, e);
        if (r >= 0)
                memcpy(k->key.tsg, tsg.id, sizeof(k->key.tsg));
        return r;
}

static int fill_api_key(KeyRequest *k, Error *e) {
        int r;

        r = name_normalize(k->name, k->key.name, e);
        if (r < 0)
                return r;
        memcpy(k->key.user, k->user.id, sizeof(k->key.user));
        k->key.created = clock_now();
        r = read_limits(k, e);
        if (r >= 0)
                r = id_new(k->key.id, "ak");
        return r < 0 ? r : bearer_new("csk_", &k->text, k->hash, e);
}

/* After the commit, which keeps the reply for who asks again: that one has no secret in it.  All
 * room at once, so that growing leaves no copy behind. */
static int hand_out(const KeyRequest *k) {
        JsonOut o = JSON_OUT(&k->req->reply);
        int r;

        buf_clear(&k->req->reply);
        r = buf_reserve(&k->req->reply, 4096);
        if (r >= 0)
                write_api_key(&o, &k->key, &k->text);
        return r < 0 ? r : o.r;
}

static int make_api_key(KeyRequest *k, Error *e) {
        JsonOut o = JSON_OUT(&k->req->reply);
        int r;

        r = user_find(k->req, RIGHT_SELF, &k->user, e);
        if (r >= 0)
                r = fill_api_key(k, e);
        if (r < 0)
                return r;
        write_api_key(&o, &k->key, NULL);
        if (o.r < 0)
                return o.r;
        k->req->status = 201;
        r = commit_api_key(k, "api-key.create", insert_api_key, e);
        return r < 0 ? r : hand_out(k);
}

int api_user_key_create(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "name", json_field_string, offsetof(KeyRequest, name), JSON_REQUIRED },
                { "tsg", json_field_string, offsetof(KeyRequest, tsg) },
                { "purpose", json_field_string, offsetof(KeyRequest, purpose) },
                { "validity_days", json_field_positive, offsetof(KeyRequest, days) },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(key_request_done) KeyRequest k = { .req = req };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &k, &root, e);
        return r < 0 ? r : make_api_key(&k, e);
}

static int delete_api_key(DbConn *c, void *userdata, Error *e) {
        const KeyRequest *k = userdata;
        int r;

        r = check_allowed(k, c, e);
        if (r >= 0)
                r = touch(k, c, e);
        return r < 0 ? r : user_api_key_delete(c, k->key.id, e);
}

int api_user_key_delete(Request *req, Error *e) {
        KeyRequest k = { .req = req };
        Db *db = req->service->db;
        DbConn *c;
        int r;

        r = user_find(req, RIGHT_SELF, &k.user, e);
        if (r >= 0)
                r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        r = user_api_key_by_id(c, k.user.id, req->params[1], &k.key, e);
        db_release(db, c);
        if (r < 0)
                return r;
        req->status = 204;
        return commit_api_key(&k, "api-key.revoke", delete_api_key, e);
}
