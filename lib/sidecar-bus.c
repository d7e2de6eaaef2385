/* SPDX-License-Identifier: Apache-2.0 */

/* Connections to a sidecar, for guests: see sidecar-bus.h. */

#include "lib/sidecar-bus.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SIDECAR_NAME   "org.csign.Sidecar1"
#define SIDECAR_OBJECT "/org/csign/Sidecar1"

#define USEC_PER_SEC    ((uint64_t) 1000000)
#define TIMEOUT_DEFAULT (30 * USEC_PER_SEC)

/* How long a sidecar that went away during a call may take to come back. */
#define RESTART_USEC  (2 * USEC_PER_SEC)
#define RESTART_PAUSE (20 * (uint64_t) 1000) /* then twice as long, ... */

#define PLACES_MAX 4
#define SLOTS_MAX  64 /* connections that are kept; more threads than that connect for each call */

typedef enum PlaceType {
        PLACE_SOCKET,
        PLACE_USER_BUS,
        PLACE_SYSTEM_BUS,
        PLACE_BUS,
} PlaceType;

/* One address where a sidecar may be. */
typedef struct Place {
        PlaceType type;
        char *address;    /* as the user writes it */
        const char *rest; /* of the address: the socket's path, the bus's address */
        bool guessed;     /* nobody gave an address: one of several places to look in */
} Place;

typedef struct Link {
        sd_bus *bus;
        const Place *place;
        int fd;
        ino_t inode; /* of the socket behind fd */
        pid_t pid;
        uid_t uid;
        struct Link *next; /* among the abandoned */
} Link;

/* Whoever writes its pid into taker may use link.  A slot that another pid holds was taken by a
 * thread of the process that we were forked from: here nobody uses it. */
typedef struct Slot {
        _Atomic pid_t taker; /* 0: nobody */
        Link *link;          /* NULL: not connected */
} Slot;

struct SidecarBus {
        uint64_t timeout_usec;
        Place places[PLACES_MAX];
        size_t n_places;
        _Atomic(const Place *) used;
        Slot slots[SLOTS_MAX];
};

/* Of the whole process, for they outlive every client: see link_abandon(). */
static _Atomic(Link *) abandoned;

static uint64_t now_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

/* At least a moment: 0 would mean something else to sd-bus. */
static uint64_t time_left(uint64_t deadline) {
        uint64_t now = now_usec();

        return deadline > now + 1000 ? deadline - now : 1000;
}

static void sleep_usec(uint64_t usec) {
        struct timespec ts = { .tv_sec = (time_t) (usec / USEC_PER_SEC),
                               .tv_nsec = (long) (usec % USEC_PER_SEC) * 1000 };

        while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
                ;
}

/* ---- addresses ---- */

