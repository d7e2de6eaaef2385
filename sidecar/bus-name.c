/* SPDX-License-Identifier: Apache-2.0 */

/* The interface under its name on a bus.  The bus tells once who is behind each unique name; that
 * is kept until the name vanishes, since unique names are never given twice. */

#include <assert.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "sidecar/bus.h"
#include "sidecar/clock.h"

#define PEERS_MAX     4096
#define RECONNECT     (5 * USEC_PER_SEC)
#define IDENTIFY_TIME (10 * USEC_PER_SEC)
#define GROUPS_MAX    1024

struct BusName {
        Link link;
        Manager *manager;
        char *address;
        sd_bus *bus; /* NULL while it is lost */
        sd_event_source *timer;
        void *peers; /* tree of NamedPeer, by name */
        size_t n_peers;
};

typedef struct NamedPeer {
        char *name; /* ":1.42" */
        BusName *owner;
        Peer *peer;
        sd_bus_slot *question; /* to the bus: who is this? */
} NamedPeer;

/* ---- who is behind a unique name ---- */

static int compare(const void *a, const void *b) {
        return strcmp(((const NamedPeer *) a)->name, ((const NamedPeer *) b)->name);
}

static void named_peer_free(void *arg) {
        NamedPeer *np = arg;

        sd_bus_slot_unref(np->question);
        if (np->peer)
                peer_leave(np->peer);
        peer_unref(np->peer);
        free(np->name);
        free(np);
}

static NamedPeer *find(BusName *n, const char *name) {
        NamedPeer **found = tfind(&(NamedPeer){ .name = (char *) name }, &n->peers, compare);

        return found ? *found : NULL;
}

static void forget(BusName *n, NamedPeer *np) {
        (void) tdelete(np, &n->peers, compare);
        n->n_peers--;
        named_peer_free(np);
}

typedef struct Ids {
        uint32_t uid, pid;
        const uint32_t *groups;
        size_t n_groups;
} Ids;

static int read_id(sd_bus_message *m, const char *name, Ids *ids) {
        size_t size;
        int r;

        if (strcmp(name, "UnixUserID") == 0)
                return sd_bus_message_read(m, "v", "u", &ids->uid);
        if (strcmp(name, "ProcessID") == 0)
                return sd_bus_message_read(m, "v", "u", &ids->pid);
        if (strcmp(name, "UnixGroupIDs") != 0)
                return sd_bus_message_skip(m, "v");

        r = sd_bus_message_enter_container(m, 'v', "au");
        if (r >= 0)
                r = sd_bus_message_read_array(m, 'u', (const void **) &ids->groups, &size);
        if (r < 0)
                return r;
        ids->n_groups = size / sizeof(uint32_t) < GROUPS_MAX ? size / sizeof(uint32_t) : GROUPS_MAX;
        return sd_bus_message_exit_container(m);
}

static int read_ids(sd_bus_message *m, Ids *ids) {
        const char *name;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &name);
                if (r >= 0)
                        r = read_id(m, name, ids);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r < 0 ? r : ids->uid == (uint32_t) -1 || ids->pid == 0 ? -ENODATA : 0;
}

static int on_identified(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        NamedPeer *np = userdata;
        Peer *p = peer_ref(np->peer);
        Ids ids = { .uid = (uint32_t) -1 };
        Caller *caller = NULL;
        int r;

        np->question = sd_bus_slot_unref(np->question);
        r = sd_bus_message_is_method_error(m, NULL) ? -EACCES : read_ids(m, &ids);
        if (r >= 0)
                r = caller_from_ids(&caller, ids.uid, (pid_t) ids.pid, ids.groups, ids.n_groups,
                                    NULL);
        peer_identify(p, r < 0 ? NULL : caller);
        if (r < 0)
                forget(np->owner, np);
        peer_unref(p);
        return 0;
}

static int ask_who(BusName *n, NamedPeer *np) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(n->bus, &m, "org.freedesktop.DBus",
                                           "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                           "GetConnectionCredentials");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", np->name);
        return r < 0 ? r
                     : sd_bus_call_async(n->bus, &np->question, m, on_identified, np,
                                         IDENTIFY_TIME);
}

