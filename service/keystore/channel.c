/* SPDX-License-Identifier: Apache-2.0 */
/* The waiting is leader and followers: whoever waits while nobody receives, receives. */

#include "service/keystore/channel.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/macro.h"

#define SEND_BATCH     32
#define SEND_TIMEOUT_S 10
#define RECEIVE_TICK_S 1 /* how late a thread that receives may see its own deadline */

/* The calls that one thread waits for.  Lives on that thread's stack. */
typedef struct Batch {
        Call *calls;
        size_t n;
        size_t left; /* without a result */
        pthread_cond_t changed;
        struct Batch *next, *previous; /* in the list of those that wait */
} Batch;

struct Channel {
        unsigned refs;
        int fd;

        pthread_mutex_t lock; /* for all below */
        bool broken;
        bool receiving; /* some thread is in recv() */
        Batch *waiting;
        uint64_t serial;            /* of the next call */
        size_t n_calls;             /* slots that are taken */
        Call *slots[CALLS_MAX];     /* by call number modulo CALLS_MAX */
        uint8_t packet[PACKET_MAX]; /* of the thread that receives */
};

/* -- opening -- */

static int connect_to(const char *path, int *ret) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct timeval send_timeout = { .tv_sec = SEND_TIMEOUT_S };
        struct timeval tick = { .tv_sec = RECEIVE_TICK_S };
        int fd, r;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);

        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;

        if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send_timeout, sizeof(send_timeout)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick)) < 0 ||
            connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0) {
                r = -errno;
                close(fd);
                return r;
        }
        *ret = fd;
        return 0;
}

int channel_open(Channel **ret, const char *path, Error *e) {
        Channel *c;
        int r;

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;

        r = connect_to(path, &c->fd);
        if (r < 0) {
                free(c);
                return error_set(e, -CSIGN_E_KEYSTORE_UNAVAILABLE,
                                 "cannot connect to the key store at %s: %s", path, strerror(-r));
        }

        c->refs = 1;
        c->serial = 1;
        pthread_mutex_init(&c->lock, NULL);
        *ret = c;
        return 0;
}

Channel *channel_ref(Channel *c) {
        __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
        return c;
}

void channel_unref(Channel *c) {
        if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
                return;
        assert(c->n_calls == 0);
        close(c->fd);
        pthread_mutex_destroy(&c->lock);
        free(c);
}

bool channel_is_broken(Channel *c) {
        bool broken;

        pthread_mutex_lock(&c->lock);
        broken = c->broken;
        pthread_mutex_unlock(&c->lock);
        return broken;
}

/* -- calls and their slots: with the lock held -- */

static bool call_is_open(const Call *call) {
        return call->batch != NULL;
}

static void slot_take(Channel *c, Batch *b, Call *call) {
        while (c->slots[c->serial % CALLS_MAX])
                c->serial++;
        call->req->call = c->serial++;
        c->slots[call->req->call % CALLS_MAX] = call;
        c->n_calls++;
        call->batch = b;
        b->left++;
}

/* The call is its thread's own again. */
static void slot_release(Channel *c, Call *call) {
        Batch *b = call->batch;

        c->slots[call->req->call % CALLS_MAX] = NULL;
        c->n_calls--;
        call->batch = NULL;
        if (--b->left == 0)
                pthread_cond_signal(&b->changed);
}

static void call_fail(Channel *c, Call *call, int code, const char *why) {
        call->r = error_set(call->e, code, "%s", why);
        slot_release(c, call);
}

/* Nothing more comes over this connection: all that wait learn it. */
static void channel_break(Channel *c, int code, const char *why) {
        c->broken = true;
        shutdown(c->fd, SHUT_RDWR); /* a thread that receives returns */
        for (size_t i = 0; i < CALLS_MAX && c->n_calls > 0; i++)
                if (c->slots[i])
                        call_fail(c, c->slots[i], code, why);
}

/* -- replies: with the lock held -- */

static int replace(Buf *b, const uint8_t *data, size_t len) {
        buf_clear(b);
        return buf_append(b, data, len);
}