static bool place_parse(const char *address, Place *ret) {
        static const struct {
                const char *text;
                PlaceType type;
                bool has_rest;
        } types[] = {
                { "unix:path=", PLACE_SOCKET, true },
                { "user", PLACE_USER_BUS, false },
                { "system", PLACE_SYSTEM_BUS, false },
                { "bus:", PLACE_BUS, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                size_t n = strlen(types[i].text);

                if (types[i].has_rest ? strncmp(address, types[i].text, n) == 0 && address[n]
                                      : strcmp(address, types[i].text) == 0) {
                        *ret = (Place){ .type = types[i].type,
                                        .rest = types[i].has_rest ? address + n : NULL };
                        return true;
                }
        }
        return false;
}

static int place_add(SidecarBus *b, const char *address, Error *e) {
        Place p;

        if (!place_parse(address, &p))
                return error_set(
                        e, -CSIGN_E_BAD_CONFIG,
                        "sidecar address '%s' is not unix:path=PATH, user, system or bus:ADDRESS",
                        address);
        if (p.type == PLACE_SOCKET &&
            strlen(p.rest) >= sizeof(((struct sockaddr_un *) 0)->sun_path))
                return error_set(e, -CSIGN_E_BAD_CONFIG, "sidecar address '%s' is too long",
                                 address);

        assert(b->n_places < PLACES_MAX);
        p.address = strdup(address);
        if (!p.address)
                return error_set(e, -ENOMEM, "out of memory");
        if (p.rest)
                p.rest = p.address + (p.rest - address);
        b->places[b->n_places++] = p;
        return 0;
}

static int places_user(SidecarBus *b, Error *e) {
        const char *runtime = secure_getenv("XDG_RUNTIME_DIR");

        if (runtime && *runtime) {
                char socket[sizeof(((struct sockaddr_un *) 0)->sun_path) + 16];
                int n = snprintf(socket, sizeof(socket), "unix:path=%s/csign/sidecar.sock",
                                 runtime);

                /* One that does not fit into a socket's address is not there either. */
                if (n > 0 && (size_t) n < sizeof(socket))
                        (void) place_add(b, socket, NULL);
        }
        return place_add(b, "user", e);
}

static int places_machine(SidecarBus *b, Error *e) {
        int r;

        r = place_add(b, "unix:path=/run/csign/sidecar.sock", e);
        return r < 0 ? r : place_add(b, "system", e);
}

static void places_are_guessed(SidecarBus *b) {
        for (size_t i = 0; i < b->n_places; i++)
                b->places[i].guessed = true;
}

static int bus_alloc(SidecarBus **ret, uint64_t timeout_usec, Error *e) {
        SidecarBus *b = calloc(1, sizeof(*b));

        if (!b)
                return error_set(e, -ENOMEM, "out of memory");
        b->timeout_usec = timeout_usec > 0 ? timeout_usec : TIMEOUT_DEFAULT;
        *ret = b;
        return 0;
}

int sidecar_bus_new(SidecarBus **ret, const char *address, uint64_t timeout_usec, Error *e) {
        _cleanup_(sidecar_bus_freep) SidecarBus *b = NULL;
        int r;

        r = bus_alloc(&b, timeout_usec, e);
        if (r < 0)
                return r;
        if (!address)
                address = secure_getenv("CSIGN_BUS");

        if (address && *address) {
                r = place_add(b, address, e);
        } else {
                r = places_user(b, e);
                if (r >= 0)
                        r = places_machine(b, e);
                places_are_guessed(b);
        }
        if (r < 0)
                return r;

        *ret = TAKE(b);
        return 0;
}

int sidecar_bus_new_grant(SidecarBus **ret, SidecarGrant grant, uint64_t timeout_usec, Error *e) {
        _cleanup_(sidecar_bus_freep) SidecarBus *b = NULL;
        int r;

        r = bus_alloc(&b, timeout_usec, e);
        if (r >= 0)
                r = grant == SIDECAR_GRANT_USER ? places_user(b, e) : places_machine(b, e);
        if (r < 0)
                return r;
        places_are_guessed(b);

        *ret = TAKE(b);
        return 0;
}

uint64_t sidecar_bus_timeout(const SidecarBus *b) {
        return b->timeout_usec;
}

const char *sidecar_bus_address(SidecarBus *b) {
        const Place *p = atomic_load(&b->used);

        return p ? p->address : "";
}

/* ---- one connection ---- */

/* A program may have closed our descriptor, and its number may be another file by now. */
static bool link_has_its_fd(const Link *l) {
        struct stat st;

        return fstat(l->fd, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == l->inode;
}

/* For a connection that is another process's, or whose descriptor is: sd-bus would assert, or close
 * a stranger's file.  Its memory stays, but can be found. */
static void link_abandon(Link *l) {
        if (l->pid != getpid() && link_has_its_fd(l))
                (void) close(l->fd);

        l->next = atomic_load(&abandoned);
        while (!atomic_compare_exchange_weak(&abandoned, &l->next, l))
                ;
}

static void link_close(Link *l) {
        if (!l)
                return;

        if (l->pid != getpid() || !link_has_its_fd(l)) {
                link_abandon(l);
                return;
        }
        sd_bus_close_unref(l->bus);
        free(l);
}

/* Whether an idle connection can carry a call.  A dead one is found here, before anything was sent.
 */
static bool link_is_usable(const Link *l) {
        struct pollfd p = { .fd = l->fd, .events = POLLRDHUP };

        return l->pid == getpid() && l->uid == geteuid() && link_has_its_fd(l) &&
               poll(&p, 1, 0) == 0;
}

static int connect_socket(const char *path, uint64_t timeout_usec) {
        struct timeval tv = { .tv_sec = (time_t) (timeout_usec / USEC_PER_SEC),
                              .tv_usec = (suseconds_t) (timeout_usec % USEC_PER_SEC) };
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int fd, r;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;

        /* Blocking, so that a full backlog is waited for; sd-bus would fail at once. */
        (void) setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
        memcpy(sa.sun_path, path, strlen(path) + 1);
        do
                r = connect(fd, (const struct sockaddr *) &sa, sizeof(sa));
        while (r < 0 && errno == EINTR);
        if (r < 0) {
                r = errno == EAGAIN ? -ETIMEDOUT : -errno;
                (void) close(fd);
                return r;
        }
        return fd;
}

static int open_socket(sd_bus **ret, const Place *p, uint64_t timeout_usec) {
        _cleanup_(bus_freep) sd_bus *bus = NULL;
        int fd, r;

        r = sd_bus_new(&bus);
        if (r < 0)
                return r;

        fd = connect_socket(p->rest, timeout_usec);
        if (fd < 0)
                return fd;

        r = sd_bus_set_fd(bus, fd, fd);
        if (r < 0) {
                (void) close(fd);
                return r;
        }

        r = sd_bus_start(bus);
        if (r < 0)
                return r;

        *ret = TAKE(bus);
        return 0;
}

static int open_bus_address(sd_bus **ret, const char *address) {
        _cleanup_(bus_freep) sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, address);
        if (r >= 0)
                r = sd_bus_set_bus_client(bus, true);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0)
                return r;

        *ret = TAKE(bus);
        return 0;
}

