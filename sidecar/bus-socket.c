/* SPDX-License-Identifier: Apache-2.0 */

/* The interface without any bus: a Unix socket on which every connection is an sd-bus server object
 * of its own (I8).  Who is at the other end is asked from the kernel before the first byte is read.
 */

#include <assert.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/log.h"
#include "lib/supervisor.h"
#include "sidecar/bus.h"

#define CONNECTIONS_MAX     1024
#define CONNECTIONS_PER_UID 256
#define TURNED_AWAY_MAX     64 /* connections that are there to hear that there is no room */
#define ACCEPTS_AT_ONCE     32
#define EVENTS_AT_ONCE      64
#define MESSAGES_AT_ONCE    64   /* of one connection, before it is the others' turn */
#define SOCKET_MODE         0666 /* anybody may ask: policy decides, and can explain itself */

typedef struct Connection {
        Link link;
        BusSocket *socket;
        sd_bus *bus;
        Peer *peer;
        uint32_t events; /* that epoll waits for */
        bool ready;      /* the handshake is over */
        bool more;       /* it had its turn, and may have more to say */
        bool ended;
        struct Connection *previous, *next;
} Connection;

struct BusSocket {
        Manager *manager;
        char *path;
        int fd;
        dev_t dev; /* of the file, to remove no other */
        ino_t ino;
        int epoll;
        sd_event_source *listening, *traffic, *turn;
        Connection *connections;
        sd_id128_t id;
};

/* ---- one connection ---- */

static Peer *connection_peer(Link *l, sd_bus_message *m) {
        return container_of(l, Connection, link)->peer;
}

static void connection_free(Connection *c) {
        if (!c)
                return;
        if (c->peer) {
                c->peer->link = NULL;
                peer_leave(c->peer);
        }
        peer_unref(c->peer);
        sd_bus_close_unref(c->bus); /* and so it leaves the epoll set */
        free(c);
}
DEFINE_CLEANUP(Connection, connection_free)

static void connection_unlink(Connection *c) {
        if (c->previous)
                c->previous->next = c->next;
        else
                c->socket->connections = c->next;
        if (c->next)
                c->next->previous = c->previous;
}

static void connection_link(Connection *c) {
        BusSocket *s = c->socket;

        c->next = s->connections;
        if (c->next)
                c->next->previous = c;
        s->connections = c;
}

static void connection_close(Connection *c) {
        connection_unlink(c);
        connection_free(c);
}

/* Called by sd_bus_process(), which still needs the bus. */
static int on_end(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Connection *c = userdata;

        c->ended = true;
        return 0;
}

/* Waits for room to write while there is something that could not be written. */
static int connection_watch(Connection *c) {
        int wanted = sd_bus_get_events(c->bus);
        struct epoll_event event = { .data.ptr = c };

        if (wanted < 0)
                return wanted;
        event.events = (wanted & POLLIN ? EPOLLIN : 0) | (wanted & POLLOUT ? EPOLLOUT : 0);
        if (event.events == c->events)
                return 0;
        if (epoll_ctl(c->socket->epoll, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
                      sd_bus_get_fd(c->bus), &event) < 0)
                return -errno;
        c->events = event.events;
        return 0;
}

static void connection_replied(Link *l) {
        (void) connection_watch(container_of(l, Connection, link)); /* a broken one tells epoll */
}

/* One message, or one step of the handshake.  A client may send its first call in one breath with
 * the handshake's end: then sd-bus has read it already, and no event of the socket will ever tell.
 */
static int connection_step(Connection *c) {
        int r;

        r = sd_bus_process(c->bus, NULL);
        if (r != 0 || c->ready || sd_bus_is_ready(c->bus) <= 0)
                return r;
        c->ready = true;
        return 1;
}

/* Its turn: reads, runs and answers what has come.  May free it. */
static void connection_process(Connection *c) {
        int r = 1;

        for (int i = 0; r > 0 && !c->ended && i < MESSAGES_AT_ONCE; i++)
                r = connection_step(c);
        if (c->peer->turned_away && c->peer->has_called)
                c->ended = true;
        if (r < 0 || c->ended || connection_watch(c) < 0) {
                connection_close(c);
                return;
        }
        c->more = r > 0;
        if (c->more)
                (void) sd_event_source_set_enabled(c->socket->turn, SD_EVENT_ONESHOT);
}