static int call_accept(Call *call, const Reply *reply) {
        int r;

        if (reply->r < 0) {
                if (call->e)
                        *call->e = reply->error;
                return reply->r;
        }

        switch (reply->op) {
        case OP_HELLO:
                *call->status = reply->status;
                return 0;
        case OP_GENERATE:
                r = replace(call->spki, reply->spki, reply->spki_len);
                return r < 0 ? r : replace(call->sealed, reply->sealed, reply->sealed_len);
        case OP_RESEAL:
                return replace(call->sealed, reply->sealed, reply->sealed_len);
        case OP_FORGET:
                return 0;
        default:
                return replace(call->sig, reply->sig, reply->sig_len);
        }
}

/* A reply to a call that has timed out meanwhile finds no slot, and is dropped. */
static void handle_packet(Channel *c, size_t len) {
        Reply reply;
        Call *call;

        if (len > PACKET_MAX || reply_decode(c->packet, len, &reply) < 0) {
                channel_break(c, -CSIGN_E_BAD_ANSWER, "the key store sent what is no reply");
                return;
        }

        call = c->slots[reply.call % CALLS_MAX];
        if (!call || call->req->call != reply.call)
                return;
        if (reply.op != call->req->op) {
                channel_break(c, -CSIGN_E_BAD_ANSWER, "the key store answered another question");
                return;
        }

        call->r = call_accept(call, &reply);
        slot_release(c, call);
}

/* -- waiting: with the lock held -- */

static void receive(Channel *c) {
        ssize_t n;
        int err;

        c->receiving = true;
        pthread_mutex_unlock(&c->lock);
        n = recv(c->fd, c->packet, PACKET_MAX, MSG_TRUNC);
        err = errno;
        pthread_mutex_lock(&c->lock);
        c->receiving = false;

        if (n > 0)
                handle_packet(c, (size_t) n);
        else if (n == 0 || (err != EINTR && err != EAGAIN))
                channel_break(
                        c, -CSIGN_E_KEYSTORE_UNAVAILABLE,
                        "the key store closed the connection before it answered: its log says why");
}

static bool has_passed(const struct timespec *deadline) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec > deadline->tv_sec ||
               (now.tv_sec == deadline->tv_sec && now.tv_nsec >= deadline->tv_nsec);
}

static struct timespec deadline_in(uint64_t usec) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_sec += (time_t) (usec / 1000000);
        t.tv_nsec += (long) (usec % 1000000) * 1000;
        if (t.tv_nsec >= 1000000000) {
                t.tv_nsec -= 1000000000;
                t.tv_sec++;
        }
        return t;
}

static void give_up(Channel *c, Batch *b) {
        for (size_t i = 0; i < b->n; i++)
                if (call_is_open(&b->calls[i]))
                        call_fail(c, &b->calls[i], -CSIGN_E_TIMEOUT,
                                  "the key store did not answer in time");
}

static void batch_link(Channel *c, Batch *b) {
        b->next = c->waiting;
        if (b->next)
                b->next->previous = b;
        c->waiting = b;
}

static void batch_unlink(Channel *c, Batch *b) {
        if (b->next)
                b->next->previous = b->previous;
        if (b->previous)
                b->previous->next = b->next;
        else
                c->waiting = b->next;
}

static void batch_wait(Channel *c, Batch *b, uint64_t timeout_usec) {
        struct timespec deadline = deadline_in(timeout_usec);

        batch_link(c, b);
        while (b->left > 0) {
                if (has_passed(&deadline))
                        give_up(c, b);
                else if (!c->receiving)
                        receive(c);
                else
                        pthread_cond_clockwait(&b->changed, &c->lock, CLOCK_MONOTONIC, &deadline);
        }
        batch_unlink(c, b);

        /* Somebody must receive for those that still wait. */
        if (!c->receiving && c->waiting)
                pthread_cond_signal(&c->waiting->changed);
}

/* -- sending -- */

typedef struct Outgoing {
        Buf bytes;
        size_t end[SEND_BATCH]; /* where each packet ends in bytes */
        int fds[SEND_BATCH];    /* what goes with it; -1: nothing */
        size_t n;
} Outgoing;

/* Room for one descriptor beside a packet. */
typedef union Control {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
} Control;

static void outgoing_done(Outgoing *o) {
        buf_done(&o->bytes);
}

