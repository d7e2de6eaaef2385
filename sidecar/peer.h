/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One who calls: a connection of the plain socket, or a unique name on a bus.  Of the loop's thread
 * alone, but for `gone`. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-bus.h>

#include "sidecar/caller.h"
#include "sidecar/manager.h"

#define PEER_CALLS_MAX 1024 /* in flight */

typedef struct Link Link;
typedef struct Peer Peer;

/* A method of the interface: replies itself, now or later, and returns 1. */
typedef int (*BusMethod)(sd_bus_message *m, Peer *p);

/* A call that came before it was known who its sender is. */
typedef struct ParkedCall {
        sd_bus_message *m;
        BusMethod method;
} ParkedCall;

struct Peer {
        unsigned n_ref;
        Manager *manager;
        Link *link;       /* NULL when it has left, or for names on a bus */
        Caller *caller;   /* NULL: not known yet */
        bool identified;  /* all that is to be known of it is */
        atomic_bool gone; /* it has left: signing threads look */
        unsigned in_flight;
        bool turned_away; /* there is no room for it: its first call says so */
        bool has_called;
        uint64_t used; /* when it last called, or was answered */
        ParkedCall *parked;
        size_t n_parked;
};

Peer *peer_new(Manager *m);
Peer *peer_ref(Peer *p);
void peer_unref(Peer *p);
DEFINE_CLEANUP(Peer, peer_unref)

/* Runs the method, or parks it until peer_identify(). */
int peer_call(Peer *p, sd_bus_message *m, BusMethod method);

/* Takes the reference to caller, has its executable looked at on a thread, and then runs what was
 * parked.  caller NULL: nobody knows who it is, and all of it is refused. */
void peer_identify(Peer *p, Caller *caller);

/* It is not there any more: what is parked or queued for it is dropped. */
void peer_leave(Peer *p);
