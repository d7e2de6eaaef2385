/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/way.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "sidecar/clock.h"
#include "sidecar/gate.h"

#define IDLE_MAX   (64 + 8) /* connections that are kept, for each address */
#define USER_AGENT "csign-sidecar/" CSIGN_VERSION

#define PAUSE_MAX       (8 * USEC_PER_SEC)
#define RETRY_AFTER_MAX ((uint64_t) 300)    /* seconds: a slip of somebody's must not end signing */
#define ATTEMPT_MIN     (2 * USEC_PER_SEC)  /* for one of several tries */
#define UNSENT_TRY      USEC_PER_SEC        /* for a request that nobody takes */
#define LAST_TRY        (USEC_PER_SEC / 10) /* less is not worth another */
#define LOOK_UP         (USEC_PER_SEC / 4)  /* while waiting: is the caller still there? */

/* To find out whether an address is well again costs who tries less than it may cost to be served.
 */
#define PROBE_CONNECT USEC_PER_SEC
#define PROBE         (2 * USEC_PER_SEC)

struct Address {
        const char *url;
        Gate gate;
        HttpClient *idle[IDLE_MAX]; /* the last one used on top: few stay warm rather than many go
                                       cold */
        size_t n_idle;
};

struct Way {
        const SidecarConfig *config;
        const Credential *credential;
        uint64_t longest_pause;

        pthread_mutex_t lock;
        pthread_cond_t changed;
        Gate limit; /* the service wants all of us to be slower, whichever address we take */
        Address addresses[SERVICES_MAX];
        size_t n;
};

/* ---- life ---- */

int way_new(Way **ret, const SidecarConfig *config, const Credential *credential, Error *e) {
        pthread_condattr_t attr;
        Way *w;

        assert(ret && config && config->services.n > 0 && credential);

        w = calloc(1, sizeof(*w));
        if (!w)
                return error_set(e, -ENOMEM, "out of memory");
        w->config = config;
        w->credential = credential;
        /* Every call shall have its try: its time is longer than the pause before it. */
        w->longest_pause =
                config->timeout_usec / 2 < PAUSE_MAX ? config->timeout_usec / 2 : PAUSE_MAX;
        w->n = config->services.n;
        for (size_t i = 0; i < w->n; i++)
                w->addresses[i].url = config->services.urls[i];
        (void) pthread_mutex_init(&w->lock, NULL);
        (void) pthread_condattr_init(&attr);
        (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&w->changed, &attr);
        (void) pthread_condattr_destroy(&attr);
        *ret = w;
        return 0;
}

static void free_all(HttpClient *clients[], size_t n) {
        for (size_t i = 0; i < n; i++)
                http_client_free(clients[i]);
}

void way_free(Way *w) {
        if (!w)
                return;
        for (size_t i = 0; i < w->n; i++)
                free_all(w->addresses[i].idle, w->addresses[i].n_idle);
        (void) pthread_cond_destroy(&w->changed);
        (void) pthread_mutex_destroy(&w->lock);
        free(w);
}

/* ---- which address, and when ---- */

Trip trip_begin(Wish wish) {
        return (Trip){ .wish = wish, .end = wish.deadline };
}

/* With the lock.  NULL: *ret_gate is the first that one may enter again. */
static Address *choose(Way *w, uint64_t now, const Gate **ret_gate) {
        *ret_gate = &w->limit;
        if (!gate_may_enter(&w->limit, now))
                return NULL;
        *ret_gate = NULL;
        for (size_t i = 0; i < w->n; i++) {
                const Gate *g = &w->addresses[i].gate;

                if (gate_may_enter(g, now))
                        return &w->addresses[i];
                if (!*ret_gate || g->next < (*ret_gate)->next)
                        *ret_gate = g;
        }
        return NULL;
}

static bool another_is_open(const Way *w, const Address *but) {
        for (size_t i = 0; i < w->n; i++)
                if (&w->addresses[i] != but && gate_is_open(&w->addresses[i].gate))
                        return true;
        return false;
}