static int on_turn(sd_event_source *source, void *userdata) {
        BusSocket *s = userdata;

        for (Connection *c = s->connections, *next; c; c = next) {
                next = c->next;
                if (c->more)
                        connection_process(c);
        }
        return 0;
}

static int on_traffic(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct epoll_event events[EVENTS_AT_ONCE];
        int n;

        /* Each connection is at most once in it, and frees no other. */
        n = epoll_wait(fd, events, EVENTS_AT_ONCE, 0);
        for (int i = 0; i < n; i++)
                connection_process(events[i].data.ptr);
        return 0;
}

/* Takes fd, whatever happens. */
static int connection_start(Connection *c, int fd) {
        int r;

        r = sd_bus_new(&c->bus);
        if (r >= 0)
                r = sd_bus_set_fd(c->bus, fd, fd);
        if (r < 0) {
                (void) close(fd);
                return r;
        }
        r = sd_bus_set_server(c->bus, true, c->socket->id);
        if (r >= 0)
                r = sd_bus_set_anonymous(c->bus, false);
        if (r >= 0)
                r = bus_add_object(c->bus, &c->link);
        if (r >= 0)
                r = bus_watch_end(c->bus, on_end, c);
        if (r >= 0)
                r = sd_bus_start(c->bus);
        return r;
}

/* What it has to say lies in its socket until it is known who it is. */
static void connection_identified(Link *l) {
        Connection *c = container_of(l, Connection, link);

        c->more = true;
        (void) sd_event_source_set_enabled(c->socket->turn, SD_EVENT_ONESHOT);
}

/* ---- not too many of them ---- */

/* Who has never called goes before who has, and of those the one that has been silent for longer.
 */
static bool goes_before(const Peer *a, const Peer *b) {
        if (a->has_called != b->has_called)
                return !a->has_called;
        return a->used < b->used;
}

/* The first to go, of this user or (-1) of all; NULL: all are at work. */
static Connection *oldest_idle(const BusSocket *s, uid_t uid, bool turned_away) {
        Connection *first = NULL;

        for (Connection *c = s->connections; c; c = c->next) {
                if (c->peer->in_flight > 0 || c->peer->turned_away != turned_away ||
                    (uid != (uid_t) -1 && c->peer->caller->uid != uid))
                        continue;
                if (!first || goes_before(c->peer, first->peer))
                        first = c;
        }
        return first;
}

/* Of this user or (-1) of all. */
static size_t count_of(const BusSocket *s, uid_t uid, bool turned_away) {
        size_t n = 0;

        for (Connection *c = s->connections; c; c = c->next)
                n += (uid == (uid_t) -1 || c->peer->caller->uid == uid) &&
                     c->peer->turned_away == turned_away;
        return n;
}

static int evict(BusSocket *s, uid_t uid, bool turned_away) {
        Connection *c = oldest_idle(s, uid, turned_away);

        if (!c)
                return -EBUSY;
        connection_close(c);
        return 0;
}

/* A full house closes what is idle, first of all the newcomer's own. */
static int make_room(BusSocket *s, uid_t uid) {
        int r = 0;

        if (count_of(s, uid, false) >= CONNECTIONS_PER_UID)
                r = evict(s, uid, false);
        else if (count_of(s, (uid_t) -1, false) >= CONNECTIONS_MAX)
                r = evict(s, (uid_t) -1, false);
        return r;
}

/* Nobody could go.  The newcomer shall hear why: a connection that just closes looks like a sidecar
 * that died. */
static int make_room_or_turn_away(BusSocket *s, uid_t uid, Peer *p) {
        int r;

        r = make_room(s, uid);
        if (r != -EBUSY)
                return r;
        p->turned_away = true;
        if (count_of(s, (uid_t) -1, true) >= TURNED_AWAY_MAX)
                return evict(s, (uid_t) -1, true);
        return 0;
}

/* ---- accepting ---- */

