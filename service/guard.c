/* SPDX-License-Identifier: Apache-2.0 */

#include "service/guard.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/ssl.h>

#include "service/problem.h"
#include "service/request.h"

#define LINGER_USEC 2000000 /* that a refused client may still send */

static void set_timer(Guard *g, uint64_t usec) {
        struct timeval tv = { .tv_sec = (time_t) (usec / 1000000),
                              .tv_usec = (suseconds_t) (usec % 1000000) };

        (void) event_add(g->timer, &tv);
}

/* ---- refusing ---- */

static struct evhttp_connection *evhttp_of(const Guard *g) {
        struct evhttp_connection *http = g->refused;

        if (!http)
                bufferevent_getcb(g->bev, NULL, NULL, NULL, (void **) &http);
        return http;
}

/* Frees the guard, too, when the SSL object goes. */
static void drop(Guard *g) {
        struct evhttp_connection *http = evhttp_of(g);

        (void) event_del(g->timer);
        bufferevent_setcb(g->bev, NULL, NULL, NULL, NULL);
        evhttp_connection_free(http);
}

static void on_discard(struct bufferevent *bev, void *arg) {
        struct evbuffer *in = bufferevent_get_input(bev);

        evbuffer_drain(in, evbuffer_get_length(in));
}

/* The answer is out: the client reads it, and then an end. */
static void on_answered(struct bufferevent *bev, void *arg) {
        Guard *g = arg;

        (void) SSL_shutdown(bufferevent_openssl_get_ssl(bev));
        (void) shutdown(bufferevent_getfd(bev), SHUT_WR);
        set_timer(g, LINGER_USEC);
}

static void on_gone(struct bufferevent *bev, short what, void *arg) {
        drop(arg);
}

static int write_answer(Guard *g, const Error *e) {
        struct evbuffer *out = bufferevent_get_output(g->bev);
        Request req;
        int r;

        r = request_init(&req, g->service);
        if (r < 0)
                return r;
        req.error = *e;
        problem_reply(&req);
        r = evbuffer_add_printf(out,
                                "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                                "X-Request-Id: %s\r\nCache-Control: no-store\r\n"
                                "Connection: close\r\n\r\n",
                                req.status, req.status == 408 ? "Request Timeout" : "Refused",
                                req.reply_type, req.reply.len, req.request_id);
        if (r >= 0)
                r = evbuffer_add(out, req.reply.data, req.reply.len);
        request_done(&req);
        return r;
}

static void refuse(Guard *g, const Error *e) {
        g->refused = evhttp_of(g);
        bufferevent_setcb(g->bev, on_discard, on_answered, on_gone, g);
        (void) bufferevent_enable(g->bev, EV_READ | EV_WRITE);
        set_timer(g, LINGER_USEC);
        if (write_answer(g, e) < 0)
                set_timer(g, 0);
}

/* ---- time ---- */

/* In the loop's next turn: when evhttp asks for a bufferevent, it has not told it the socket. */
static bool place(Guard *g) {
        struct sockaddr_storage a;
        socklen_t len = sizeof(a);
        char address[sizeof(g->address)];

        if (getpeername(bufferevent_getfd(g->bev), (struct sockaddr *) &a, &len) < 0 ||
            getnameinfo((struct sockaddr *) &a, len, address, sizeof(address), NULL, 0,
                        NI_NUMERICHOST) != 0 ||
            !rates_connect(g->service->rates, address))
                return false;
        snprintf(g->address, sizeof(g->address), "%s", address);
        return true;
}

static void on_timer(evutil_socket_t fd, short events, void *arg) {
        Guard *g = arg;
        Error e = {};

        if (!evhttp_of(g))
                return; /* evhttp let go of it: it ends in the loop's next turn */
        if (!g->address[0] && place(g)) {
                set_timer(g, g->service->config.head_timeout_usec);
                return;
        }
        if (!g->address[0] || g->refused || g->head.state == HEAD_IDLE) {
                drop(g);
                return;
        }
        error_set_rule(&e, -ETIME, "http", "the request's %s did not arrive in time",
                       g->head.state == HEAD_BODY ? "body" : "head");
        refuse(g, &e);
}

/* A request that came in one piece needs no timer. */
static void watch(Guard *g, HeadState before) {
        const Config *c = &g->service->config;
        HeadState now = g->head.state;

        if (now == before)
                return;
        if (now == HEAD_LINE && before == HEAD_IDLE)
                set_timer(g, c->head_timeout_usec);
        else if (now == HEAD_BODY)
                set_timer(g, c->body_timeout_usec);
        else if (now == HEAD_WHOLE && event_pending(g->timer, EV_TIMEOUT, NULL))
                (void) event_del(g->timer);
}

/* ---- what comes ---- */

/* The n last bytes of what waits. */
static int feed(Guard *g, struct evbuffer *in, size_t n, size_t body_max, Error *e) {
        struct evbuffer_iovec pieces[16];
        struct evbuffer_ptr at;
        int r = 0, k;

        while (n > 0 && r >= 0) {
                size_t fed = 0;

                if (evbuffer_ptr_set(in, &at, evbuffer_get_length(in) - n, EVBUFFER_PTR_SET) < 0)
                        return -EIO;
                k = evbuffer_peek(in, (ev_ssize_t) n, &at, pieces, ELEMENTSOF(pieces));
                for (int i = 0; i < k && i < (int) ELEMENTSOF(pieces) && fed < n && r >= 0; i++) {
                        size_t len = pieces[i].iov_len < n - fed ? pieces[i].iov_len : n - fed;

                        r = head_check_feed(&g->head, pieces[i].iov_base, len, body_max, e);
                        fed += len;
                }
                if (fed == 0)
                        return -EIO;
                n -= fed;
        }
        return r;
}

void guard_input(Guard *g, struct evbuffer *in, size_t n_new, size_t body_max) {
        HeadState before = g->head.state;
        Error e = {};
        int r;

        if (g->refused)
                return;
        if (g->busy) {
                g->head.excess = true;
                return;
        }
        r = feed(g, in, n_new, body_max, &e);
        if (r >= 0) {
                watch(g, before);
                return;
        }
        if (e.code != r)
                error_set(&e, r, "the request cannot be read: %s", strerror(-r));
        refuse(g, &e);
}

void guard_begin(Guard *g) {
        g->busy = true;
}

bool guard_has_excess(const Guard *g) {
        return g->head.excess;
}

bool guard_end(Guard *g) {
        bool excess = g->head.excess;

        g->busy = false;
        head_check_reset(&g->head);
        return !excess;
}

/* ---- life ---- */

int guard_init(Guard *g, Service *s, struct bufferevent *bev, struct event_base *base) {
        *g = (Guard){ .service = s, .bev = bev };
        g->timer = evtimer_new(base, on_timer, g);
        if (!g->timer)
                return -ENOMEM;
        set_timer(g, 0);
        return 0;
}

void guard_done(Guard *g) {
        head_check_done(&g->head);
        if (g->address[0])
                rates_disconnect(g->service->rates, g->address);
        if (g->timer)
                event_free(g->timer);
}
