/* SPDX-License-Identifier: Apache-2.0 */
/* The event loops: connections in, requests to workers, replies out.
 *
 * A request lives in two halves: the loop's (Exchange, with evhttp's request) and the worker's
 * (Request, inside it).  Only the loop's thread touches evhttp.  A client may go away while the
 * worker runs: then the exchange loses its evhttp request and ends quietly when the worker is done.
 */

#include "service/server.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "lib/log.h"
#include "lib/supervisor.h"
#include "lib/worker.h"
#include "service/clock.h"
#include "service/guard.h"
#include "service/listen.h"
#include "service/metrics.h"
#include "service/problem.h"
#include "service/reply.h"
#include "service/revision.h"
#include "service/server-request.h"
#include "service/tls.h"

#define BODY_READ_MAX                                                                              \
        (512 * 1024)   /* above it the guard answers 413; routes have limits of their own */
#define LARGE_MAX    8 /* bodies above it that are in memory at once */
#define QUEUE_MAX    4096
#define STOP_SECONDS 10

typedef struct Loop Loop;

typedef struct Server {
        Service *service;
        SSL_CTX *tls;
        WorkerPool *workers;
        int listen_fd;
        unsigned n_loops;
        Loop *loops;
        atomic_int large_left; /* of LARGE_MAX */
        atomic_uint beats;     /* loops that have answered the watchdog */
} Server;

struct Loop {
        Server *server;
        struct event_base *base;
        struct evhttp *http;
        struct evconnlistener *listener; /* evhttp owns it */
        DoneQueue *done;
        struct event *done_event;
        pthread_t thread;
        size_t connections, exchanges;
        bool stopping;
        Done stop, beat;
};

/* Lives as long as its SSL object. */
typedef struct Connection {
        Loop *loop;
        struct bufferevent *bev;
        Guard guard;
        bool large; /* holds one of large_left */
} Connection;

typedef struct Exchange {
        Request request;
        Loop *loop;
        bool large;                  /* as in Connection, from which it comes with the body */
        struct evhttp_request *http; /* NULL: the client is gone */
        bool sent;                   /* the reply is evhttp's; only its end is awaited */
        Done done;
} Exchange;

static int connection_index; /* of the Connection in an SSL object's ex_data */

/* ---- connections ---- */

static size_t connections_max(const Loop *l) {
        return l->server->service->config.connections_max / l->server->n_loops + 1;
}

static void large_give(Server *s, bool *held) {
        if (*held)
                atomic_fetch_add(&s->large_left, 1);
        *held = false;
}

/* evhttp tells nobody that a connection ended; its SSL object does. */
static void connection_freed(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl,
                             void *argp) {
        Connection *c = ptr;
        Loop *l;

        if (!c)
                return;
        l = c->loop;
        large_give(l->server, &c->large);
        guard_done(&c->guard);
        free(c);
        l->connections--;
        if (l->listener && !l->stopping && l->connections < connections_max(l))
                evconnlistener_enable(l->listener);
}

/* ---- large bodies ----
 *
 * evhttp reads a whole body before it asks anybody, up to one limit for all.  So that limit is
 * small, and raised for a connection on which a message to be signed begins, if it brings a good
 * token and few others have one.  A client that got no larger limit for its token learns that with
 * its next request. */

/* Cuts the text behind the value of a header off, and returns the value. */
static char *header_value(char *head, const char *name) {
        char *value = strcasestr(head, name);

        if (!value)
                return NULL;
        value += strlen(name);
        value += strspn(value, " ");
        value[strcspn(value, "\r\n")] = '\0';
        return value;
}

static bool is_authentic(const Connection *c, char *head) {
        Authn *authn = &c->loop->server->service->authn;
        SSL *ssl = bufferevent_openssl_get_ssl(c->bev);
        uint8_t client_key[SHA256_SIZE];
        Principal *principal = NULL;
        Bearer bearer = {};
        Error e = {};
        bool good;

        bearer_parse(header_value(head, "\r\nAuthorization:"), &bearer);
        good = authn_principal(authn, &bearer, tls_client_key(ssl, client_key) ? client_key : NULL,
                               &principal, &e) >= 0;
        principal_unref(principal);
        return good;
}

