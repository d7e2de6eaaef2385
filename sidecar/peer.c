/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/peer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sidecar/bus-error.h"
#include "sidecar/bus.h"
#include "sidecar/clock.h"

#define PARKED_MAX 64

Peer *peer_new(Manager *m) {
        Peer *p = calloc(1, sizeof(*p));

        if (!p)
                return NULL;
        p->n_ref = 1;
        p->manager = m;
        p->used = now_usec();
        atomic_init(&p->gone, false);
        return p;
}

Peer *peer_ref(Peer *p) {
        p->n_ref++;
        return p;
}

static void drop_parked(Peer *p) {
        for (size_t i = 0; i < p->n_parked; i++)
                sd_bus_message_unref(p->parked[i].m);
        free(p->parked);
        p->parked = NULL;
        p->n_parked = 0;
}

void peer_unref(Peer *p) {
        if (!p || --p->n_ref > 0)
                return;
        drop_parked(p);
        caller_unref(p->caller);
        free(p);
}

static int refuse(sd_bus_message *m, int code, const char *why) {
        Error e = {};

        (void) error_set(&e, code, "%s", why);
        return bus_reply_error(m, &e);
}

static int park(Peer *p, sd_bus_message *m, BusMethod method) {
        ParkedCall *parked;

        if (p->n_parked >= PARKED_MAX)
                return refuse(m, -CSIGN_E_RATE_LIMITED,
                              "too many calls before the first was answered");
        parked = reallocarray(p->parked, p->n_parked + 1, sizeof(*parked));
        if (!parked)
                return -ENOMEM;
        p->parked = parked;
        p->parked[p->n_parked++] = (ParkedCall){ sd_bus_message_ref(m), method };
        return 1;
}

int peer_call(Peer *p, sd_bus_message *m, BusMethod method) {
        assert(p && m);

        p->used = now_usec();
        p->has_called = true;
        if (p->turned_away)
                return refuse(m, -CSIGN_E_RATE_LIMITED,
                              "this user, or all together, have too many connections at work");
        if (!p->identified)
                return park(p, m, method);
        if (p->in_flight >= PEER_CALLS_MAX)
                return refuse(m, -CSIGN_E_RATE_LIMITED,
                              "this connection has too many calls under way");
        p->manager->n_calls++;
        return method(m, p);
}

/* ---- who it is ---- */

static void run_parked(Peer *p) {
        ParkedCall *parked = TAKE(p->parked);
        size_t n = p->n_parked;
        int r;

        p->n_parked = 0;
        p->identified = p->caller;
        for (size_t i = 0; i < n; i++) {
                if (p->caller)
                        r = peer_call(p, parked[i].m, parked[i].method);
                else
                        r = refuse(parked[i].m, -CSIGN_E_UNAUTHENTICATED,
                                   "the bus does not say who is calling");
                if (r < 0)
                        (void) sd_bus_reply_method_errno(parked[i].m, r, NULL);
                sd_bus_message_unref(parked[i].m);
        }
        free(parked);
        if (p->link && p->link->identified)
                p->link->identified(p->link);
}

typedef struct Look {
        Done done;
        Peer *peer;
        Executable executable;
} Look;

static void looked(void *arg) {
        Look *l = arg;

        if (caller_set_executable(l->peer->caller, &l->executable) < 0)
                l->peer->caller = (caller_unref(l->peer->caller), NULL);
        run_parked(l->peer);
        peer_unref(l->peer);
        free(l);
}

/* On a thread.  Nobody changes the caller before looked(). */
static void look(void *arg) {
        Look *l = arg;
        Manager *m = l->peer->manager;

        executable_look(m->executables, l->peer->caller->exe_fd, l->peer->caller->exe,
                        &l->executable);
        done_queue_post(m->done, &l->done);
}

static int submit_look(Peer *p) {
        Look *l = calloc(1, sizeof(*l));
        int r;

        if (!l)
                return -ENOMEM;
        *l = (Look){ .done = { .fn = looked, .arg = l }, .peer = peer_ref(p) };
        r = worker_submit(p->manager->looks, look, l);
        if (r < 0) {
                peer_unref(p);
                free(l);
        }
        return r;
}

void peer_identify(Peer *p, Caller *caller) {
        static const Executable busy = { .note = "too many programs at once" };

        p->caller = caller;
        if (caller && caller->exe_fd >= 0) {
                if (submit_look(p) >= 0)
                        return;
                (void) caller_set_executable(caller, &busy);
        }
        run_parked(p);
}

void peer_leave(Peer *p) {
        atomic_store_explicit(&p->gone, true, memory_order_relaxed);
        drop_parked(p);
}