static NamedPeer *named_peer_new(BusName *n, const char *name) {
        NamedPeer *np = calloc(1, sizeof(*np));

        if (!np)
                return NULL;
        np->owner = n;
        np->name = strdup(name);
        np->peer = peer_new(n->manager);
        if (!np->name || !np->peer || !tsearch(np, &n->peers, compare)) {
                named_peer_free(np);
                return NULL;
        }
        n->n_peers++;
        if (ask_who(n, np) < 0) {
                forget(n, np);
                return NULL;
        }
        return np;
}

static Peer *name_peer(Link *l, sd_bus_message *m) {
        BusName *n = container_of(l, BusName, link);
        const char *sender = sd_bus_message_get_sender(m);
        NamedPeer *np;

        if (!sender)
                return NULL;
        np = find(n, sender);
        if (!np && n->n_peers < PEERS_MAX)
                np = named_peer_new(n, sender);
        return np ? np->peer : NULL;
}

static int on_vanished(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusName *n = userdata;
        const char *name;
        NamedPeer *np;

        if (sd_bus_message_read(m, "s", &name) < 0)
                return 0;
        np = find(n, name);
        if (np)
                forget(n, np);
        return 0;
}

/* ---- the connection ---- */

static int open_bus(const char *address, sd_bus **ret) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r;

        if (strcmp(address, "user") == 0)
                return sd_bus_open_user(ret);
        if (strcmp(address, "system") == 0)
                return sd_bus_open_system(ret);

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

static void lose(BusName *n) {
        tdestroy(n->peers, named_peer_free);
        n->peers = NULL;
        n->n_peers = 0;
        if (!n->bus)
                return;
        (void) sd_bus_detach_event(n->bus);
        sd_bus_close_unref(n->bus);
        n->bus = NULL;
}

static int connect_bus(BusName *n, Error *e);

static int on_reconnect(sd_event_source *source, uint64_t usec, void *userdata) {
        BusName *n = userdata;
        Error e = {};

        if (connect_bus(n, &e) >= 0)
                log_line(LOG_NOTICE, "on the bus again", "BUS", n->address, NULL);
        else {
                (void) sd_event_source_set_time_relative(source, RECONNECT);
                (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        return 0;
}

static int on_lost(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusName *n = userdata;

        log_line(LOG_WARNING, "the bus is lost", "BUS", n->address, NULL);
        lose(n);
        n->timer = sd_event_source_unref(n->timer);
        (void) sd_event_add_time_relative(n->manager->event, &n->timer, CLOCK_MONOTONIC, RECONNECT,
                                          0, on_reconnect, n);
        return 0;
}

static int set_up_bus(BusName *n) {
        int r;

        r = bus_add_object(n->bus, &n->link);
        if (r >= 0)
                r = bus_watch_end(n->bus, on_lost, n);
        if (r >= 0)
                r = sd_bus_add_match(
                        n->bus, NULL,
                        "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop."
                        "DBus',member='NameOwnerChanged',arg2=''",
                        on_vanished, n);
        if (r >= 0)
                r = sd_bus_request_name(n->bus, BUS_NAME, 0);
        return r < 0 ? r : sd_bus_attach_event(n->bus, n->manager->event, SD_EVENT_PRIORITY_NORMAL);
}

static int connect_bus(BusName *n, Error *e) {
        int r;

        r = open_bus(n->address, &n->bus);
        if (r < 0)
                return error_set(e, r, "the bus %s is not reachable: %s", n->address, strerror(-r));
        r = set_up_bus(n);
        if (r >= 0)
                return 0;
        lose(n);
        if (r == -EEXIST)
                return error_set(e, r, "another sidecar has the name %s on the bus %s", BUS_NAME,
                                 n->address);
        return error_set(e, r, "cannot have the name %s on the bus %s: %s", BUS_NAME, n->address,
                         strerror(-r));
}

int bus_name_new(BusName **ret, Manager *m, const char *address, Error *e) {
        BusName *n;
        int r;

        assert(ret && m && address);

        n = calloc(1, sizeof(*n));
        if (!n)
                return error_set(e, -ENOMEM, "out of memory");
        n->link.peer_of = name_peer;
        n->manager = m;
        n->address = strdup(address);
        r = n->address ? connect_bus(n, e) : -ENOMEM;
        if (r < 0) {
                bus_name_free(n);
                return r;
        }
        *ret = n;
        return 0;
}

void bus_name_free(BusName *n) {
        if (!n)
                return;
        sd_event_source_unref(n->timer);
        lose(n);
        free(n->address);
        free(n);
}