static bool has_given_up(const Trip *t) {
        return (t->wish.stop && atomic_load(t->wish.stop)) ||
               (t->wish.given_up && t->wish.given_up(t->wish.data));
}

static uint64_t earlier(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

/* With the lock, which is let go meanwhile. */
static void wait_for_change(Way *w, uint64_t until, uint64_t now) {
        uint64_t pause = until - now < LOOK_UP ? until - now : LOOK_UP, then;
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        then = (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000 + pause;
        ts.tv_sec = (time_t) (then / USEC_PER_SEC);
        ts.tv_nsec = (long) (then % USEC_PER_SEC) * 1000;
        (void) pthread_cond_timedwait(&w->changed, &w->lock, &ts);
}

/* With the lock.  What another has found out since the caller came counts as if we had tried: or
 * each of those who queue would find out in turn, after as long again.  For a time that the service
 * named one waits. */
static int wait_turn(Way *w, Trip *t, Address **ret, Error *e) {
        const Gate *gate;

        for (;;) {
                uint64_t now = now_usec();

                *ret = choose(w, now, &gate);
                if (*ret && now + (t->failed ? LAST_TRY : 0) < t->wish.deadline)
                        return 0;
                if (gate && !gate->told && gate->failed_at >= t->wish.since && !t->failed)
                        t->end = earlier(t->end, t->wish.since + UNSENT_TRY);
                if (*ret || gate->next >= t->end || now >= t->end || has_given_up(t))
                        break;
                wait_for_change(w, earlier(gate_time(gate), t->end), now);
        }
        if (t->failed)
                return e->code;
        if (*ret)
                return error_set(e, -CSIGN_E_TIMEOUT, "there was no time left to ask the service");
        *e = gate->why;
        *e->request_id = 0; /* it was another request's */
        return e->code;
}

/* An answer that does not come may have been lost: half of the time is kept to ask again. */
static uint64_t time_for_one(uint64_t left) {
        if (left / 2 > ATTEMPT_MIN)
                return left / 2;
        return earlier(left, ATTEMPT_MIN);
}

/* With the lock. */
static void enter(Way *w, Trip *t, Address *a) {
        bool probe = !gate_is_open(&a->gate) && another_is_open(w, a);

        t->began = now_usec();
        gate_enter(&w->limit, t->began);
        gate_enter(&a->gate, t->began);
        t->address = a;
        t->timeout_usec = time_for_one(
                t->wish.deadline > t->began + 1000 ? t->wish.deadline - t->began : 1000);
        t->connect_timeout_usec = probe ? PROBE_CONNECT : 0;
        if (probe)
                t->timeout_usec = earlier(t->timeout_usec, PROBE);
        t->http = a->n_idle > 0 ? a->idle[--a->n_idle] : NULL;
}

static int connect_to(const Way *w, const Address *a, HttpClient **ret, Error *e) {
        HttpOptions options = {
                .base_url = a->url,
                .ca_file = w->config->service_ca,
                .pins = w->config->service_pin,
                .proxy = w->config->proxy,
                .proxy_of_environment = w->config->proxy_of_environment,
                .client_key = w->credential->key,
                .client_cert = w->credential->cert,
                .user_agent = USER_AGENT,
        };

        return http_client_new(ret, &options, e);
}

int way_take(Way *w, Trip *t, Error *e) {
        Address *a;
        int r;

        assert(w && t && e);

        (void) pthread_mutex_lock(&w->lock);
        r = wait_turn(w, t, &a, e);
        if (r >= 0)
                enter(w, t, a);
        (void) pthread_mutex_unlock(&w->lock);
        if (r >= 0 && !t->http)
                r = connect_to(w, a, &t->http, e);
        return r;
}

/* ---- what came of it ---- */

typedef enum Verdict {
        WELL,    /* the service answered, whatever it said */
        UNWELL,  /* that address: asked again there or elsewhere */
        SICK,    /* that address cannot do it; waiting for it would not help */
        LIMITED, /* all of us shall be slower */
        UNKNOWN, /* trouble of our own, or nobody waited for the end */
} Verdict;

static Verdict verdict_of(const Way *w, int r) {
        switch (r) {
        case -CSIGN_E_SERVICE_UNAVAILABLE:
        case -CSIGN_E_TIMEOUT:
                return UNWELL;
        case -CSIGN_E_RATE_LIMITED:
                return LIMITED;
        case -CSIGN_E_BAD_ANSWER:
        case -CSIGN_E_KEYSTORE_UNAVAILABLE:
        case -CSIGN_E_AUDIT_UNAVAILABLE:
                return w->n > 1 ? SICK : WELL;
        default:
                return r > -CSIGN_E_BEGIN_ && r < 0 ? UNKNOWN : WELL;
        }
}

static uint64_t random_number(void) {
        uint64_t n;

        if (getrandom(&n, sizeof(n), 0) != (ssize_t) sizeof(n))
                n = now_usec();
        return n;
}

/* With the lock. */
static void shut(Way *w, Gate *g, const Trip *t, const Error *why) {
        GateFailure f = {
                .began = t->began,
                .now = now_usec(),
                .at_least = earlier(http_retry_after(t->http), RETRY_AFTER_MAX) * USEC_PER_SEC,
                .longest = w->longest_pause,
                .random = random_number(),
        };

        gate_failed(g, &f, why);
}

/* Until when a trip goes on after a failure.  What was sent may have been acted on: it is worth all
 * of the time to get the answer.  And who gave up on an address has not heard a no. */
static uint64_t end_of(const Trip *t, Verdict v) {
        bool cut = now_usec() - t->began >= t->timeout_usec;

        if (v == SICK)
                return 0;
        if (v == LIMITED || t->sent || cut)
                return t->wish.deadline;
        return earlier(t->wish.deadline, t->wish.since + UNSENT_TRY);
}

/* With the lock.  Connections to an address that is not well are not worth keeping: *ret_n of them
 * are to be freed. */
static void note(Way *w, const Trip *t, Verdict v, const Error *e,
                 HttpClient *drop[static IDLE_MAX], size_t *ret_n) {
        Address *a = t->address;

        if (v == WELL || v == LIMITED)
                gate_succeeded(&a->gate, t->began);
        if (v == WELL || v == SICK || v == UNWELL)
                gate_succeeded(&w->limit, t->began);
        if (v == LIMITED)
                shut(w, &w->limit, t, e);
        if (v == UNKNOWN) {
                gate_left(&a->gate);
                gate_left(&w->limit);
        }
        if (v != SICK && v != UNWELL)
                return;
        shut(w, &a->gate, t, e);
        memcpy(drop, a->idle, a->n_idle * sizeof(*drop));
        *ret_n = a->n_idle;
        a->n_idle = 0;
}

bool way_give(Way *w, Trip *t, int r, const Error *e) {
        HttpClient *drop[IDLE_MAX];
        Verdict v = verdict_of(w, r);
        size_t n_drop = 0;

        (void) pthread_mutex_lock(&w->lock);
        note(w, t, v, e, drop, &n_drop);
        if ((v == WELL || v == LIMITED) && t->address->n_idle < IDLE_MAX)
                t->address->idle[t->address->n_idle++] = TAKE(t->http);
        (void) pthread_cond_broadcast(&w->changed);
        (void) pthread_mutex_unlock(&w->lock);

        free_all(drop, n_drop);
        http_client_free(TAKE(t->http));
        if (v == WELL || v == UNKNOWN)
                return false;
        t->failed = true;
        t->end = end_of(t, v);
        return !has_given_up(t);
}

const char *way_address(Way *w) {
        const char *url = w->addresses[0].url;

        (void) pthread_mutex_lock(&w->lock);
        for (size_t i = 0; i < w->n; i++)
                if (gate_is_open(&w->addresses[i].gate)) {
                        url = w->addresses[i].url;
                        break;
                }
        (void) pthread_mutex_unlock(&w->lock);
        return url;
}
