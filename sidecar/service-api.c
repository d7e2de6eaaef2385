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
#define SPKI_MAX   4096
#define CERT_MAX   ((size_t) 16 * 1024)
#define LIST_MAX   200
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

/* A malformed answer is the service's fault, whatever code the parser of requests has for it. */
static int bad_answer(Error *e, const char *what, const Error *why) {
        return error_set(e, -CSIGN_E_BAD_ANSWER, "the service's %s: %s", what, why->detail);
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

typedef struct SignAnswer {
        const char *request_id;
        bool repeated;
        Buf *signature;
        const json_t *record, *problem;
} SignAnswer;

static int field_signature(const json_t *v, const char *name, void *target, Error *e) {
        return json_field_base64(v, name, *(Buf **) target, e);
}

static const JsonField sign_fields[] = {
        { "request_id", json_field_string, offsetof(SignAnswer, request_id), JSON_ANY_MORE },
        { "signature", field_signature, offsetof(SignAnswer, signature), 0 },
        { "record", json_field_object, offsetof(SignAnswer, record), 0 },
        { "repeated", json_field_bool, offsetof(SignAnswer, repeated), 0 },
        { "problem", json_field_object, offsetof(SignAnswer, problem), 0 },
};

static const JsonField record_fields[] = {
        { "number", json_field_u64, 0, JSON_REQUIRED | JSON_ANY_MORE },
};

/* A signature that stands under another's request id is not this item's: but one that was made when
 * the operation was asked for first has that request's. */
static bool is_for(const SignAnswer *a, const SignItem *item) {
        return a->request_id && (strcmp(a->request_id, item->req->request_id) == 0 ||
                                 (a->repeated && id_is_valid(a->request_id, "req")));
}

static int parse_item(const json_t *v, SignItem *item, Error *why) {
        SignAnswer a = { .signature = &item->sig };
        int r;

        item->sig.max = SIGNATURE_MAX;
        r = json_read(v, sign_fields, ELEMENTSOF(sign_fields), &a, why);
        if (r < 0)
                return r;
        if (a.problem) {
                item->r = http_problem_error(a.problem, &item->e);
                return 0;
        }
        if (!is_for(&a, item))
                return error_set(why, -CSIGN_E_BAD_ANSWER, "not the answer to request %s",
                                 item->req->request_id);
        if (item->sig.len == 0 || !a.record)
                return error_set(why, -CSIGN_E_BAD_ANSWER, "no signature, or no record of it");
        snprintf(item->request_id, sizeof(item->request_id), "%s", a.request_id);
        return json_read(a.record, record_fields, ELEMENTSOF(record_fields), &item->record, why);
}

static int parse_results(const json_t *results, SignItem *const items[], size_t n, Error *why) {
        if (!json_is_array(results) || json_array_size(results) != n)
                return error_set(why, -CSIGN_E_BAD_ANSWER, "not as many results as requests");

        for (size_t i = 0; i < n; i++) {
                Error item_why = {};

                items[i]->r = 0;
                if (parse_item(json_array_get(results, i), items[i], &item_why) < 0) {
                        buf_clear(&items[i]->sig);
                        items[i]->r = bad_answer(&items[i]->e, "signature", &item_why);
                }
        }
        return 0;
}

int service_parse_signatures(const void *data, size_t len, SignItem *const items[], size_t n,
                             Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        Error why = {};

        if (json_parse(data, len, &root, &why) < 0 ||
            parse_results(json_object_get(root, "results"), items, n, &why) < 0)
                return bad_answer(e, "signatures", &why);
        return 0;
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

int service_parse_signature(const void *data, size_t len, SignItem *item, Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        Error why = {};

        if (json_parse(data, len, &root, &why) < 0 || parse_item(root, item, &why) < 0)
                return bad_answer(e, "signature", &why);
        if (item->r < 0) {
                *e = item->e;
                return item->r;
        }
        return 0;
}

static int post_message(ServiceApi *s, const HttpRequest *req, const atomic_bool *stop,
                        HttpResponse *answer, uint64_t deadline, Error *e) {
        HttpRequest one = *req;

        one.timeout_usec = time_left(deadline);
        return call_until_answered(s, &one, stop, answer, e);
}

static bool is_unread(int r, const Error *e) {
        return r == -CSIGN_E_TOO_LARGE && strcmp(e->rule, "body-unread") == 0;
}

/* The service refuses a large body before it was read, also when it does not take our token.
 * Another question gets a better answer, or mends it. */
static int post_message_again(ServiceApi *s, const HttpRequest *req, const atomic_bool *stop,
                              HttpResponse *answer, uint64_t deadline, Error *e) {
        WhoAmI who;
        int r;

        *e = (Error){};
        http_response_done(answer);
        r = service_whoami(s, time_left(deadline), &who, e);
        if (r >= 0)
                r = post_message(s, req, stop, answer, deadline, e);
        if (r >= 0 || !is_unread(r, e))
                return r;
        return error_set(e, -CSIGN_E_TOO_LARGE,
                         "the service does not take a message of %zu bytes: its limit is lower "
                         "(message-max), or it has too many large ones at the moment",
                         req->body_len);
}

static int exchange_message(ServiceApi *s, const HttpRequest *req, SignItem *item,
                            const atomic_bool *stop, uint64_t deadline, Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {};
        Error why = {};
        int r;

        r = post_message(s, req, stop, &answer, deadline, &why);
        if (r < 0)
                *e = why;
        if (r < 0 && is_unread(r, &why))
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

typedef struct KeyAnswer {
        const char *id, *path, *algorithm, *state, *version_state;
        uint32_t version;
        Buf spki;
        const json_t *certificates;
} KeyAnswer;

static const JsonField key_fields[] = {
        { "id", json_field_string, offsetof(KeyAnswer, id), JSON_REQUIRED | JSON_ANY_MORE },
        { "path", json_field_string, offsetof(KeyAnswer, path), JSON_REQUIRED },
        { "algorithm", json_field_string, offsetof(KeyAnswer, algorithm), JSON_REQUIRED },
        { "state", json_field_string, offsetof(KeyAnswer, state), JSON_REQUIRED },
        { "version", json_field_u32, offsetof(KeyAnswer, version), JSON_REQUIRED },
        { "version_state", json_field_string, offsetof(KeyAnswer, version_state), 0 },
        { "public_key", json_field_base64, offsetof(KeyAnswer, spki), JSON_REQUIRED },
        { "certificates", json_field_array, offsetof(KeyAnswer, certificates), 0 },
};

static int read_certificates(Key *k, const json_t *list, Error *e) {
        json_t *v;
        size_t i;
        int r;

        json_array_foreach((json_t *) list, i, v) {
                if (i >= KEY_CERTIFICATES_MAX)
                        return error_set(e, -CSIGN_E_BAD_ANSWER, "more than %d certificates",
                                         KEY_CERTIFICATES_MAX);
                k->certificates[i].max = CERT_MAX;
                k->n_certificates = i + 1;
                r = json_field_base64(v, "certificates", &k->certificates[i], e);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Who asks for a version wants to know whether that one signs. */
static const char *state_of(const KeyAnswer *a) {
        return a->version_state && strcmp(a->state, "enabled") == 0 ? a->version_state : a->state;
}

static int fill_key(Key *k, const KeyAnswer *a, Error *e) {
        k->alg = key_alg_by_name(a->algorithm);
        if (!k->alg)
                return error_set(e, -CSIGN_E_BAD_ANSWER, "unknown algorithm '%.32s'", a->algorithm);
        if (!id_is_valid(a->id, "key") || !path_is_valid(a->path) ||
            strlen(a->path) >= sizeof(k->path) || strlen(state_of(a)) >= sizeof(k->state) ||
            a->version == 0)
                return error_set(e, -CSIGN_E_BAD_ANSWER, "id, path, state or version is malformed");
        snprintf(k->id, sizeof(k->id), "%s", a->id);
        snprintf(k->path, sizeof(k->path), "%s", a->path);
        snprintf(k->state, sizeof(k->state), "%s", state_of(a));
        k->version = a->version;
        return 0;
}

static int read_key(const json_t *v, Key **ret, Error *e) {
        _cleanup_(key_unrefp) Key *k = key_new();
        KeyAnswer a = { .spki = BUF_MAX(SPKI_MAX) };
        int r;

        if (!k)
                return error_set(e, -ENOMEM, "out of memory");
        r = json_read(v, key_fields, ELEMENTSOF(key_fields), &a, e);
        k->spki = a.spki;
        if (r >= 0)
                r = fill_key(k, &a, e);
        if (r >= 0 && a.certificates)
                r = read_certificates(k, a.certificates, e);
        if (r < 0)
                return r;
        *ret = TAKE(k);
        return 0;
}

int service_parse_key(const void *data, size_t len, Key **ret, Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        Error why = {};

        if (json_parse(data, len, &root, &why) < 0 || read_key(root, ret, &why) < 0)
                return bad_answer(e, "key", &why);
        return 0;
}

void key_list_done(KeyList *l) {
        for (size_t i = 0; i < l->n; i++)
                key_unref(l->keys[i]);
        free(l->keys);
        *l = (KeyList){};
}

typedef struct ListAnswer {
        const json_t *keys;
        const char *next_cursor;
} ListAnswer;

static const JsonField list_fields[] = {
        { "keys", json_field_array, offsetof(ListAnswer, keys), JSON_REQUIRED | JSON_ANY_MORE },
        { "next_cursor", json_field_string, offsetof(ListAnswer, next_cursor), 0 },
};

static int read_list(const json_t *root, KeyList *l, Error *e) {
        ListAnswer a = { .next_cursor = "" };
        int r;

        r = json_read(root, list_fields, ELEMENTSOF(list_fields), &a, e);
        if (r < 0)
                return r;
        if (json_array_size(a.keys) > LIST_MAX || strlen(a.next_cursor) >= sizeof(l->next_cursor))
                return error_set(e, -CSIGN_E_BAD_ANSWER, "the list is too long");
        snprintf(l->next_cursor, sizeof(l->next_cursor), "%s", a.next_cursor);

        l->keys = calloc(json_array_size(a.keys) + 1, sizeof(Key *));
        if (!l->keys)
                return error_set(e, -ENOMEM, "out of memory");
        for (size_t i = 0; i < json_array_size(a.keys); i++) {
                r = read_key(json_array_get(a.keys, i), &l->keys[i], e);
                if (r < 0)
                        return r;
                l->n++;
        }
        return 0;
}

int service_parse_key_list(const void *data, size_t len, KeyList *ret, Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(key_list_done) KeyList l = {};
        Error why = {};

        if (json_parse(data, len, &root, &why) < 0 || read_list(root, &l, &why) < 0)
                return bad_answer(e, "list of keys", &why);
        *ret = l;
        l = (KeyList){};
        return 0;
}

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

typedef struct WhoAnswer {
        const json_t *principal, *tsg;
} WhoAnswer;

static const JsonField who_fields[] = {
        { "principal", json_field_object, offsetof(WhoAnswer, principal),
          JSON_REQUIRED | JSON_ANY_MORE },
        { "tsg", json_field_object, offsetof(WhoAnswer, tsg), JSON_REQUIRED },
};

static const JsonField name_field[] = {
        { "name", json_field_string, 0, JSON_REQUIRED | JSON_ANY_MORE },
};

static const JsonField path_field[] = {
        { "path", json_field_string, 0, JSON_REQUIRED | JSON_ANY_MORE },
};

int service_whoami(ServiceApi *s, uint64_t timeout_usec, WhoAmI *ret, Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {};
        _cleanup_(json_decrefp) json_t *root = NULL;
        const char *name = "", *path = "";
        WhoAnswer a = {};
        Error why = {};
        int r;

        r = get(s, "/v1/whoami", NULL, timeout_usec, &answer, e);
        if (r < 0)
                return r;
        if (json_parse(answer.body.data, answer.body.len, &root, &why) < 0 ||
            json_read(root, who_fields, ELEMENTSOF(who_fields), &a, &why) < 0 ||
            json_read(a.principal, name_field, 1, &name, &why) < 0 ||
            json_read(a.tsg, path_field, 1, &path, &why) < 0)
                return bad_answer(e, "word on who we are", &why);
        snprintf(ret->name, sizeof(ret->name), "%s", name);
        snprintf(ret->scope, sizeof(ret->scope), "%s", path);
        return 0;
}
