/* SPDX-License-Identifier: Apache-2.0 */
/* The walk of one request: authenticate, decide, handle, and one place where failures become
 * answers. */

#include "service/request.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "service/clock.h"
#include "service/metrics.h"
#include "service/once.h"
#include "service/problem.h"
#include "service/route.h"

#define REPLY_MAX     ((size_t) 8 * 1024 * 1024)
#define LIMIT_DEFAULT 50

int request_init(Request *req, Service *service) {
        *req = (Request){
                .service = service,
                .status = 200,
                .reply_type = "application/json",
                .reply = BUF_MAX(REPLY_MAX),
        };
        return id_new_timed(req->request_id, "req");
}

void request_done(Request *req) {
        principal_unref(req->principal);
        form_done(&req->query);
        if (req->body.data)
                erase(req->body.data, req->body.len);
        buf_done(&req->body);
        buf_done(&req->caller);
        if (req->reply.data)
                erase(req->reply.data, req->reply.len);
        buf_done(&req->reply);
}

/* ---- the walk ---- */

static int check_rate(Request *req) {
        unsigned seconds = rates_request_by_principal(req->service->rates, req->principal->id);

        if (seconds == 0)
                return 0;
        error_set_rule(&req->error, -CSIGN_E_RATE_LIMITED, "principal-rate",
                       "%s '%s' sends too many requests", principal_type_name(req->principal),
                       req->principal->name);
        req->error.retry_after = seconds;
        return -CSIGN_E_RATE_LIMITED;
}

static int authorize(Request *req) {
        int r;

        r = authn_principal(&req->service->authn, &req->bearer,
                            req->has_client_key ? req->client_key : NULL, &req->principal,
                            &req->error);
        if (r >= 0)
                r = check_rate(req);
        if (r < 0)
                return r;
        r = policy_check_network(req->principal->name, &req->principal->networks, req->address,
                                 &req->error);
        return r < 0 ? r : policy_check_right(req->principal, req->route->right, &req->error);
}

static int walk(Request *req) {
        int r;

        if (req->error.code != 0)
                return req->error.code; /* the loop found it wrong already */
        if (req->deadline > 0 && clock_now() >= req->deadline)
                return error_set(&req->error, -CSIGN_E_TIMEOUT,
                                 "the client's time was over before it was the request's turn");
        if (req->route->right != RIGHT_NONE) {
                r = authorize(req);
                if (r < 0)
                        return r;
        }
        r = form_check_names(&req->query, req->route->query, &req->error);
        if (r < 0)
                return r;
        if (req->route->key == KEY_OF_REQUEST && req->idempotency_key[0])
                return once_run(req, &req->error);
        return req->route->fn(req, &req->error);
}

/* ---- refusals ---- */

static int record_refusal(const Request *req, ChangeEvent *event, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        AuditJob job = { .records = &rec, .n_records = 1, .e = e };
        bool told = error_public_code(req->error.code) != -CSIGN_E_INTERNAL;
        int r;

        event->rule = req->error.rule;
        event->code = error_public_code(req->error.code);
        r = audit_entry_change(&rec, event, "method", req->route->method, "route",
                               req->route->pattern, "detail", told ? req->error.detail : "",
                               req->params[0][0] ? "id" : "claimed",
                               req->params[0][0] ? req->params[0] : req->claimed, NULL);
        if (r < 0)
                return r;
        if (!req->principal)
                snprintf(rec.principal, sizeof(rec.principal), "%s", req->claimed);
        return audit_commit(req->service->audit, &job);
}

/* Who tried to change what it may not, or could not, is worth a record, and so is who was refused a
 * look; a look that found nothing is not. */
static bool is_worth_a_record(const Request *req) {
        bool look = strcmp(req->route->method, "GET") == 0;
        int code = req->error.code;

        if (req->principal && strcmp(req->error.rule, "account-network") == 0)
                return true; /* somebody may have its key */
        if (!req->principal || code == -CSIGN_E_AUDIT_UNAVAILABLE || code == -CSIGN_E_RATE_LIMITED)
                return false;
        if (req->route->right < RIGHT_PAGES_ && (look || req->route->key == KEY_OF_HANDLER))
                return false; /* signatures have records of their own */
        return !look || code == -CSIGN_E_NOT_PERMITTED || code == -CSIGN_E_OUT_OF_SCOPE;
}

/* The answer stays what it was, if the record can be written. */
/* Only who has an account's key comes so far: no stranger fills the log with it. */
static bool is_proven(const Request *req) {
        return strcmp(req->error.rule, "account-state") == 0;
}

static void record_failure(Request *req) {
        bool unknown = req->error.code == -CSIGN_E_UNAUTHENTICATED && !req->principal;
        ChangeEvent event = request_event(req, unknown ? FAILURE_KIND : "request.denied");
        Error e = {};
        int r = 0;

        event.anonymous = unknown;
        if (!unknown ? is_worth_a_record(req)
                     : is_proven(req) || failures_note(req->service->failures, req->address))
                r = record_refusal(req, &event, &e);
        if (r >= 0)
                return;
        req->error = e;
        if (e.code != r)
                error_set(&req->error, r, "cannot write an audit record");
}

