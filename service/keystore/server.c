/* SPDX-License-Identifier: Apache-2.0 */
/* Accepts, receives, answers.  A worker takes one packet through to its reply, then the next. */

#include "service/keystore/server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "lib/log.h"
#include "lib/message.h"
#include "lib/supervisor.h"
#include "service/keystore/protocol.h"

#define BACKLOG        16
#define STACK_SIZE     ((size_t) 512 * 1024)
#define SEND_TIMEOUT_S 30 /* a peer that reads no replies for so long is gone */

struct Server {
        ServerOptions options;
        Builtin *builtin;
        char path[sizeof(((struct sockaddr_un *) 0)->sun_path)];
        int fd;

        pthread_mutex_t lock;
        pthread_cond_t connection_gone;
        int connections[CONNECTIONS_MAX]; /* fds, -1: free */
        unsigned n_connections;
};

typedef struct Connection {
        Server *server;
        int fd;
        size_t index;     /* in server->connections */
        unsigned workers; /* that still run */
} Connection;

/* What one worker thread has for itself. */
typedef struct Worker {
        Server *server;
        int fd;
        Signer *signer;
        uint8_t *packet; /* PACKET_MAX */
        int packet_fd;   /* what came with it; -1: nothing */
        Buf reply, sig, spki, sealed;
} Worker;

/* -- one packet -- */

static void answer_hello(Worker *w, Reply *reply) {
        snprintf(reply->status.version, sizeof(reply->status.version), "%s", CSIGN_VERSION);
        snprintf(reply->status.openssl, sizeof(reply->status.openssl), "%s",
                 OpenSSL_version(OPENSSL_VERSION));
        reply->status.memory_locked = (uint8_t) w->server->options.locked;
        builtin_status(w->server->builtin, &reply->status);
}

static int answer_generate(Worker *w, const Request *req, Reply *reply) {
        SealInfo info = { .alg = req->alg, .schemes = req->schemes, .usage = req->usage };
        int r;

        buf_clear(&w->spki);
        buf_clear(&w->sealed);
        r = builtin_generate(w->server->builtin, req->key_id, req->version, &info, &w->spki,
                             &w->sealed, &reply->error);
        if (r < 0)
                return r;

        reply->spki = w->spki.data;
        reply->spki_len = w->spki.len;
        reply->sealed = w->sealed.data;
        reply->sealed_len = w->sealed.len;
        log_line(LOG_NOTICE, "key generated", "KEY", req->key_id, "ALGORITHM", req->alg->name,
                 NULL);
        return 0;
}

static int answer_sign(Worker *w, const Request *req, Reply *reply) {
        int r;

        buf_clear(&w->sig);
        r = builtin_sign(w->server->builtin, w->signer, &req->sign, req->usage, req->sealed,
                         req->sealed_len, &w->sig, &reply->error);
        if (r < 0)
                return r;

        reply->sig = w->sig.data;
        reply->sig_len = w->sig.len;
        return 0;
}

static int answer_sign_message(Worker *w, Request *req, Reply *reply) {
        Message m = {};
        int r;

        if (w->packet_fd < 0)
                return error_set(&reply->error, -CSIGN_E_BAD_REQUEST, "no message came along");
        r = message_map(&m, w->packet_fd, MESSAGE_MAX_LIMIT, &reply->error);
        if (r < 0)
                return r;

        req->sign.digest = m.data;
        req->sign.digest_len = m.len;
        r = answer_sign(w, req, reply);
        message_unmap(&m);
        return r;
}

static int answer_reseal(Worker *w, const Request *req, Reply *reply) {
        int r;

        buf_clear(&w->sealed);
        r = builtin_reseal(w->server->builtin, req->key_id, req->version, req->sealed,
                           req->sealed_len, &w->sealed, &reply->error);
        if (r < 0)
                return r;

        reply->sealed = w->sealed.data;
        reply->sealed_len = w->sealed.len;
        return 0;
}