static bool begins_message(const Connection *c, struct evbuffer *in) {
        static const char begin[] = "POST /v1/keys/";
        char head[8192]; /* our sidecar's has less, in one piece */
        ssize_t n = evbuffer_copyout(in, head, sizeof(begin) - 1);
        size_t line;
        bool is;

        if (n < (ssize_t) sizeof(begin) - 1 || memcmp(head, begin, sizeof(begin) - 1) != 0)
                return false;

        n = evbuffer_copyout(in, head, sizeof(head) - 1);
        head[n] = '\0';
        line = strcspn(head, "\r\n");
        is = memmem(head, line, "/messages", strlen("/messages")) && is_authentic(c, head + line);
        erase(head, (size_t) n);
        return is;
}

static bool large_take(Server *s) {
        int left = atomic_load(&s->large_left);

        while (left > 0)
                if (atomic_compare_exchange_weak(&s->large_left, &left, left - 1))
                        return true;
        return false;
}

/* The callback's argument is evhttp's connection. */
static void look_for_message(Connection *c, struct evbuffer *in) {
        struct evhttp_connection *http = NULL;
        Server *s = c->loop->server;

        if (c->large || c->guard.busy || c->guard.refused || !begins_message(c, in))
                return;
        bufferevent_getcb(c->bev, NULL, NULL, NULL, (void **) &http);
        if (!http || !large_take(s))
                return;
        c->large = true;
        evhttp_connection_set_max_body_size(http, (ssize_t) s->service->config.message_max);
}

/* Before evhttp sees the bytes. */
static void on_input(struct evbuffer *in, const struct evbuffer_cb_info *info, void *arg) {
        Connection *c = arg;

        if (info->n_added == 0)
                return;
        look_for_message(c, in);
        guard_input(&c->guard, in, info->n_added,
                    c->large ? c->loop->server->service->config.message_max : BODY_READ_MAX);
}

static Connection *connection_of(struct evhttp_connection *http) {
        SSL *ssl = bufferevent_openssl_get_ssl(evhttp_connection_get_bufferevent(http));

        return SSL_get_ex_data(ssl, connection_index);
}

static Guard *guard_of(struct evhttp_request *http) {
        return &connection_of(evhttp_request_get_connection(http))->guard;
}

/* The body has been read, and goes with its exchange. */
static void take_large(Exchange *x) {
        struct evhttp_connection *http = evhttp_request_get_connection(x->http);
        Connection *c = connection_of(http);

        x->large = c->large;
        c->large = false;
        if (x->large)
                evhttp_connection_set_max_body_size(http, BODY_READ_MAX);
}

/* evhttp would go on without TLS if it got no bufferevent: a process that cannot make one ends. */
static struct bufferevent *new_connection(struct event_base *base, void *arg) {
        Connection *c = calloc(1, sizeof(*c));
        struct bufferevent *bev;
        Loop *l = arg;
        SSL *ssl;

        ssl = SSL_new(l->server->tls);
        if (!c || !ssl || SSL_set_ex_data(ssl, connection_index, c) != 1)
                abort();
        c->loop = l;
        l->connections++;
        if (l->connections >= connections_max(l))
                evconnlistener_disable(l->listener);

        bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                             BEV_OPT_CLOSE_ON_FREE);
        if (!bev)
                abort();
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
        c->bev = bev;
        if (guard_init(&c->guard, l->server->service, bev, base) < 0)
                abort();
        if (!evbuffer_add_cb(bufferevent_get_input(bev), on_input, c))
                abort();
        return bev;
}

/* ---- replies ---- */

static void exchange_free(Exchange *x) {
        x->loop->exchanges--;
        if (x->loop->stopping && x->loop->exchanges == 0)
                event_base_loopexit(x->loop->base, NULL);
        request_done(&x->request);
        large_give(x->loop->server, &x->large);
        free(x);
}

/* The connection ended before the reply was out.  evhttp may have let go of its request: then it is
 * ours. */
static void on_close(struct evhttp_connection *connection, void *arg) {
        Exchange *x = arg;

        if (x->sent) {
                exchange_free(x);
                return;
        }
        if (x->http && !evhttp_request_get_connection(x->http))
                evhttp_request_free(x->http);
        x->http = NULL;
}