/* A signal that the application handles does not end it: its handlers are its own affair. */
static int wait_for_traffic(sd_bus *bus, uint64_t deadline) {
        uint64_t now = now_usec();
        int r;

        if (now >= deadline)
                return -ETIMEDOUT;
        r = sd_bus_wait(bus, deadline - now);
        return r == -EINTR ? 0 : r;
}

/* sd-bus would wait 90 s for a peer that accepts and then says nothing. */
static int wait_ready(sd_bus *bus, uint64_t deadline) {
        for (;;) {
                int r;

                r = sd_bus_is_ready(bus);
                if (r != 0)
                        return r;

                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = wait_for_traffic(bus, deadline);
                if (r < 0)
                        return r;
        }
}

static bool is_reply_to(sd_bus_message *m, uint64_t cookie) {
        uint64_t to;

        return m && sd_bus_message_get_reply_cookie(m, &to) >= 0 && to == cookie;
}

/* sd_bus_call(), which would give up at the first signal.  -EREMOTEIO: *error says it; -ETIMEDOUT.
 */
static int call_and_wait(sd_bus *bus, sd_bus_message *m, uint64_t timeout_usec, sd_bus_error *error,
                         sd_bus_message **ret) {
        const uint64_t deadline = now_usec() + timeout_usec;
        uint64_t cookie;
        int r;

        r = sd_bus_send(bus, m, &cookie);
        while (r >= 0) {
                _cleanup_(message_freep) sd_bus_message *got = NULL;

                r = sd_bus_process(bus, &got);
                if (r == 0)
                        r = wait_for_traffic(bus, deadline);
                if (!is_reply_to(got, cookie))
                        continue;
                if (!sd_bus_message_get_error(got)) {
                        *ret = TAKE(got);
                        return 0;
                }
                r = sd_bus_error_copy(error, sd_bus_message_get_error(got));
                return r == -ENOMEM ? r : -EREMOTEIO;
        }
        return r;
}

/* The bus has said that nobody got the call. */
static bool was_not_delivered(const sd_bus_error *error) {
        return sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
               sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER);
}

static int ask_bus(sd_bus *bus, uint64_t timeout_usec, const char *method, const char *types, ...) {
        _cleanup_(message_freep) sd_bus_message *m = NULL, *reply = NULL;
        _cleanup_(bus_error_done) sd_bus_error error = SD_BUS_ERROR_NULL;
        va_list ap;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                           "org.freedesktop.DBus", method);
        if (r < 0)
                return r;

        va_start(ap, types);
        r = sd_bus_message_appendv(m, types, ap);
        va_end(ap);
        if (r < 0)
                return r;

        r = call_and_wait(bus, m, timeout_usec, &error, &reply);
        return r < 0 && was_not_delivered(&error) ? -ENOENT : r;
}