static int answer_forget(Worker *w, const Request *req) {
        builtin_forget(w->server->builtin, req->key_id);
        log_line(LOG_NOTICE, "key forgotten", "KEY", req->key_id, NULL);
        return 0;
}

static int answer_request(Worker *w, Request *req, Reply *reply) {
        switch (req->op) {
        case OP_HELLO:
                answer_hello(w, reply);
                return 0;
        case OP_GENERATE:
                return answer_generate(w, req, reply);
        case OP_SIGN:
                return answer_sign(w, req, reply);
        case OP_SIGN_MESSAGE:
                return answer_sign_message(w, req, reply);
        case OP_RESEAL:
                return answer_reseal(w, req, reply);
        case OP_FORGET:
                return answer_forget(w, req);
        default:
                return -EINVAL; /* request_decode() lets none through */
        }
}

/* Trouble of our own stays in our log; what the service can act on goes back to it. */
static void refuse(Reply *reply, int r) {
        if (reply->error.code == 0)
                error_set(&reply->error, r, "%s", strerror(-r));
        log_failure(r == -CSIGN_E_KEY_CORRUPT ? LOG_ERROR : LOG_WARNING, "refused", &reply->error);

        reply->r = error_public_code(r);
        if (reply->r != r)
                error_set(&reply->error, reply->r, "the key store has trouble: its log says more");
}

/* len may be larger than the packet: the rest was cut off. */
static int handle(Worker *w, size_t len) {
        Request req = {};
        Reply reply = {};
        int r;

        r = request_decode(w->packet, len < PACKET_MAX ? len : PACKET_MAX, &req, &reply.error);
        if (r == -EBADMSG) {
                log_failure(LOG_WARNING, "connection dropped", &reply.error);
                return r;
        }
        if (len > PACKET_MAX)
                r = error_set(&reply.error, -CSIGN_E_TOO_LARGE,
                              "a packet of %zu bytes is too large, the limit is %zu", len,
                              PACKET_MAX);

        reply.op = req.op;
        reply.call = req.call;
        if (r == 0)
                r = answer_request(w, &req, &reply);
        if (r < 0)
                refuse(&reply, r);

        buf_clear(&w->reply);
        return reply_encode(&reply, &w->reply);
}

/* -- one worker -- */

static void drop_packet_fd(Worker *w) {
        if (w->packet_fd >= 0)
                close(w->packet_fd);
        w->packet_fd = -1;
}

/* Keeps one descriptor; what else a packet brings is closed. */
static void take_fds(Worker *w, struct msghdr *h) {
        for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
                size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < n; i++) {
                        drop_packet_fd(w);
                        memcpy(&w->packet_fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                }
        }
}

