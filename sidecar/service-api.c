/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/service-api.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "lib/http.h"
#include "lib/json.h"
#include "sidecar/clock.h"
#include "sidecar/token.h"

#define IDLE_MAX   (64 + 8) /* connections that are kept */
#define BODY_MAX   ((size_t) 256 * 1024)
#define USER_AGENT "csign-sidecar/" CSIGN_VERSION

/* When it took long to find out that the service is not reachable, those who wait are told the same
 * at once: each would find out in turn, after as long again. */
#define SLOW_FAILURE  USEC_PER_SEC
#define FAILURE_HOLDS USEC_PER_SEC

#define ATTEMPT_MIN (2 * USEC_PER_SEC) /* for one of several tries */
#define UNSENT_TRY  USEC_PER_SEC       /* for a request that nobody takes */

struct ServiceApi {
        const SidecarConfig *config;
        const Credential *credential;
        Token *token;

        pthread_mutex_t lock;
        HttpClient *idle[IDLE_MAX]; /* the last one used on top: few stay warm rather than many go
                                       cold */
        size_t n_idle;
        uint64_t down_until;
        Error down;
};

/* ---- connections ---- */

int service_api_new(ServiceApi **ret, const SidecarConfig *config, const Credential *credential,
                    Error *e) {
        _cleanup_(service_api_freep) ServiceApi *s = NULL;
        int r;

        assert(ret && config && credential);

        s = calloc(1, sizeof(*s));
        if (!s)
                return error_set(e, -ENOMEM, "out of memory");
        s->config = config;
        s->credential = credential;
        (void) pthread_mutex_init(&s->lock, NULL);
        r = token_new(&s->token, credential, config->client_id, config->service, e);
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}

void service_api_free(ServiceApi *s) {
        if (!s)
                return;
        for (size_t i = 0; i < s->n_idle; i++)
                http_client_free(s->idle[i]);
        token_free(s->token);
        (void) pthread_mutex_destroy(&s->lock);
        free(s);
}

static int client_take(ServiceApi *s, HttpClient **ret, Error *e) {
        HttpOptions options = {
                .base_url = s->config->service,
                .ca_file = s->config->service_ca,
                .client_key = s->credential->key,
                .client_cert = s->credential->cert,
                .user_agent = USER_AGENT,
        };
        HttpClient *c = NULL;

        (void) pthread_mutex_lock(&s->lock);
        if (s->n_idle > 0)
                c = s->idle[--s->n_idle];
        (void) pthread_mutex_unlock(&s->lock);
        if (!c)
                return http_client_new(ret, &options, e);
        *ret = c;
        return 0;
}

static void client_give(ServiceApi *s, HttpClient *c) {
        (void) pthread_mutex_lock(&s->lock);
        if (s->n_idle < IDLE_MAX)
                s->idle[s->n_idle++] = TAKE(c);
        (void) pthread_mutex_unlock(&s->lock);
        http_client_free(c);
}

static void sleep_usec(uint64_t usec) {
        const struct timespec ts = { .tv_sec = (time_t) (usec / USEC_PER_SEC),
                                     .tv_nsec = (long) (usec % USEC_PER_SEC) * 1000 };

        (void) nanosleep(&ts, NULL);
}

static uint64_t time_left(uint64_t deadline) {
        uint64_t now = now_usec();

        return deadline > now + 1000 ? deadline - now : 1000;
}

/* With a token, and with another one if the service does not take the first.  *sent becomes true
 * when the request may have reached the service. */
static int exchange(ServiceApi *s, HttpClient *http, HttpRequest *req, HttpResponse *ret,
                    bool *sent, Error *e) {
        uint64_t deadline = now_usec() + req->timeout_usec;
        char token[TOKEN_MAX];
        int r;

        for (int attempt = 0;; attempt++) {
                r = token_get(s->token, http, time_left(deadline), token, e);
                if (r < 0)
                        return r;
                req->bearer = token;
                req->timeout_usec = time_left(deadline);
                r = http_exchange(http, req, ret, e);
                *sent |= http_was_sent(http);
                if (r < 0 || ret->status != 401)
                        break;
                token_refused(s->token, token);
                if (attempt > 0)
                        break;
                http_response_done(ret);
        }
        erase(token, sizeof(token));
        return r < 0 ? r : http_response_error(ret, e);
}

