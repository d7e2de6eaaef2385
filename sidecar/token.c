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

#include "sidecar/clock.h"

#define CLOCK_SLACK   30 /* seconds that two clocks may differ before we go by the service's */
#define REFRESH_RETRY (10 * USEC_PER_SEC)

struct Token {
        const Credential *credential;
        const char *client_id, *issuer;

        pthread_mutex_t lock;
        pthread_cond_t changed;
        char value[TOKEN_MAX]; /* "" if there is none */
        uint64_t asked_at, refresh_at, ends_at;
        int64_t ends_wall;
        int64_t clock_offset; /* seconds that the service's clock is ahead */
        bool fetching;
        unsigned rounds; /* fetches that have ended */
        int last_r;      /* how the last one ended */
        Error last_error;
};

/* ---- asking the service ---- */

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
                r = token_request(http, t->credential, t->client_id, t->issuer, now + was,
                                  begin < deadline ? deadline - begin : 1000, &answer, e);
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
        t->asked_at = asked_at;
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

void token_facts(Token *t, TokenFacts *ret) {
        uint64_t now = now_usec();

        (void) pthread_mutex_lock(&t->lock);
        *ret = (TokenFacts){ .clock_offset = t->clock_offset, .age = -1 };
        if (is_good(t, now)) {
                ret->expires = t->ends_wall;
                ret->age = (int64_t) ((now - t->asked_at) / USEC_PER_SEC);
        }
        (void) pthread_mutex_unlock(&t->lock);
}