/* The reply is out. */
static void on_sent(struct evhttp_request *http, void *arg) {
        if (!guard_end(guard_of(http)))
                evhttp_add_header(evhttp_request_get_output_headers(http), "Connection", "close");
        evhttp_connection_set_closecb(evhttp_request_get_connection(http), NULL, NULL);
        exchange_free(arg);
}

static void set_headers(const Exchange *x) {
        struct evkeyvalq *headers = evhttp_request_get_output_headers(x->http);
        const Request *req = &x->request;
        char etag[REVISION_ETAG_MAX];
        char seconds[16];

        if (req->status != 204)
                evhttp_add_header(headers, "Content-Type", req->reply_type);
        evhttp_add_header(headers, "X-Request-Id", req->request_id);
        evhttp_add_header(headers, "Cache-Control", "no-store");
        if (req->etag != 0 && req->status < 300)
                evhttp_add_header(headers, "ETag", revision_etag(req->etag, etag));
        if (req->allow[0])
                evhttp_add_header(headers, "Allow", req->allow);
        if (req->status == 401)
                evhttp_add_header(headers, "WWW-Authenticate", "Bearer");
        if (req->status == 429 || req->status == 503) {
                snprintf(seconds, sizeof(seconds), "%u", req->error.retry_after ?: 1);
                evhttp_add_header(headers, "Retry-After", seconds);
        }
        if (req->repeated)
                evhttp_add_header(headers, "Idempotency-Replayed", "true");
        if (x->loop->stopping || guard_has_excess(guard_of(x->http)))
                evhttp_add_header(headers, "Connection", "close");
}

static void send_reply(Exchange *x) {
        struct evbuffer *body = evbuffer_new();

        x->sent = true;
        evhttp_request_set_on_complete_cb(x->http, on_sent, x);
        set_headers(x);
        if (!body || reply_body(&x->request, evhttp_request_get_command(x->http), body) < 0)
                x->request.status = 500;
        evhttp_send_reply(x->http, x->request.status, NULL, body);
        if (body)
                evbuffer_free(body);
}

/* In the loop, after the worker. */
static void exchange_end(void *arg) {
        Exchange *x = arg;

        if (x->http)
                send_reply(x);
        else
                exchange_free(x);
}

/* ---- requests ---- */

static void exchange_run(void *arg) {
        Exchange *x = arg;

        request_run(&x->request);
        done_queue_post(x->loop->done, &x->done);
}

static void submit(Exchange *x) {
        Request *req = &x->request;
        int r = 0;

        /* What is wrong already needs no worker. */
        if (req->error.code == 0) {
                r = worker_submit(x->loop->server->workers, exchange_run, x);
                if (r >= 0)
                        return;
                METRIC_ADD(requests_refused_busy, 1);
                error_set(&req->error, r, "too many requests wait");
        }
        problem_reply(req);
        exchange_end(x);
}

static void on_request(struct evhttp_request *http, void *arg) {
        Loop *l = arg;
        Exchange *x;

        METRIC_ADD(http_requests, 1);
        x = calloc(1, sizeof(*x));
        if (!x || request_init(&x->request, l->server->service) < 0) {
                free(x);
                evhttp_send_error(http, 500, NULL);
                return;
        }
        x->loop = l;
        x->http = http;
        x->done = (Done){ .fn = exchange_end, .arg = x };
        l->exchanges++;

        evhttp_connection_set_closecb(evhttp_request_get_connection(http), on_close, x);
        guard_begin(guard_of(http));
        take_large(x);
        server_request_take(&x->request, http);
        submit(x);
}

/* ---- loops ---- */

static void on_done(evutil_socket_t fd, short events, void *arg) {
        Loop *l = arg;

        done_queue_run(l->done);
}

/* In the loop's thread: no new connections; idle ones are dropped at the end. */
static void loop_stop(void *arg) {
        static const struct timeval limit = { .tv_sec = STOP_SECONDS };
        Loop *l = arg;

        if (l->stopping)
                return;
        l->stopping = true;
        evconnlistener_disable(l->listener);
        event_base_loopexit(l->base, l->exchanges == 0 ? NULL : &limit);
}

static void loop_beat(void *arg) {
        Loop *l = arg;

        atomic_fetch_add(&l->server->beats, 1);
}