/* The user's bus starts a sidecar for anybody; without a grant of the user's own it could only
 * stand before the machine's. */
static bool user_has_grant(void) {
        const char *config = secure_getenv("XDG_CONFIG_HOME"), *home = secure_getenv("HOME");
        char path[PATH_MAX];
        int n = -1;

        if (config && *config == '/')
                n = snprintf(path, sizeof(path), "%s/csign/sidecar.conf", config);
        else if (home && *home == '/')
                n = snprintf(path, sizeof(path), "%s/.config/csign/sidecar.conf", home);
        return n > 0 && n < (int) sizeof(path) && access(path, F_OK) == 0;
}

/* Whether the bus has a sidecar, or can start one: buses start only what has a service file. */
static int find_service(sd_bus *bus, const Place *p, uint64_t timeout_usec) {
        int r;

        r = ask_bus(bus, timeout_usec, "GetNameOwner", "s", SIDECAR_NAME);
        if (r != -ENOENT)
                return r;
        if (p->type == PLACE_USER_BUS && p->guessed && !user_has_grant())
                return -ENOENT;
        return ask_bus(bus, timeout_usec, "StartServiceByName", "su", SIDECAR_NAME, (uint32_t) 0);
}

static int open_place(sd_bus **ret, const Place *p, uint64_t timeout_usec) {
        switch (p->type) {
        case PLACE_SOCKET:
                return open_socket(ret, p, timeout_usec);
        case PLACE_USER_BUS:
                return sd_bus_open_user(ret);
        case PLACE_SYSTEM_BUS:
                return sd_bus_open_system(ret);
        case PLACE_BUS:
                return open_bus_address(ret, p->rest);
        }
        return -EINVAL;
}

static int link_open(Link **ret, const Place *p, uint64_t timeout_usec) {
        _cleanup_(bus_freep) sd_bus *bus = NULL;
        struct stat st;
        Link *l;
        int fd, r;

        r = open_place(&bus, p, timeout_usec);
        if (r >= 0)
                r = wait_ready(bus, now_usec() + timeout_usec);
        if (r >= 0 && p->type != PLACE_SOCKET)
                r = find_service(bus, p, timeout_usec);
        if (r < 0)
                return r;

        fd = sd_bus_get_fd(bus);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;

        l = malloc(sizeof(*l));
        if (!l)
                return -ENOMEM;

        *l = (Link){
                .bus = TAKE(bus),
                .place = p,
                .fd = fd,
                .inode = st.st_ino,
                .pid = getpid(),
                .uid = geteuid(),
        };
        *ret = l;
        return 0;
}

/* Nobody there, as opposed to somebody who does not answer. */
static bool means_absent(int r) {
        return r == -ENOENT || r == -ECONNREFUSED || r == -ENOMEDIUM || r == -ENOTDIR;
}

static bool is_disconnect(int r) {
        return r == -ECONNRESET || r == -ENOTCONN || r == -EPIPE || r == -ESHUTDOWN || r == -ECHILD;
}

/* "unix:path=…, user, …": where we looked. */
static void places_text(const SidecarBus *b, char *buf, size_t size) {
        size_t n = 0;

        buf[0] = '\0';
        for (size_t i = 0; i < b->n_places && n < size; i++)
                n += (size_t) snprintf(buf + n, size - n, "%s%s", i > 0 ? ", " : "",
                                       b->places[i].address);
}

static int connect_failed(const SidecarBus *b, const Place *p, int r, Error *e) {
        char where[384];

        if (!p) {
                places_text(b, where, sizeof(where));
                return error_set(e, -CSIGN_E_SIDECAR_UNAVAILABLE,
                                 "sidecar not reachable (%s): is csign-sidecar running?", where);
        }
        if (r == -ETIMEDOUT)
                return error_set(e, -CSIGN_E_TIMEOUT, "sidecar does not answer (%s)", p->address);
        return error_set(e, -CSIGN_E_SIDECAR_UNAVAILABLE, "sidecar not reachable (%s): %s",
                         p->address, strerror(-r));
}

/* The first place that has a sidecar.  If none has, the first that failed in some other way is what
 * to mend. */
