/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/service-api.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http.h"
#include "lib/json.h"
#include "sidecar/clock.h"
#include "sidecar/token.h"

#define BODY_MAX ((size_t) 256 * 1024)

struct ServiceApi {
        Token *token;
        Way *way;
};

int service_api_new(ServiceApi **ret, const SidecarConfig *config, const Credential *credential,
                    Error *e) {
        _cleanup_(service_api_freep) ServiceApi *s = NULL;
        int r;

        assert(ret && config && credential);

        s = calloc(1, sizeof(*s));
        if (!s)
                return error_set(e, -ENOMEM, "out of memory");
        r = way_new(&s->way, config, credential, e);
        if (r >= 0)
                r = token_new(&s->token, credential, config->client_id, config->service, e);
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}

void service_api_free(ServiceApi *s) {
        if (!s)
                return;
        way_free(s->way);
        token_free(s->token);
        free(s);
}

/* ---- one request ---- */

static uint64_t time_left(uint64_t deadline) {
        uint64_t now = now_usec();

        return deadline > now + 1000 ? deadline - now : 1000;
}

/* With a token, and with another one if the service does not take the first. */
static int exchange(ServiceApi *s, Trip *t, HttpRequest *req, HttpResponse *ret, Error *e) {
        uint64_t deadline = now_usec() + t->timeout_usec;
        char token[TOKEN_MAX];
        int r;

        for (int attempt = 0;; attempt++) {
                r = token_get(s->token, t->http, time_left(deadline), token, e);
                if (r < 0)
                        break;
                req->bearer = token;
                req->timeout_usec = time_left(deadline);
                req->patience_usec = time_left(t->wish.deadline);
                r = http_exchange(t->http, req, ret, e);
                t->sent |= http_was_sent(t->http);
                if (r < 0)
                        break;
                token_note_date(s->token, ret->date);
                if (ret->status != 401)
                        break;
                token_refused(s->token, token);
                if (attempt > 0)
                        break;
                http_response_done(ret);
        }
        erase(token, sizeof(token));
        return r < 0 ? r : http_response_error(ret, e);
}

/* Until there is an answer, or no time.  e is not NULL. */
static int call(ServiceApi *s, HttpRequest *req, const Wish *wish, HttpResponse *ret, Error *e) {
        Trip trip = trip_begin(*wish);
        bool again = true;
        int r = 0;

        req->given_up = wish->given_up;
        req->given_up_data = wish->data;
        while (again) {
                r = way_take(s->way, &trip, e);
                if (r < 0)
                        break;
                http_response_done(ret);
                *e = (Error){};
                req->connect_timeout_usec = trip.connect_timeout_usec;
                r = exchange(s, &trip, req, ret, e);
                again = way_give(s->way, &trip, r, e);
        }
        return r;
}

static int get(ServiceApi *s, const char *path, const char *request_id, const Wish *wish,
               HttpResponse *ret, Error *e) {
        HttpRequest req = { .method = "GET", .path = path, .request_id = request_id };

        return call(s, &req, wish, ret, e);
}

const char *service_address(ServiceApi *s) {
        return way_address(s->way);
}

void service_token_facts(ServiceApi *s, TokenFacts *ret) {
        token_facts(s->token, ret);
}

/* ---- signatures ---- */

static void write_item(JsonOut *o, const SignItem *item) {
        const SignRequest *req = item->req;

        json_begin_object(o, NULL);
        json_out_str(o, "request_id", req->request_id);
        json_out_str(o, "idempotency_key", req->idempotency_key);
        json_out_str(o, "key", req->key_id);
        json_out_u64(o, "version", req->version);
        json_out_str(o, "scheme", scheme_name(req->scheme));
        json_out_str(o, "hash", req->hash->name);
        json_out_base64(o, "digest", req->digest, req->digest_len);
        if (req->scheme == SCHEME_RSA_PSS) {
                json_out_u64(o, "salt_length", req->salt_len);
                if (req->mgf1_hash)
                        json_out_str(o, "mgf1_hash", req->mgf1_hash->name);
        }
        json_out_raw(o, "caller", item->caller);
        json_end_object(o);
}

int service_sign(ServiceApi *s, SignItem *const items[], size_t n, const Wish *wish, Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {};
        _cleanup_(buf_done) Buf body = BUF_MAX(BODY_MAX);
        JsonOut o = JSON_OUT(&body);
        HttpRequest req = {
                .method = "POST",
                .path = "/v1/signatures",
                .content_type = "application/json",
                .repeatable = true,
        };
        int r;

        assert(s && n > 0 && n <= SIGN_BATCH_MAX);

        json_begin_object(&o, NULL);
        json_begin_array(&o, "requests");
        for (size_t i = 0; i < n; i++)
                write_item(&o, items[i]);
        json_end_array(&o);
        json_end_object(&o);
        if (o.r < 0)
                return error_set(e, o.r, "the request cannot be written");

        req.body = body.data;
        req.body_len = body.len;
        r = call(s, &req, wish, &answer, e);
        if (r < 0)
                return r;
        return service_parse_signatures(answer.body.data, answer.body.len, items, n, e);
}

/* ---- signatures of whole messages ---- */