static void put_fd(struct msghdr *h, Control *control, int fd) {
        struct cmsghdr *c;

        *control = (Control){};
        h->msg_control = control;
        h->msg_controllen = sizeof(*control);
        c = CMSG_FIRSTHDR(h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
}

/* 0, or -errno; *sent counts the packets that went out in either case. */
static int send_packets(int fd, const Outgoing *o, size_t *sent) {
        struct mmsghdr messages[SEND_BATCH] = {};
        struct iovec parts[SEND_BATCH];
        Control controls[SEND_BATCH];
        size_t begin = 0;

        for (size_t i = 0; i < o->n; i++) {
                parts[i] = (struct iovec){ o->bytes.data + begin, o->end[i] - begin };
                messages[i].msg_hdr.msg_iov = &parts[i];
                messages[i].msg_hdr.msg_iovlen = 1;
                if (o->fds[i] >= 0)
                        put_fd(&messages[i].msg_hdr, &controls[i], o->fds[i]);
                begin = o->end[i];
        }

        for (*sent = 0; *sent < o->n;) {
                int n = sendmmsg(fd, messages + *sent, (unsigned) (o->n - *sent), MSG_NOSIGNAL);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0)
                        *sent += (size_t) n;
        }
        return 0;
}

/* Encodes up to SEND_BATCH of the calls that have a slot.  Returns how many of the calls it looked
 * at.
 */
static size_t encode_some(const Call *calls, size_t n, Outgoing *o) {
        size_t i;

        buf_clear(&o->bytes);
        o->n = 0;
        for (i = 0; i < n && o->n < SEND_BATCH; i++) {
                if (!calls[i].admitted)
                        continue;
                if (request_encode(calls[i].req, &o->bytes) < 0)
                        break;
                o->fds[o->n] = calls[i].req->op == OP_SIGN_MESSAGE ? calls[i].req->message_fd : -1;
                o->end[o->n++] = o->bytes.len;
        }
        return i;
}

/* 0, -ENOMEM or -errno of the socket; *any_sent says whether the other end has seen anything. */
static int send_calls(Channel *c, const Call *calls, size_t n, bool *any_sent) {
        _cleanup_(outgoing_done) Outgoing out = { .bytes = BUF_MAX(SEND_BATCH * PACKET_MAX) };
        size_t done = 0;

        *any_sent = false;
        while (done < n) {
                size_t looked = encode_some(calls + done, n - done, &out), sent = 0;
                int r;

                if (looked == 0)
                        return -ENOMEM;
                r = send_packets(c->fd, &out, &sent);
                *any_sent |= sent > 0;
                if (r < 0)
                        return r;
                done += looked;
        }
        return 0;
}

/* -- the exchange -- */

static int batch_begin(Channel *c, Batch *b) {
        int r = 0;

        pthread_mutex_lock(&c->lock);
        if (c->broken)
                r = -EPIPE;
        for (size_t i = 0; r == 0 && i < b->n; i++) {
                Call *call = &b->calls[i];

                call->batch = NULL;
                call->admitted = c->n_calls < CALLS_MAX;
                if (!call->admitted)
                        call->r = error_set(call->e, -CSIGN_E_RATE_LIMITED,
                                            "%d calls wait for the key store already", CALLS_MAX);
                else
                        slot_take(c, b, call);
        }
        pthread_mutex_unlock(&c->lock);
        return r;
}

/* -EPIPE if the calls may as well go out on another connection. */
static int batch_send_failed(Channel *c, Batch *b, int r, bool any_sent) {
        bool gone = !any_sent && (r == -EPIPE || r == -ECONNRESET);

        if (gone)
                for (size_t i = 0; i < b->n; i++)
                        if (call_is_open(&b->calls[i]))
                                slot_release(c, &b->calls[i]);
        channel_break(c, -CSIGN_E_KEYSTORE_UNAVAILABLE,
                      r == -EAGAIN ? "the key store takes no requests"
                                   : "the connection to the key store broke");
        return gone ? -EPIPE : 0;
}

int channel_exchange(Channel *c, Call *calls, size_t n, uint64_t timeout_usec) {
        Batch b = { .calls = calls, .n = n, .changed = PTHREAD_COND_INITIALIZER };
        bool any_sent;
        int r, sent;

        r = batch_begin(c, &b);
        if (r < 0)
                return r;

        sent = send_calls(c, calls, n, &any_sent);

        pthread_mutex_lock(&c->lock);
        if (sent < 0)
                r = batch_send_failed(c, &b, sent, any_sent);
        batch_wait(c, &b, timeout_usec);
        pthread_mutex_unlock(&c->lock);

        pthread_cond_destroy(&b.changed);
        return r;
}