static int check_down(ServiceApi *s, Error *e) {
        int r = 0;

        (void) pthread_mutex_lock(&s->lock);
        if (s->down_until > now_usec()) {
                r = s->down.code;
                *e = s->down;
        }
        (void) pthread_mutex_unlock(&s->lock);
        return r;
}

static void note_down(ServiceApi *s, const Error *e, uint64_t begin) {
        uint64_t now = now_usec();

        if (e->code != -CSIGN_E_SERVICE_UNAVAILABLE || now - begin < SLOW_FAILURE)
                return;
        (void) pthread_mutex_lock(&s->lock);
        s->down_until = now + FAILURE_HOLDS;
        s->down = *e;
        (void) pthread_mutex_unlock(&s->lock);
}

/* e is not NULL. */
static int call(ServiceApi *s, HttpRequest *req, HttpResponse *ret, bool *sent, Error *e) {
        HttpClient *http = NULL;
        int r;

        r = check_down(s, e);
        if (r >= 0)
                r = client_take(s, &http, e);
        if (r < 0)
                return r;
        r = exchange(s, http, req, ret, sent, e);
        client_give(s, http);
        return r;
}

static int get(ServiceApi *s, const char *path, const char *request_id, uint64_t timeout_usec,
               HttpResponse *ret, Error *e) {
        HttpRequest req = {
                .method = "GET",
                .path = path,
                .request_id = request_id,
                .timeout_usec = timeout_usec,
        };
        uint64_t begin = now_usec();
        bool sent = false;
        int r;

        r = call(s, &req, ret, &sent, e);
        if (r < 0)
                note_down(s, e, begin);
        return r;
}

