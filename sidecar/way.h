/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The way to the service: its addresses, which of them is well, and the warm connections to each.
 * The first address that is well is asked; one that is not is tried again when its gate says so
 * (gate.h), the first before the others.  Who asks for one thing makes one trip, of as many steps
 * as there are tries:
 *
 *     Trip trip = trip_begin(wish);
 *     while ((r = way_take(w, &trip, e)) >= 0) {
 *             r = … on trip.http, for trip.timeout_usec …;
 *             if (!way_give(w, &trip, r, e))
 *                     break;
 *     }
 *
 * Any thread may call. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/credential.h"
#include "lib/error.h"
#include "lib/http.h"
#include "sidecar/config.h"

/* On whose behalf. */
typedef struct Wish {
        uint64_t since; /* when the caller came, as of now_usec(): what is found out later is news
                           to it */
        uint64_t deadline;
        bool (*given_up)(
                void *data); /* nobody waits for the answer any more; NULL: somebody does */
        void *data;
        const atomic_bool *stop; /* true: the try that is under way is the last; NULL */
} Wish;

typedef struct Address Address;
typedef struct Way Way;

/* Keeps references to both: they must outlive it.  Does not connect. */
int way_new(Way **ret, const SidecarConfig *config, const Credential *credential, Error *e);
void way_free(Way *w);
DEFINE_CLEANUP(Way, way_free)

typedef struct Trip {
        Wish wish;
        HttpClient *http;              /* of this step */
        uint64_t timeout_usec;         /* of this step: some time is kept to ask again */
        uint64_t connect_timeout_usec; /* 0: as usual */
        bool sent; /* the traveller's word: a request may have reached the service */

        /* The way's own. */
        Address *address;
        uint64_t began, end;
        bool failed;
} Trip;

Trip trip_begin(Wish wish);

/* Waits for its turn.  Fails at once, with what the last one to try found out, if the turn would
 * come too late: after the deadline, or if nothing was sent, after a second of failures. */
int way_take(Way *w, Trip *t, Error *e);

/* r, e: how the step ended.  Takes trip.http.  true: another one may do better. */
bool way_give(Way *w, Trip *t, int r, const Error *e);

/* The address that is well, or the first. */
const char *way_address(Way *w);
