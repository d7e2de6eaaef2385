/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/peer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sidecar/bus-error.h"
#include "sidecar/clock.h"

#define PARKED_MAX 64

Peer *peer_new(Manager *m, Caller *caller) {
        Peer *p = calloc(1, sizeof(*p));

        if (!p)
                return NULL;
        p->n_ref = 1;
        p->manager = m;
        p->caller = caller;
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
        if (!p->caller)
                return park(p, m, method);
        if (p->in_flight >= PEER_CALLS_MAX)
                return refuse(m, -CSIGN_E_RATE_LIMITED,
                              "this connection has too many calls under way");
        p->manager->n_calls++;
        return method(m, p);
}

void peer_identify(Peer *p, Caller *caller) {
        ParkedCall *parked = TAKE(p->parked);
        size_t n = p->n_parked;
        int r;

        p->n_parked = 0;
        p->caller = caller;
        for (size_t i = 0; i < n; i++) {
                if (caller)
                        r = peer_call(p, parked[i].m, parked[i].method);
                else
                        r = refuse(parked[i].m, -CSIGN_E_UNAUTHENTICATED,
                                   "the bus does not say who is calling");
                if (r < 0)
                        (void) sd_bus_reply_method_errno(parked[i].m, r, NULL);
                sd_bus_message_unref(parked[i].m);
        }
        free(parked);
}

void peer_leave(Peer *p) {
        atomic_store_explicit(&p->gone, true, memory_order_relaxed);
        drop_parked(p);
}
