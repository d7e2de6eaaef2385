/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/token.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <openssl/ec.h>
#include <openssl/err.h>

#include "lib/id.h"
#include "lib/json.h"
#include "lib/ossl.h"
#include "sidecar/clock.h"

#define ASSERTION_SECONDS 120 /* the service takes at most 300 */
#define ASSERTION_MAX     (8 * 1024)
#define CLOCK_SLACK       30 /* seconds that two clocks may differ before we go by the service's */
#define REFRESH_RETRY     (10 * USEC_PER_SEC)

struct Token {
        const Credential *credential;
        const char *client_id, *issuer;

        pthread_mutex_t lock;
        pthread_cond_t changed;
        char value[TOKEN_MAX]; /* "" if there is none */
        uint64_t refresh_at, ends_at;
        int64_t ends_wall;
        int64_t clock_offset; /* seconds that the service's clock is ahead */
        bool fetching;
        unsigned rounds; /* fetches that have ended */
        int last_r;      /* how the last one ended */
        Error last_error;
};

/* ---- the assertion ---- */

/* JWS wants the two numbers side by side (RFC 7518 section 3.4), OpenSSL gives DER. */
static int ecdsa_to_jws(const uint8_t *der, size_t der_len, size_t size, uint8_t *out) {
        ECDSA_SIG *sig;
        bool ok;

        sig = d2i_ECDSA_SIG(NULL, &der, (long) der_len);
        ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int) size) == (int) size &&
             BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + size, (int) size) == (int) size;
        ECDSA_SIG_free(sig);
        return ok ? 0 : -EIO;
}

static int sign_text(const Credential *c, const void *text, size_t len, Buf *ret) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        uint8_t sig[1024], jws[2 * 48];
        size_t sig_len = sizeof(sig), size;

        if (!ctx)
                return -ENOMEM;
        if (EVP_DigestSignInit_ex(ctx, NULL, c->md, NULL, NULL, c->key, NULL) != 1 ||
            EVP_DigestSign(ctx, sig, &sig_len, text, len) != 1)
                return -EIO;
        if (!EVP_PKEY_is_a(c->key, "EC"))
                return buf_append_base64url(ret, sig, sig_len);

        size = (size_t) (EVP_PKEY_get_bits(c->key) + 7) / 8;
        if (size > sizeof(jws) / 2 || ecdsa_to_jws(sig, sig_len, size, jws) < 0)
                return -EIO;
        return buf_append_base64url(ret, jws, 2 * size);
}

static int append_part(Buf *b, Buf *json, int json_r) {
        int r;

        r = json_r < 0 ? json_r : buf_append_base64url(b, json->data, json->len);
        buf_clear(json);
        return r;
}

static int append_claims(Buf *b, const char *client_id, const char *audience, int64_t now) {
        JsonOut o = JSON_OUT(b);
        char jti[ID_MAX];
        int r;

        r = id_new(jti, "jti");
        if (r < 0)
                return r;
        json_begin_object(&o, NULL);
        json_out_str(&o, "iss", client_id);
        json_out_str(&o, "sub", client_id);
        json_out_str(&o, "aud", audience);
        json_out_i64(&o, "iat", now);
        json_out_i64(&o, "exp", now + ASSERTION_SECONDS);
        json_out_str(&o, "jti", jti);
        json_end_object(&o);
        return o.r;
}

