/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One call under way.  A method makes it, maybe sends it to a thread, and ends it: with a reply or
 * with an error, one log line for a failure, and its memory freed.
 *
 *     typedef struct GetKeyCall { BusCall call; … } GetKeyCall;      the BusCall comes first */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-bus.h>

#include "lib/id.h"
#include "lib/worker.h"
#include "sidecar/peer.h"

typedef struct BusCall BusCall;

typedef struct BusCallOps {
        const char *method;
        size_t size;            /* of the struct that begins with the BusCall */
        bool is_large;          /* goes to the threads for messages, and holds up nobody else */
        int (*run)(BusCall *c); /* on a thread; 1: another one will post the end */
        int (*reply)(BusCall *c,
                     sd_bus_message *reply); /* in the loop, after success: append results */
        void (*done)(BusCall *c);            /* optional: frees the members */
} BusCallOps;

struct BusCall {
        const BusCallOps *ops;
        sd_bus_message *m; /* of the loop's thread */
        Peer *peer;        /* of the loop's thread, but for `gone` */
        Caller *caller;    /* read-only */
        Setup *setup;
        char request_id[ID_MAX];
        uint64_t since, deadline;
        const char *about;  /* for the log: the key, or NULL */
        bool asked_service; /* so that its success or failure tells of the service */
        Error e;            /* e.code: 0, or the failure */
        Done done;
};

/* With a request id of its own, and the setup of now. */
int bus_call_new(const BusCallOps *ops, sd_bus_message *m, Peer *p, BusCall **ret);

/* Whether it is the sidecar's own user or root who calls: -CSIGN_E_LOCAL_POLICY otherwise. */
int bus_check_owner(const BusCall *c, const char *what, Error *e);

/* On whose behalf the service is asked, from any thread. */
Wish bus_call_wish(BusCall *c);

/* Sends it to a thread that runs ops->run(), after which it ends.  -CSIGN_E_RATE_LIMITED. */
int bus_call_submit(BusCall *c);

/* The end, in the loop.  r: 0 or the failure that is in c->e.  Returns 1. */
int bus_call_end(BusCall *c, int r);

/* The end, from any thread: posts bus_call_end(). */
void bus_call_post(BusCall *c, int r);