/* Bytes of the packet (more than PACKET_MAX if it was cut off), 0 at the end, or -errno. */
static ssize_t receive(Worker *w) {
        union {
                struct cmsghdr align;
                uint8_t bytes[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec part = { w->packet, PACKET_MAX };
        struct msghdr h = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control };
        ssize_t n;

        drop_packet_fd(w);
        do {
                h.msg_controllen = sizeof(control);
                n = recvmsg(w->fd, &h, MSG_TRUNC | MSG_CMSG_CLOEXEC);
        } while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        take_fds(w, &h);
        return n;
}

static int send_reply(const Worker *w) {
        ssize_t n;

        do
                n = send(w->fd, w->reply.data, w->reply.len, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : 0;
}

static void worker_loop(Worker *w) {
        for (;;) {
                ssize_t n = receive(w);

                if (n <= 0)
                        return;
                if (handle(w, (size_t) n) < 0)
                        return;
                if (send_reply(w) < 0)
                        return;
        }
}

static void worker_run(Server *s, int fd) {
        Worker w = { .server = s, .fd = fd, .packet_fd = -1 };

        w.packet = malloc(PACKET_MAX);
        if (!w.packet || builtin_signer_new(s->builtin, &w.signer) < 0) {
                log_line(LOG_ERROR, "no memory for a worker", NULL);
                free(w.packet);
                return;
        }

        worker_loop(&w);

        builtin_signer_free(s->builtin, w.signer);
        drop_packet_fd(&w);
        free(w.packet);
        buf_done(&w.reply);
        buf_done(&w.sig);
        buf_done(&w.spki);
        buf_done(&w.sealed);
}

/* -- one connection -- */

/* The last worker to leave closes it. */
static void connection_leave(Connection *c) {
        Server *s = c->server;

        pthread_mutex_lock(&s->lock);
        if (--c->workers > 0) {
                pthread_mutex_unlock(&s->lock);
                return;
        }
        close(c->fd);
        s->connections[c->index] = -1;
        s->n_connections--;
        free(c);
        pthread_cond_signal(&s->connection_gone);
        pthread_mutex_unlock(&s->lock);
}

static void *worker_main(void *arg) {
        Connection *c = arg;

        worker_run(c->server, c->fd);
        OPENSSL_thread_stop(); /* not left to the thread's end: the last one lets main exit */

        /* What ended this worker ends them all, each after the reply that it works on. */
        shutdown(c->fd, SHUT_RD);
        connection_leave(c);
        return NULL;
}

static int start_worker(Connection *c) {
        pthread_attr_t attr;
        pthread_t thread;
        int r;

        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, STACK_SIZE);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        r = pthread_create(&thread, &attr, worker_main, c);
        pthread_attr_destroy(&attr);
        return -r;
}

/* Takes fd. */
static int connection_start(Server *s, int fd, size_t index) {
        unsigned threads = s->options.threads;
        Connection *c;
        int r = 0;

        c = malloc(sizeof(*c));
        if (!c) {
                close(fd);
                return -ENOMEM;
        }

        /* One more than the workers: main's own hold, until all were started. */
        *c = (Connection){ .server = s, .fd = fd, .index = index, .workers = threads + 1 };
        pthread_mutex_lock(&s->lock);
        s->connections[index] = fd;
        s->n_connections++;
        pthread_mutex_unlock(&s->lock);

        for (unsigned i = 0; i < threads; i++) {
                if (r == 0)
                        r = start_worker(c);
                if (r < 0) {
                        shutdown(fd, SHUT_RDWR);
                        connection_leave(c);
                }
        }
        connection_leave(c);
        return r;
}

/* -- the listening socket -- */

static ssize_t free_index(Server *s) {
        ssize_t index = -1;

        pthread_mutex_lock(&s->lock);
        for (size_t i = 0; i < CONNECTIONS_MAX && index < 0; i++)
                if (s->connections[i] < 0)
                        index = (ssize_t) i;
        pthread_mutex_unlock(&s->lock);
        return index;
}

static void log_peer(int level, const char *message, const struct ucred *peer) {
        char uid[16], pid[16];

        snprintf(uid, sizeof(uid), "%u", (unsigned) peer->uid);
        snprintf(pid, sizeof(pid), "%d", (int) peer->pid);
        log_line(level, message, "PEER_UID", uid, "PEER_PID", pid, NULL);
}

static void accept_one(Server *s) {
        struct timeval timeout = { .tv_sec = SEND_TIMEOUT_S };
        struct ucred peer;
        socklen_t len = sizeof(peer);
        ssize_t index;
        int fd, r;

        fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
                return; /* the peer is gone already, or descriptors are short for the moment */

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0) {
                close(fd);
                return;
        }

        if (peer.uid != s->options.peer_uid) {
                log_peer(LOG_WARNING, "peer refused: it is not the service's user", &peer);
                close(fd);
                return;
        }

        index = free_index(s);
        if (index < 0) {
                log_peer(LOG_WARNING, "peer refused: too many connections", &peer);
                close(fd);
                return;
        }

        r = connection_start(s, fd, (size_t) index);
        if (r < 0)
                log_line(LOG_ERROR, "cannot start workers", "ERROR", strerror(-r), NULL);
        else
                log_peer(LOG_DETAIL, "connected", &peer);
}