/* Takes fd. */
static int connection_new(BusSocket *s, int fd, Error *e) {
        _cleanup_(connection_freep) Connection *c = calloc(1, sizeof(*c));
        _cleanup_(caller_unrefp) Caller *caller = NULL;
        int r;

        r = c ? caller_from_socket(&caller, fd, e) : -ENOMEM;
        if (r < 0) {
                (void) close(fd);
                return r;
        }

        c->link = (Link){
                .peer_of = connection_peer,
                .replied = connection_replied,
                .identified = connection_identified,
        };
        c->socket = s;
        c->peer = peer_new(s->manager);
        if (c->peer)
                c->peer->link = &c->link;
        r = c->peer ? make_room_or_turn_away(s, caller->uid, c->peer) : -ENOMEM;
        if (r < 0) {
                (void) close(fd);
                return error_set(e, r, "uid %u has too many connections", (unsigned) caller->uid);
        }

        r = connection_start(c, fd);
        if (r < 0)
                return error_set(e, r, "cannot serve a connection: %s", strerror(-r));
        connection_link(c);
        peer_identify(TAKE(c)->peer, TAKE(caller));
        return 0;
}

/* With no descriptor left, accept() fails for ever and the loop would spin: an idle connection must
 * go. */
static void on_accept_failure(BusSocket *s, int error) {
        if (error == EAGAIN || error == EINTR || error == ECONNABORTED)
                return;
        log_line(LOG_WARNING, "cannot accept", "REASON", strerror(error), NULL);
        if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS)
                (void) evict(s, (uid_t) -1, false);
}

static int on_connect(sd_event_source *source, int listener, uint32_t events, void *userdata) {
        BusSocket *s = userdata;

        for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
                Error e = {};
                int fd;

                fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd < 0) {
                        on_accept_failure(s, errno);
                        break;
                }
                if (connection_new(s, fd, &e) < 0)
                        log_failure(LOG_DETAIL, "connection refused", &e);
        }
        return 0;
}

/* ---- the socket's file ---- */

static int make_folder(const char *path, Grant grant, Error *e) {
        char copy[PATH_MAX];
        const char *dir;
        mode_t mask;
        int r;

        snprintf(copy, sizeof(copy), "%s", path);
        dir = dirname(copy);
        mask = umask(0);
        r = dir_create(dir, grant == GRANT_MACHINE ? 0755 : 0700, e);
        (void) umask(mask);
        return r < 0 ? r : dir_check(dir, e);
}

static int address_of(const char *path, struct sockaddr_un *ret, Error *e) {
        if (strlen(path) >= sizeof(ret->sun_path))
                return error_set(e, -CSIGN_E_BAD_CONFIG, "the socket's path %s is too long", path);
        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        memcpy(ret->sun_path, path, strlen(path) + 1);
        return 0;
}

/* Whether what is there may be replaced: nothing, or a socket on which nobody listens any more. */
static int check_stale(const char *path, const struct sockaddr_un *address, Error *e) {
        struct stat st;
        int fd, r;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : error_set(e, -errno, "%s: %m", path);
        if (!S_ISSOCK(st.st_mode))
                return error_set(e, -CSIGN_E_BAD_CONFIG, "%s is there, and is not a socket", path);

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return error_set(e, -errno, "cannot make a socket: %m");
        r = connect(fd, (const struct sockaddr *) address, sizeof(*address)) < 0 ? -errno : 0;
        (void) close(fd);
        if (r == -ECONNREFUSED || r == -ENOENT)
                return 0;
        return error_set(e, -EADDRINUSE, "another sidecar already serves %s", path);
}