static int connect_any(SidecarBus *b, Link **ret, Error *e) {
        const Place *broken = NULL;
        int why = 0;

        for (size_t i = 0; i < b->n_places; i++) {
                const Place *p = &b->places[i];
                int r;

                r = link_open(ret, p, b->timeout_usec);
                if (r >= 0) {
                        atomic_store(&b->used, p);
                        return 0;
                }
                if (!broken && !means_absent(r)) {
                        broken = p;
                        why = r;
                }
        }
        return connect_failed(b, broken, why, e);
}

/* The same place, whose sidecar went away during a call: one that restarts is back soon. */
static int connect_again(const Place *p, Link **ret, uint64_t deadline, Error *e) {
        uint64_t pause = RESTART_PAUSE, now = now_usec(), give_up = now + RESTART_USEC;
        int r;

        for (;; pause *= 2) {
                r = link_open(ret, p, time_left(deadline));
                if (r >= 0)
                        return 0;
                now = now_usec();
                if (!(means_absent(r) || is_disconnect(r)) || now + pause >= give_up ||
                    now + pause >= deadline)
                        break;
                sleep_usec(pause);
        }
        return error_set(e, -CSIGN_E_SIDECAR_UNAVAILABLE,
                         "sidecar went away during the call and is not back (%s): %s", p->address,
                         strerror(-r));
}

/* ---- the pool ---- */

static Slot *slot_take(SidecarBus *b) {
        const pid_t pid = getpid();

        for (size_t i = 0; i < SLOTS_MAX; i++) {
                Slot *s = &b->slots[i];
                pid_t seen = atomic_load(&s->taker);

                if (seen == pid || !atomic_compare_exchange_strong(&s->taker, &seen, pid))
                        continue;
                if (seen != 0 && s->link)
                        link_abandon(TAKE(s->link));
                return s;
        }
        return NULL;
}

static void slot_give(Slot *s) {
        atomic_store(&s->taker, 0);
}

void sidecar_bus_drain(SidecarBus *b) {
        const pid_t pid = getpid();

        for (size_t i = 0; i < SLOTS_MAX; i++) {
                Slot *s = &b->slots[i];
                pid_t seen = 0;

                if (!atomic_compare_exchange_strong(&s->taker, &seen, pid))
                        continue;
                link_close(TAKE(s->link));
                slot_give(s);
        }
}

void sidecar_bus_free(SidecarBus *b) {
        if (!b)
                return;

        sidecar_bus_drain(b);
        for (size_t i = 0; i < b->n_places; i++)
                free(b->places[i].address);
        free(b);
}

/* ---- one call ---- */

static int call_failed(const SidecarBus *b, const Link *l, int r, const sd_bus_error *error,
                       Error *e) {
        static const struct {
                const char *name;
                int code;
        } codes[] = {
                { SD_BUS_ERROR_SERVICE_UNKNOWN, -CSIGN_E_SIDECAR_UNAVAILABLE },
                { SD_BUS_ERROR_NAME_HAS_NO_OWNER, -CSIGN_E_SIDECAR_UNAVAILABLE },
                { SD_BUS_ERROR_DISCONNECTED, -CSIGN_E_SIDECAR_UNAVAILABLE },
                { SD_BUS_ERROR_NO_REPLY, -CSIGN_E_SIDECAR_UNAVAILABLE }, /* it left the bus */
                { SD_BUS_ERROR_TIMEOUT, -CSIGN_E_TIMEOUT },
                { SD_BUS_ERROR_ACCESS_DENIED, -CSIGN_E_LOCAL_POLICY },
        };
        const char *address = l->place->address;
        const char *message = error->message ? error->message : strerror(-r);
        int code = r == -ETIMEDOUT    ? -CSIGN_E_TIMEOUT
                   : is_disconnect(r) ? -CSIGN_E_SIDECAR_UNAVAILABLE
                                      : -CSIGN_E_BAD_ANSWER;

        for (size_t i = 0; i < ELEMENTSOF(codes); i++)
                if (sd_bus_error_has_name(error, codes[i].name))
                        code = codes[i].code;

        switch (code) {
        case -CSIGN_E_TIMEOUT:
                return error_set(e, code, "sidecar does not answer (%s, %.1f s)", address,
                                 (double) b->timeout_usec / (double) USEC_PER_SEC);
        case -CSIGN_E_LOCAL_POLICY:
                return error_set_rule(e, code, "bus-policy", "the bus forbids the call: %s",
                                      message);
        case -CSIGN_E_BAD_ANSWER:
                return error_set(e, code, "sidecar and client do not fit (%s): %s", address,
                                 message);
        default:
                return error_set(e, code, "sidecar went away during the call (%s): %s", address,
                                 message);
        }
}