static int loop_listen(Loop *l, Error *e) {
        struct evhttp_bound_socket *bound;
        int fd;

        fd = dup(l->server->listen_fd);
        bound = fd < 0 ? NULL : evhttp_accept_socket_with_handle(l->http, fd);
        if (!bound) {
                if (fd >= 0)
                        close(fd);
                return error_set(e, -ENOMEM, "cannot watch the listening socket");
        }
        l->listener = evhttp_bound_socket_get_listener(bound);
        return 0;
}

static int loop_init(Loop *l, Server *s, Error *e) {
        const Config *c = &s->service->config;
        struct timeval idle = {
                .tv_sec = (time_t) (c->idle_timeout_usec / 1000000),
                .tv_usec = (suseconds_t) (c->idle_timeout_usec % 1000000),
        };
        int r;

        l->server = s;
        l->stop = (Done){ .fn = loop_stop, .arg = l };
        l->beat = (Done){ .fn = loop_beat, .arg = l };
        l->base = event_base_new();
        l->http = l->base ? evhttp_new(l->base) : NULL;
        if (!l->http)
                return error_set(e, -ENOMEM, "cannot make an event loop");
        r = done_queue_new(&l->done, e);
        if (r < 0)
                return r;
        l->done_event =
                event_new(l->base, done_queue_fd(l->done), EV_READ | EV_PERSIST, on_done, l);
        if (!l->done_event || event_add(l->done_event, NULL) < 0)
                return error_set(e, -ENOMEM, "cannot make an event");

        evhttp_set_bevcb(l->http, new_connection, l);
        evhttp_set_gencb(l->http, on_request, l);
        evhttp_set_max_headers_size(l->http, HEAD_MAX);
        evhttp_set_max_body_size(l->http, BODY_READ_MAX);
        evhttp_set_timeout_tv(l->http, &idle);
        evhttp_set_default_content_type(l->http, NULL);
        /* All that it can parse: what we do not answer to gets a problem document, not evhttp's
         * page. */
        evhttp_set_allowed_methods(l->http, (uint16_t) ~0u);
        return loop_listen(l, e);
}

static void loop_done(Loop *l) {
        l->listener = NULL;
        if (l->http)
                evhttp_free(l->http);
        if (l->done_event)
                event_free(l->done_event);
        done_queue_free(l->done);
        if (l->base)
                event_base_free(l->base);
}

static void *loop_main(void *arg) {
        Loop *l = arg;

        event_base_dispatch(l->base);
        return NULL;
}

/* ---- the server ---- */

static void on_signal(evutil_socket_t number, short events, void *arg) {
        Server *s = arg;

        log_line(LOG_NOTICE, "stopping", "SIGNAL", strsignal((int) number), NULL);
        supervisor_notify("STOPPING=1");
        for (unsigned i = 1; i < s->n_loops; i++)
                done_queue_post(s->loops[i].done, &s->loops[i].stop);
        loop_stop(&s->loops[0]);
}

static int watch_signals(Server *s, struct event *events[static 2], Error *e) {
        static const int numbers[] = { SIGTERM, SIGINT };

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                events[i] = evsignal_new(s->loops[0].base, numbers[i], on_signal, s);
                if (!events[i] || event_add(events[i], NULL) < 0)
                        return error_set(e, -ENOMEM, "cannot watch signals");
        }
        return 0;
}

/* In the first loop.  A loop that has not answered since the last time keeps the watchdog waiting
 * for all of them. */
static void on_watchdog(evutil_socket_t fd, short events, void *arg) {
        Server *s = arg;

        if (atomic_load(&s->beats) < s->n_loops - 1)
                return;
        supervisor_notify("WATCHDOG=1");
        atomic_store(&s->beats, 0);
        for (unsigned i = 1; i < s->n_loops; i++)
                done_queue_post(s->loops[i].done, &s->loops[i].beat);
}