static int listen_at(BusSocket *s, const char *temporary, Error *e) {
        struct sockaddr_un address;
        struct stat st;
        int r;

        r = address_of(temporary, &address, e);
        if (r < 0)
                return r;
        s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->fd < 0 || bind(s->fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return error_set(e, -errno, "cannot bind %s: %m", temporary);
        if (chmod(temporary, SOCKET_MODE) < 0 || listen(s->fd, SOMAXCONN) < 0 ||
            lstat(temporary, &st) < 0)
                return error_set(e, -errno, "cannot listen on %s: %m", temporary);
        s->dev = st.st_dev;
        s->ino = st.st_ino;
        return 0;
}

/* Listens under another name first: under its own it is ready, with its mode, from the first moment
 * on. */
static int put_in_place(BusSocket *s, Error *e) {
        struct sockaddr_un address;
        char temporary[PATH_MAX];
        int r;

        r = address_of(s->path, &address, e);
        if (r >= 0)
                r = make_folder(s->path, s->manager->options.grant, e);
        if (r >= 0)
                r = check_stale(s->path, &address, e);
        if (r < 0)
                return r;

        snprintf(temporary, sizeof(temporary), "%s.%d", s->path, getpid());
        (void) unlink(temporary);
        r = listen_at(s, temporary, e);
        if (r >= 0 && rename(temporary, s->path) < 0)
                r = error_set(e, -errno, "cannot rename %s: %m", temporary);
        if (r < 0)
                (void) unlink(temporary);
        return r;
}

static int add_sources(BusSocket *s) {
        sd_event *event = s->manager->event;
        int r;

        s->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (s->epoll < 0)
                return -errno;
        r = sd_id128_randomize(&s->id);
        if (r >= 0)
                r = sd_event_add_io(event, &s->listening, s->fd, EPOLLIN, on_connect, s);
        if (r >= 0)
                r = sd_event_add_io(event, &s->traffic, s->epoll, EPOLLIN, on_traffic, s);
        if (r >= 0)
                r = sd_event_add_defer(event, &s->turn, on_turn, s);
        return r < 0 ? r : sd_event_source_set_enabled(s->turn, SD_EVENT_OFF);
}

static int socket_alloc(BusSocket **ret, Manager *m, const char *path, Error *e) {
        BusSocket *s = calloc(1, sizeof(*s));

        if (!s)
                return error_set(e, -ENOMEM, "out of memory");
        s->manager = m;
        s->fd = s->epoll = -1;
        s->path = strdup(path);
        if (!s->path) {
                free(s);
                return error_set(e, -ENOMEM, "out of memory");
        }
        *ret = s;
        return 0;
}

static int start_listening(BusSocket *s, Error *e) {
        int r = add_sources(s);

        return r < 0 ? error_set(e, r, "cannot listen on %s: %s", s->path, strerror(-r)) : 0;
}

int bus_socket_new(BusSocket **ret, Manager *m, const char *path, Error *e) {
        BusSocket *s = NULL;
        int r;

        assert(ret && m && path);

        r = socket_alloc(&s, m, path, e);
        if (r >= 0)
                r = put_in_place(s, e);
        if (r >= 0)
                r = start_listening(s, e);
        if (r < 0) {
                bus_socket_free(s);
                return r;
        }
        *ret = s;
        return 0;
}

/* Its file is systemd's, which keeps it while we restart: callers wait in its backlog. */
int bus_socket_inherit(BusSocket **ret, Manager *m, Error *e) {
        struct sockaddr_un address = {};
        socklen_t len = sizeof(address) - 1;
        BusSocket *s = NULL;
        int fd, r;

        fd = supervisor_socket(SOCK_STREAM);
        if (fd < 0)
                return 0;
        if (getsockname(fd, (struct sockaddr *) &address, &len) < 0)
                return error_set(e, -errno, "cannot use systemd's socket: %m");

        r = socket_alloc(&s, m, address.sun_path, e);
        if (r < 0)
                return r;
        s->fd = fd;
        r = start_listening(s, e);
        if (r < 0) {
                bus_socket_free(s);
                return r;
        }
        *ret = s;
        return 1;
}

void bus_socket_free(BusSocket *s) {
        struct stat st;

        if (!s)
                return;
        sd_event_source_unref(s->listening);
        sd_event_source_unref(s->traffic);
        sd_event_source_unref(s->turn);
        if (s->ino && lstat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
                (void) unlink(s->path);
        if (s->fd >= 0)
                (void) close(s->fd);
        while (s->connections)
                connection_close(s->connections);
        if (s->epoll >= 0)
                (void) close(s->epoll);
        free(s->path);
        free(s);
}

const char *bus_socket_path(const BusSocket *s) {
        return s->path;
}