int64_t service_token_expires(ServiceApi *s) {
        return token_expires(s->token);
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

/* ---- asking again ---- */

/* 50 ms, 200 ms, 800 ms, then each second: each time somewhere in the upper half, so that a crowd
 * that lost its answers together does not come back together. */
static uint64_t pause_before(unsigned attempt) {
        uint64_t longest = attempt < 3 ? (uint64_t) 50000 << (2 * attempt) : USEC_PER_SEC;
        uint32_t random;

        if (getrandom(&random, sizeof(random), 0) != (ssize_t) sizeof(random))
                random = 0;
        return longest / 2 + random % (longest / 2);
}

/* An answer that does not come may have been lost: half of the time is kept to ask again. */
static uint64_t time_for_one(uint64_t left) {
        if (left / 2 > ATTEMPT_MIN)
                return left / 2;
        return left < ATTEMPT_MIN ? left : ATTEMPT_MIN;
}

static bool is_lost(int r) {
        return r == -CSIGN_E_SERVICE_UNAVAILABLE || r == -CSIGN_E_TIMEOUT;
}

/* What became of a request whose answer was lost only the service knows; under the same idempotency
 * keys it is asked until it says so, or the time is over.  One that could not be sent is not worth
 * more than a moment, in which a service that restarts is back. */
static int call_until_answered(ServiceApi *s, HttpRequest *req, const atomic_bool *stop,
                               HttpResponse *ret, Error *e) {
        uint64_t begin = now_usec(), deadline = begin + req->timeout_usec, end, pause;
        bool sent = false, cut;
        int r;

        for (unsigned attempt = 0;; attempt++) {
                uint64_t left = time_left(deadline), limit = time_for_one(left), now = now_usec();

                req->timeout_usec = limit;
                r = call(s, req, ret, &sent, e);
                if (r >= 0)
                        return r;
                cut = limit < left && now_usec() - now >= limit; /* it did not fail: we gave up */
                end = sent || cut ? deadline : begin + UNSENT_TRY;
                if (end > deadline)
                        end = deadline;
                pause = pause_before(attempt);
                if (!is_lost(r) || atomic_load(stop) || now_usec() + pause >= end)
                        break;
                sleep_usec(pause);
                http_response_done(ret);
                *e = (Error){};
        }
        note_down(s, e, begin);
        return r;
}

int service_sign(ServiceApi *s, SignItem *const items[], size_t n, uint64_t timeout_usec,
                 const atomic_bool *stop, Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {};
        _cleanup_(buf_done) Buf body = BUF_MAX(BODY_MAX);
        JsonOut o = JSON_OUT(&body);
        HttpRequest req = {
                .method = "POST",
                .path = "/v1/signatures",
                .content_type = "application/json",
                .repeatable = true,
                .timeout_usec = timeout_usec,
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
        r = call_until_answered(s, &req, stop, &answer, e);
        if (r < 0)
                return r;
        return service_parse_signatures(answer.body.data, answer.body.len, items, n, e);
}

/* ---- signatures of whole messages ---- */

static int post_message(ServiceApi *s, const HttpRequest *req, const atomic_bool *stop,
                        HttpResponse *answer, uint64_t deadline, Error *e) {
        HttpRequest one = *req;

        one.timeout_usec = time_left(deadline);
        return call_until_answered(s, &one, stop, answer, e);
}

/* The service's HTTP server refuses a large body on its own, in no words of ours and before it was
 * read, also when it does not take our token.  Another question gets a better answer, or mends it.
 */
static int post_message_again(ServiceApi *s, const HttpRequest *req, const atomic_bool *stop,
                              HttpResponse *answer, uint64_t deadline, Error *e) {
        WhoAmI who;
        int r;

        *e = (Error){};
        http_response_done(answer);
        r = service_whoami(s, time_left(deadline), &who, e);
        if (r >= 0)
                r = post_message(s, req, stop, answer, deadline, e);
        if (r >= 0 || answer->status != 413 || r == -CSIGN_E_TOO_LARGE)
                return r;
        return error_set(e, -CSIGN_E_TOO_LARGE,
                         "the service does not take a message of %zu bytes: its limit is lower "
                         "(message-max), or it has too many large ones at the moment",
                         req->body_len);
}

static int exchange_message(ServiceApi *s, const HttpRequest *req, SignItem *item,
                            const atomic_bool *stop, uint64_t deadline, Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {};
        int r;

        r = post_message(s, req, stop, &answer, deadline, e);
        if (r < 0 && answer.status == 413 && r != -CSIGN_E_TOO_LARGE)
                r = post_message_again(s, req, stop, &answer, deadline, e);
        return r < 0 ? r : service_parse_signature(answer.body.data, answer.body.len, item, e);
}

int service_sign_message(ServiceApi *s, SignItem *item, uint64_t timeout_usec,
                         const atomic_bool *stop, Error *e) {
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
        return exchange_message(s, &req, item, stop, now_usec() + timeout_usec, e);
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
                    const char *request_id, uint64_t timeout_usec, Key **ret, Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {};
        _cleanup_(key_unrefp) Key *k = NULL;
        _cleanup_(buf_done) Buf url = {};
        int r;

        assert(s && ret && !path != !id);

        r = key_path(&url, path, id, version);
        if (r < 0)
                return error_set(e, r, "out of memory");
        r = get(s, buf_str(&url), request_id, timeout_usec, &answer, e);
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
                      const char *request_id, uint64_t timeout_usec, KeyList *ret, Error *e) {
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
        r = get(s, buf_str(&url), request_id, timeout_usec, &answer, e);
        if (r < 0)
                return r;
        return service_parse_key_list(answer.body.data, answer.body.len, ret, e);
}

/* ---- who we are ---- */

int service_whoami(ServiceApi *s, uint64_t timeout_usec, WhoAmI *ret, Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {};
        int r;

        r = get(s, "/v1/whoami", NULL, timeout_usec, &answer, e);
        return r < 0 ? r : service_parse_who(answer.body.data, answer.body.len, ret, e);
}