static bool is_ours(const sd_bus_error *error) {
        return error->name &&
               strncmp(error->name, ERROR_DBUS_PREFIX, strlen(ERROR_DBUS_PREFIX)) == 0;
}

typedef enum Outcome {
        OUTCOME_ANSWERED, /* by a result or a refusal: the connection is good */
        OUTCOME_BROKEN,
        OUTCOME_NOT_DELIVERED,
} Outcome;

/* The reply must be gone before the connection goes back: a message counts its connection's
 * references, and not atomically. */
static Outcome link_call(SidecarBus *b, Link *l, const SidecarCall *call, uint64_t timeout_usec,
                         int *ret, Error *e) {
        _cleanup_(message_freep) sd_bus_message *m = NULL, *reply = NULL;
        _cleanup_(bus_error_done) sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *destination = l->place->type == PLACE_SOCKET ? NULL : SIDECAR_NAME;
        int r;

        r = sd_bus_message_new_method_call(l->bus, &m, destination, SIDECAR_OBJECT, SIDECAR_NAME,
                                           call->method);
        if (r >= 0 && call->fill)
                r = call->fill(m, call->arg);
        if (r < 0) {
                *ret = error_set(e, r, "cannot build the call to the sidecar: %s", strerror(-r));
                return OUTCOME_BROKEN;
        }

        r = call_and_wait(l->bus, m, timeout_usec, &error, &reply);
        if (r >= 0) {
                *ret = call->read ? call->read(reply, call->arg, e) : 0;
                return OUTCOME_ANSWERED;
        }
        if (is_ours(&error)) {
                *ret = error_from_name(error.name);
                error_from_text(e, *ret, error.message ? error.message : "");
                return OUTCOME_ANSWERED;
        }
        *ret = call_failed(b, l, r, &error, e);
        return was_not_delivered(&error) ? OUTCOME_NOT_DELIVERED : OUTCOME_BROKEN;
}

static bool may_repeat(const SidecarCall *call, int r) {
        return call->repeatable && r == -CSIGN_E_SIDECAR_UNAVAILABLE;
}

/* Uses *link if it is usable, else connects and leaves the connection there for the next call.  A
 * call that may have arrived is made once more, and only where it went before: at another address
 * may be another account, to which it would be a new call. */
static int call_through(SidecarBus *b, Link **link, const SidecarCall *call, Error *e) {
        const uint64_t deadline = now_usec() + b->timeout_usec;
        const Place *lost = NULL;
        bool fresh = false;

        if (*link && !link_is_usable(*link))
                link_close(TAKE(*link));

        for (;;) {
                const Place *place;
                Outcome outcome;
                int r;

                if (!*link) {
                        fresh = true;
                        r = lost ? connect_again(lost, link, deadline, e) : connect_any(b, link, e);
                        if (r < 0)
                                return r;
                }

                place = (*link)->place;
                outcome = link_call(b, *link, call, time_left(deadline), &r, e);
                if (outcome == OUTCOME_ANSWERED)
                        return r;

                link_close(TAKE(*link));
                if (outcome == OUTCOME_NOT_DELIVERED ? fresh : lost || !may_repeat(call, r))
                        return r;
                if (outcome == OUTCOME_BROKEN)
                        lost = place;
                if (e)
                        *e = (Error){};
        }
}

int sidecar_bus_call(SidecarBus *b, const SidecarCall *call, Error *e) {
        Link *unpooled = NULL;
        Slot *slot;
        int r;

        r = libsystemd_load(e);
        if (r < 0)
                return r;

        slot = slot_take(b);
        if (!slot) {
                r = call_through(b, &unpooled, call, e);
                link_close(unpooled);
                return r;
        }

        r = call_through(b, &slot->link, call, e);
        slot_give(slot);
        return r;
}