static int assertion(const Credential *c, const char *client_id, const char *audience, int64_t now,
                     Buf *ret) {
        _cleanup_(buf_done) Buf json = BUF_MAX(ASSERTION_MAX);
        int r;

        r = append_part(ret, &json,
                        buf_printf(&json, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", c->jwt_alg));
        if (r >= 0)
                r = buf_append_str(ret, ".");
        if (r >= 0)
                r = append_part(ret, &json, append_claims(&json, client_id, audience, now));
        if (r < 0)
                return r;

        r = buf_append(&json, ret->data, ret->len);
        if (r >= 0)
                r = buf_append_str(ret, ".");
        return r < 0 ? r : sign_text(c, json.data, json.len, ret);
}

int token_assertion(const Credential *c, const char *client_id, const char *audience, int64_t now,
                    Buf *ret, Error *e) {
        _cleanup_(buf_done) Buf b = BUF_MAX(ASSERTION_MAX);
        int r;

        assert(c && client_id && audience && ret);

        ERR_set_mark();
        r = assertion(c, client_id, audience, now, &b);
        ERR_pop_to_mark();
        if (r < 0)
                return error_set(e, r, "the credential cannot sign an assertion");

        buf_done(ret);
        *ret = b;
        b = (Buf){};
        return 0;
}

/* ---- asking the service ---- */

typedef struct TokenAnswer {
        const char *access_token, *token_type;
        uint32_t expires_in;
} TokenAnswer;

static const JsonField answer_fields[] = {
        { "access_token", json_field_string, offsetof(TokenAnswer, access_token),
          JSON_REQUIRED | JSON_ANY_MORE },
        { "token_type", json_field_string, offsetof(TokenAnswer, token_type), JSON_REQUIRED },
        { "expires_in", json_field_u32, offsetof(TokenAnswer, expires_in), JSON_REQUIRED },
};

/* The value goes into a header line. */
static bool value_is_safe(const char *s) {
        size_t n =
                strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=");

        return n > 0 && n < TOKEN_MAX && !s[n];
}

int token_parse(const void *data, size_t len, char value[static TOKEN_MAX],
                uint32_t *ret_expires_in, Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        TokenAnswer a = {};
        Error why = {};

        if (json_parse(data, len, &root, &why) < 0 ||
            json_read(root, answer_fields, ELEMENTSOF(answer_fields), &a, &why) < 0)
                return error_set(e, -CSIGN_E_BAD_ANSWER, "the service's token: %s", why.detail);
        if (strcasecmp(a.token_type, "Bearer") != 0 || !value_is_safe(a.access_token) ||
            a.expires_in == 0)
                return error_set(e, -CSIGN_E_BAD_ANSWER, "the service's token cannot be used");

        snprintf(value, TOKEN_MAX, "%s", a.access_token);
        *ret_expires_in = a.expires_in;
        return 0;
}

static int ask(Token *t, HttpClient *http, uint64_t timeout_usec, int64_t now, HttpResponse *ret,
               Error *e) {
        _cleanup_(buf_done) Buf jwt = {}, body = BUF_MAX(2 * ASSERTION_MAX);
        HttpRequest req = {
                .method = "POST",
                .path = "/v1/oauth/token",
                .content_type = "application/x-www-form-urlencoded",
                .timeout_usec = timeout_usec,
        };
        int r;

        r = token_assertion(t->credential, t->client_id, t->issuer, now, &jwt, e);
        if (r < 0)
                return r;
        r = buf_printf(&body,
                       "grant_type=client_credentials&client_assertion_type="
                       "urn%%3Aietf%%3Aparams%%3Aoauth%%3Aclient-assertion-type%%3Ajwt-bearer"
                       "&client_id=%s&client_assertion=%s",
                       t->client_id, buf_str(&jwt));
        if (r < 0)
                return error_set(e, r, "the request for a token is too long");
        req.body = body.data;
        req.body_len = body.len;
        return http_exchange(http, &req, ret, e);
}

/* Seconds that the service's clock is ahead: 0 where that may be the answer's way alone. */
static int64_t offset_of(int64_t date, int64_t now) {
        int64_t ahead = date - now;

        return ahead <= CLOCK_SLACK && -ahead <= CLOCK_SLACK ? 0 : ahead;
}

/* Outside the lock.  A clock that is wrong on one side is the commonest reason for a refusal, so
 * the service's own clock gets a second try. */
static int fetch(Token *t, HttpClient *http, uint64_t timeout_usec, int64_t *offset,
                 char value[static TOKEN_MAX], uint32_t *ret_expires_in, Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {};
        uint64_t deadline = now_usec() + timeout_usec;
        int r;

        for (int attempt = 0;; attempt++) {
                int64_t now = time(NULL), was = *offset, change;
                uint64_t begin = now_usec();

                http_response_done(&answer);
                r = ask(t, http, begin < deadline ? deadline - begin : 1000, now + was, &answer, e);
                if (r < 0)
                        return r;
                if (answer.date > 0)
                        *offset = offset_of(answer.date, time(NULL));
                if (answer.status == 200)
                        return token_parse(answer.body.data, answer.body.len, value, ret_expires_in,
                                           e);
                change = *offset - was;
                if (attempt > 0 || answer.status >= 500 ||
                    (change <= CLOCK_SLACK && -change <= CLOCK_SLACK))
                        break;
        }
        r = http_response_error(&answer, e);
        return r < 0 ? r
                     : error_set(e, -CSIGN_E_BAD_ANSWER, "status %d is no token", answer.status);
}

/* ---- keeping it ---- */

int token_new(Token **ret, const Credential *credential, const char *client_id, const char *issuer,
              Error *e) {
        pthread_condattr_t attr;
        Token *t;

        assert(ret && credential && client_id && issuer);

        t = calloc(1, sizeof(*t));
        if (!t)
                return error_set(e, -ENOMEM, "out of memory");
        t->credential = credential;
        t->client_id = client_id;
        t->issuer = issuer;
        (void) pthread_mutex_init(&t->lock, NULL);
        (void) pthread_condattr_init(&attr);
        (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&t->changed, &attr);
        (void) pthread_condattr_destroy(&attr);
        *ret = t;
        return 0;
}

void token_free(Token *t) {
        if (!t)
                return;
        (void) pthread_mutex_destroy(&t->lock);
        (void) pthread_cond_destroy(&t->changed);
        erase(t->value, sizeof(t->value));
        free(t);
}

/* Sidecars that got their tokens together, when a service came back, do not renew them together. */
static uint64_t random_below(uint64_t n) {
        uint64_t random;

        if (getrandom(&random, sizeof(random), 0) != (ssize_t) sizeof(random))
                return 0;
        return random % n;
}

static void store(Token *t, const char *value, uint32_t expires_in, uint64_t asked_at) {
        uint64_t life = expires_in * USEC_PER_SEC;

        memcpy(t->value, value, TOKEN_MAX);
        t->refresh_at = asked_at + life / 2 + random_below(life / 6);
        t->ends_at = asked_at + life;
        t->ends_wall = time(NULL) + expires_in;
}

/* Called with the lock, which is let go while the service is asked. */
static int refresh(Token *t, HttpClient *http, uint64_t timeout_usec) {
        char value[TOKEN_MAX] = "";
        uint32_t expires_in = 0;
        uint64_t asked_at = now_usec();
        int64_t offset = t->clock_offset;
        Error e = {};
        int r;

        t->fetching = true;
        (void) pthread_mutex_unlock(&t->lock);
        r = fetch(t, http, timeout_usec, &offset, value, &expires_in, &e);
        (void) pthread_mutex_lock(&t->lock);

        t->fetching = false;
        t->rounds++;
        t->last_r = r;
        t->last_error = e;
        t->clock_offset = offset;
        if (r >= 0)
                store(t, value, expires_in, asked_at);
        else
                t->refresh_at =
                        now_usec() + REFRESH_RETRY; /* the old one, if any, is good for a while */
        (void) pthread_cond_broadcast(&t->changed);
        erase(value, sizeof(value));
        return r;
}

static bool is_good(const Token *t, uint64_t now) {
        return *t->value && now < t->ends_at;
}

/* With the lock.  false: it took too long. */
static bool wait_for_round(Token *t, unsigned round, uint64_t timeout_usec) {
        struct timespec until;

        (void) clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec +=
                (time_t) (timeout_usec / USEC_PER_SEC) + 1; /* its round ends first, if it can */
        while (t->rounds == round)
                if (pthread_cond_timedwait(&t->changed, &t->lock, &until) == ETIMEDOUT)
                        return t->rounds != round;
        return true;
}

/* With the lock.  Who finds the fetch of another under way shares its outcome, good or bad. */
static int ensure(Token *t, HttpClient *http, uint64_t timeout_usec, Error *e) {
        uint64_t now = now_usec();
        unsigned round = t->rounds;

        if (is_good(t, now) && (now < t->refresh_at || t->fetching))
                return 0;
        if (!t->fetching) {
                int r = refresh(t, http, timeout_usec);

                *e = t->last_error;
                return is_good(t, now_usec()) ? 0 : r;
        }
        if (!wait_for_round(t, round, timeout_usec))
                return error_set(e, -CSIGN_E_TIMEOUT, "the service gives no token in time");
        *e = t->last_error;
        return is_good(t, now_usec()) ? 0 : t->last_r;
}

int token_get(Token *t, HttpClient *http, uint64_t timeout_usec, char buf[static TOKEN_MAX],
              Error *e) {
        int r;

        assert(t && http && e);

        (void) pthread_mutex_lock(&t->lock);
        r = ensure(t, http, timeout_usec, e);
        if (r >= 0)
                memcpy(buf, t->value, TOKEN_MAX);
        (void) pthread_mutex_unlock(&t->lock);
        return r;
}

void token_refused(Token *t, const char *value) {
        (void) pthread_mutex_lock(&t->lock);
        if (strcmp(t->value, value) == 0)
                erase(t->value, sizeof(t->value));
        (void) pthread_mutex_unlock(&t->lock);
}

void token_note_date(Token *t, int64_t date) {
        if (date <= 0)
                return;
        (void) pthread_mutex_lock(&t->lock);
        t->clock_offset = offset_of(date, time(NULL));
        (void) pthread_mutex_unlock(&t->lock);
}

int64_t token_expires(Token *t) {
        int64_t wall;

        (void) pthread_mutex_lock(&t->lock);
        wall = is_good(t, now_usec()) ? t->ends_wall : 0;
        (void) pthread_mutex_unlock(&t->lock);
        return wall;
}