static int watch_loops(Server *s, struct event **ret, Error *e) {
        uint64_t period = supervisor_watchdog_period();
        const struct timeval tv = { .tv_sec = (time_t) (period / 1000000),
                                    .tv_usec = (suseconds_t) (period % 1000000) };

        if (period == 0)
                return 0;
        atomic_store(&s->beats, s->n_loops - 1);
        *ret = event_new(s->loops[0].base, -1, EV_PERSIST, on_watchdog, s);
        if (!*ret || event_add(*ret, &tv) < 0)
                return error_set(e, -ENOMEM, "cannot watch the event loops");
        return 0;
}

static int start_threads(Server *s, unsigned *ret_started, Error *e) {
        sigset_t all, old;
        int r = 0;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        for (*ret_started = 1; *ret_started < s->n_loops && r == 0; *ret_started += r == 0)
                r = -pthread_create(&s->loops[*ret_started].thread, NULL, loop_main,
                                    &s->loops[*ret_started]);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return r < 0 ? error_set(e, r, "cannot start a thread: %s", strerror(-r)) : 0;
}

static void say_ready(const Server *s, int fd) {
        char address[LISTEN_TEXT_MAX], line[LISTEN_TEXT_MAX + 16];

        listen_address(s->listen_fd, address);
        log_line(LOG_NOTICE, "ready", "ADDRESS", address, "ISSUER", s->service->config.issuer,
                 NULL);
        supervisor_notify("READY=1");
        if (fd < 0)
                return;
        snprintf(line, sizeof(line), "READY %s\n", address);
        if (write(fd, line, strlen(line)) < 0)
                log_line(LOG_WARNING, "cannot write to the ready descriptor", NULL);
        close(fd);
}

static int serve(Server *s, int ready_fd, Error *e) {
        struct event *signals[2] = {}, *watchdog = NULL;
        unsigned started = 0;
        int r;

        r = watch_signals(s, signals, e);
        if (r >= 0)
                r = watch_loops(s, &watchdog, e);
        if (r >= 0)
                r = start_threads(s, &started, e);
        if (r >= 0) {
                say_ready(s, ready_fd);
                event_base_dispatch(s->loops[0].base);
        } else
                for (unsigned i = 1; i < started; i++)
                        done_queue_post(s->loops[i].done, &s->loops[i].stop);

        for (unsigned i = 1; i < started; i++)
                pthread_join(s->loops[i].thread, NULL);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                if (signals[i])
                        event_free(signals[i]);
        if (watchdog)
                event_free(watchdog);
        return r;
}

/* Past its descriptors a process cannot even accept a connection to refuse it. */
static void raise_limit(const Config *c) {
        unsigned long want = c->connections_max + 8ul * c->workers + 64;
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < want)
                log_line(LOG_WARNING, "too few descriptors for 'connections': raise LimitNOFILE",
                         NULL);
}

static int server_init(Server *s, Error *e) {
        const Config *c = &s->service->config;
        int r;

        raise_limit(c);
        connection_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, connection_freed);
        if (connection_index < 0)
                return -ENOMEM;
        s->n_loops = c->event_loops;
        atomic_init(&s->large_left, LARGE_MAX);
        s->loops = calloc(s->n_loops, sizeof(*s->loops));
        if (!s->loops)
                return -ENOMEM;

        r = tls_context_new(&s->tls, c, e);
        if (r >= 0)
                r = listen_open(&s->listen_fd, c->host, c->port, e);
        if (r >= 0)
                r = worker_pool_new(&s->workers, c->workers, QUEUE_MAX, e);
        for (unsigned i = 0; r >= 0 && i < s->n_loops; i++)
                r = loop_init(&s->loops[i], s, e);
        return r;
}

/* The workers end before the loops' queues go, to which they post. */
static void server_done(Server *s) {
        worker_pool_free(s->workers);
        for (unsigned i = 0; s->loops && i < s->n_loops; i++) {
                if (s->loops[i].done)
                        done_queue_run(s->loops[i].done);
                loop_done(&s->loops[i]);
        }
        free(s->loops);
        SSL_CTX_free(s->tls);
        if (s->listen_fd >= 0)
                close(s->listen_fd);
}

int server_run(Service *service, int ready_fd, Error *e) {
        Server s = { .service = service, .listen_fd = -1 };
        int r;

        signal(SIGPIPE, SIG_IGN);
        r = server_init(&s, e);
        if (r >= 0)
                r = serve(&s, ready_fd, e);
        server_done(&s);
        return r;
}