static bool is_unread(int r, const Error *e) {
        return r == -CSIGN_E_TOO_LARGE && strcmp(e->rule, "body-unread") == 0;
}

/* The service refuses a large body before it was read, also when it does not take our token.
 * Another question gets a better answer, or mends it. */
static int post_message_again(ServiceApi *s, HttpRequest *req, const Wish *wish,
                              HttpResponse *answer, Error *e) {
        WhoAmI who;
        int r;

        *e = (Error){};
        http_response_done(answer);
        r = service_whoami(s, wish, &who, e);
        if (r >= 0)
                r = call(s, req, wish, answer, e);
        if (r >= 0 || !is_unread(r, e))
                return r;
        return error_set(e, -CSIGN_E_TOO_LARGE,
                         "the service does not take a message of %zu bytes: its limit is lower "
                         "(message-max), or it has too many large ones at the moment",
                         req->body_len);
}

static int exchange_message(ServiceApi *s, HttpRequest *req, SignItem *item, const Wish *wish,
                            Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {};
        Error why = {};
        int r;

        r = call(s, req, wish, &answer, &why);
        if (r < 0)
                *e = why;
        if (r < 0 && is_unread(r, &why))
                r = post_message_again(s, req, wish, &answer, e);
        return r < 0 ? r : service_parse_signature(answer.body.data, answer.body.len, item, e);
}

int service_sign_message(ServiceApi *s, SignItem *item, const Wish *wish, Error *e) {
        _cleanup_(buf_done) Buf path = {}, caller = {};
        const SignRequest *sign = item->req;
        HttpRequest req = {
                .method = "POST",
                .content_type = "application/octet-stream",
                .body = sign->digest,
                .body_len = sign->digest_len,
                .request_id = sign->request_id,
                .idempotency_key = sign->idempotency_key,
                .repeatable = true,
        };
        int r;

        r = buf_printf(&path, "/v1/keys/%s/messages?version=%u&scheme=%s", sign->key_id,
                       sign->version, scheme_name(sign->scheme));
        if (r >= 0)
                r = buf_append_base64(&caller, item->caller, strlen(item->caller));
        if (r < 0)
                return error_set(e, r, "out of memory");

        req.path = buf_str(&path);
        req.caller = buf_str(&caller);
        return exchange_message(s, &req, item, wish, e);
}

/* ---- keys ---- */

static int key_path(Buf *b, const char *path, const char *id, uint32_t version) {
        int r;

        if (id)
                return buf_printf(b, "/v1/keys/%s?version=%u", id, version);
        r = buf_append_str(b, "/v1/keys/resolve?path=");
        if (r >= 0)
                r = http_escape(b, path);
        return r < 0 ? r : buf_printf(b, "&version=%u", version);
}

int service_get_key(ServiceApi *s, const char *path, const char *id, uint32_t version,
                    const char *request_id, const Wish *wish, Key **ret, Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {};
        _cleanup_(key_unrefp) Key *k = NULL;
        _cleanup_(buf_done) Buf url = {};
        int r;

        assert(s && ret && !path != !id);

        r = key_path(&url, path, id, version);
        if (r < 0)
                return error_set(e, r, "out of memory");
        r = get(s, buf_str(&url), request_id, wish, &answer, e);
        if (r < 0)
                return r;
        r = service_parse_key(answer.body.data, answer.body.len, &k, e);
        if (r < 0)
                return r;
        if ((id && strcmp(k->id, id) != 0) || (path && strcmp(k->path, path) != 0) ||
            (version > 0 && k->version != version))
                return error_set(e, -CSIGN_E_BAD_ANSWER,
                                 "the service tells of another key than was asked for");
        *ret = TAKE(k);
        return 0;
}

int service_list_keys(ServiceApi *s, const char *prefix, const char *cursor, uint32_t limit,
                      const char *request_id, const Wish *wish, KeyList *ret, Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {};
        _cleanup_(buf_done) Buf url = {};
        int r;

        r = buf_printf(&url, "/v1/keys?limit=%u&prefix=", limit);
        if (r >= 0)
                r = http_escape(&url, prefix);
        if (r >= 0)
                r = buf_append_str(&url, "&cursor=");
        if (r >= 0)
                r = http_escape(&url, cursor);
        if (r < 0)
                return error_set(e, r, "out of memory");
        r = get(s, buf_str(&url), request_id, wish, &answer, e);
        if (r < 0)
                return r;
        return service_parse_key_list(answer.body.data, answer.body.len, ret, e);
}

/* ---- who we are ---- */

int service_whoami(ServiceApi *s, const Wish *wish, WhoAmI *ret, Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {}, keys = {};
        Error ignored = {};
        int r;

        r = get(s, "/v1/whoami", NULL, wish, &answer, e);
        if (r >= 0)
                r = service_parse_who(answer.body.data, answer.body.len, ret, e);
        if (r < 0)
                return r;

        /* A service that does not say when our key ends is good enough to sign with. */
        if (get(s, "/v1/whoami/keys", NULL, wish, &keys, &ignored) >= 0)
                service_parse_own_keys(keys.body.data, keys.body.len, ret);
        return 0;
}