int server_run(Server *s, int stop_fd, Error *e) {
        uint64_t period = supervisor_watchdog_period();

        for (;;) {
                struct pollfd fds[] = {
                        { .fd = stop_fd, .events = POLLIN },
                        { .fd = s->fd, .events = POLLIN },
                };

                if (poll(fds, 2, period > 0 ? (int) (period / 1000) : -1) < 0) {
                        if (errno == EINTR)
                                continue;
                        return error_set(e, -errno, "cannot poll: %s", strerror(errno));
                }
                if (period > 0)
                        supervisor_notify("WATCHDOG=1");
                if (fds[0].revents)
                        return 0;
                if (fds[1].revents)
                        accept_one(s);
        }
}

static int make_address(const char *path, struct sockaddr_un *ret, Error *e) {
        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (strlen(path) >= sizeof(ret->sun_path))
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "the socket path is longer than %zu characters: %s",
                                 sizeof(ret->sun_path) - 1, path);
        strcpy(ret->sun_path, path);
        return 0;
}

/* Whether somebody listens there. */
static bool is_alive(const struct sockaddr_un *address) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        bool alive;

        if (fd < 0)
                return true;
        alive = connect(fd, (const struct sockaddr *) address, sizeof(*address)) == 0 ||
                errno != ECONNREFUSED;
        close(fd);
        return alive;
}

/* Who may connect is decided by uid at accept, so that the service's user needs no group of ours.
 */
static int bind_and_listen(int fd, const struct sockaddr_un *address, Error *e) {
        const struct sockaddr *a = (const struct sockaddr *) address;
        const char *path = address->sun_path;
        int r;

        r = bind(fd, a, sizeof(*address));
        if (r < 0 && errno == EADDRINUSE) {
                if (is_alive(address))
                        return error_set(e, -EADDRINUSE, "another key store listens on %s", path);
                if (unlink(path) < 0)
                        return error_set(e, -errno, "cannot remove the dead socket %s: %s", path,
                                         strerror(errno));
                r = bind(fd, a, sizeof(*address));
        }
        if (r < 0)
                return error_set(e, -errno, "cannot bind to %s: %s", path, strerror(errno));

        if (chmod(path, 0666) < 0 || listen(fd, BACKLOG) < 0)
                return error_set(e, -errno, "cannot listen on %s: %s", path, strerror(errno));
        return 0;
}

static int open_socket(Server *s, Error *e) {
        struct sockaddr_un address;
        int r;

        r = make_address(s->options.socket_path, &address, e);
        if (r < 0)
                return r;
        s->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->fd < 0)
                return error_set(e, -errno, "cannot make a socket: %s", strerror(errno));
        r = bind_and_listen(s->fd, &address, e);
        if (r < 0)
                return r;
        strcpy(s->path, address.sun_path); /* from here on it is ours to remove */
        return 0;
}

int server_new(Server **ret, const ServerOptions *o, Builtin *builtin, Error *e) {
        _cleanup_(server_freep) Server *s = NULL;
        int r;

        s = malloc(sizeof(*s));
        if (!s)
                return -ENOMEM;
        *s = (Server){ .options = *o, .builtin = builtin, .fd = -1 };
        pthread_mutex_init(&s->lock, NULL);
        pthread_cond_init(&s->connection_gone, NULL);
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                s->connections[i] = -1;

        s->fd = supervisor_socket(SOCK_SEQPACKET);
        r = s->fd < 0 ? open_socket(s, e) : 0;
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}

/* The requests that came already are answered; then the workers see the end. */
static void end_connections(Server *s) {
        pthread_mutex_lock(&s->lock);
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                if (s->connections[i] >= 0)
                        shutdown(s->connections[i], SHUT_RD);
        while (s->n_connections > 0)
                pthread_cond_wait(&s->connection_gone, &s->lock);
        pthread_mutex_unlock(&s->lock);
}

void server_free(Server *s) {
        if (!s)
                return;
        if (s->path[0])
                unlink(s->path);
        if (s->fd >= 0)
                close(s->fd);
        end_connections(s);
        pthread_cond_destroy(&s->connection_gone);
        pthread_mutex_destroy(&s->lock);
        free(s);
}