/* Who is often wrong learns no more of why.  Who is right does not come here. */
static void slow_guessing(Request *req) {
        unsigned seconds;

        if (req->error.code != -CSIGN_E_UNAUTHENTICATED || !req->route ||
            (req->bearer.kind == BEARER_NONE && req->route->right != RIGHT_NONE))
                return;
        seconds = rates_failure(req->service->rates, req->address, req->claimed);
        if (seconds == 0)
                return;
        error_set_rule(&req->error, -CSIGN_E_RATE_LIMITED, "failures",
                       "too many credentials were wrong, from %s or for this client id",
                       req->address);
        req->error.retry_after = seconds;
}

void request_run(Request *req) {
        int r;

        r = walk(req);
        if (r >= 0)
                return;
        if (req->error.code != r)
                error_set(&req->error, r, "%s", strerror(r > -CSIGN_E_BEGIN_ ? -r : EIO));
        if (req->route)
                record_failure(req);
        slow_guessing(req);
        problem_reply(req);
}

/* ---- what handlers ask ---- */

static bool is_json(const char *content_type) {
        size_t n = strcspn(content_type, "; ");

        return n == strlen("application/json") &&
               strncasecmp(content_type, "application/json", n) == 0;
}

int request_json(Request *req, json_t **ret, Error *e) {
        if (!is_json(req->content_type))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "the body must be application/json");
        return json_parse(req->body.data, req->body.len, ret, e);
}

int request_body(Request *req, const JsonField fields[], size_t n, void *target, json_t **ret_root,
                 Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        int r;

        r = request_json(req, &root, e);
        if (r >= 0)
                r = json_read(root, fields, n, target, e);
        if (r < 0)
                return r;
        *ret_root = TAKE(root);
        return 0;
}

int request_number(const Request *req, const char *name, uint64_t max, uint64_t *ret, Error *e) {
        const char *text = form_get(&req->query, name);
        unsigned long long v;
        char *end;

        if (!text) {
                *ret = 0;
                return 0;
        }
        errno = 0;
        v = isdigit((unsigned char) text[0]) ? strtoull(text, &end, 10) : 0;
        if (!isdigit((unsigned char) text[0]) || *end != '\0' || errno != 0 || v > max)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'%s' is not a whole number from 0 to %llu", name,
                                 (unsigned long long) max);
        *ret = v;
        return 0;
}

int request_limit(const Request *req, unsigned *ret, Error *e) {
        uint64_t v;
        int r;

        r = request_number(req, "limit", PAGE_LIMIT_MAX, &v, e);
        if (r < 0)
                return r;
        if (v == 0 && form_get(&req->query, "limit"))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'limit' is 1 to %d", PAGE_LIMIT_MAX);
        *ret = v ? (unsigned) v : LIMIT_DEFAULT;
        return 0;
}

int request_path(const Request *req, const char *name, char buf[static PATH_MAX_LEN], Error *e) {
        const char *text = form_get(&req->query, name);

        buf[0] = '\0';
        return text && text[0] ? path_normalize(text, buf, e) : 0;
}

int request_allow(const Request *req, Right right, const char *tsg, Error *e) {
        TsgChain chain;
        int r;

        r = tsg_chain_read(req->service->db, tsg, &chain, e);
        return r < 0 ? r : policy_check_on(req->principal, right, &chain, e);
}

int request_tsg(const Request *req, Right right, const char *path, Tsg *ret, Error *e) {
        int r;

        r = tsg_by_path(req->service->db, req->principal->tsg, path, ret, e);
        if (r == -CSIGN_E_NOT_FOUND)
                return policy_unreachable(req->principal, r, "TSG", path, e);
        return r < 0 ? r : request_allow(req, right, ret->id, e);
}

int request_place(const Request *req, Right right, const char *asked,
                  char path[static PATH_MAX_LEN], char name[static NAME_MAX_LEN + 1], Tsg *ret_tsg,
                  Error *e) {
        char tsg_path[PATH_MAX_LEN] = "";
        int r;

        r = path_normalize(asked, path, e);
        if (r < 0)
                return r;
        if (strchr(path, '/'))
                r = path_split(path, tsg_path, name, e);
        else
                snprintf(name, NAME_MAX_LEN + 1, "%.*s", NAME_MAX_LEN, path);
        return r < 0 ? r : request_tsg(req, right, tsg_path, ret_tsg, e);
}

int request_reply_id(Request *req, const char *id) {
        JsonOut o = JSON_OUT(&req->reply);

        json_begin_object(&o, NULL);
        json_out_str(&o, "id", id);
        json_end_object(&o);
        req->status = 201;
        return o.r;
}

ChangeEvent request_event(const Request *req, const char *kind) {
        return (ChangeEvent){
                .kind = kind,
                .request_id = req->request_id,
                .principal = req->principal,
                .address = req->address,
                .rule = "role",
        };
}

int request_commit(Request *req, int (*change)(DbConn *c, void *userdata, Error *e), void *userdata,
                   AuditRecord *rec, Error *e) {
        AuditJob job = {
                .change = change, .userdata = userdata, .records = rec, .n_records = 1, .e = e
        };
        int r;

        if (req->idempotency.key)
                once_keep(req, rec);
        r = audit_commit(req->service->audit, &job);
        if (r >= 0) {
                cache_bump(req->service->key_cache);
                cache_bump(req->service->principal_cache);
        }
        return r;
}
