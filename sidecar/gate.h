/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether to ask somebody who lately did not answer: not before a time that is drawn by lot
 * (exponential backoff with full jitter), and then one alone, who finds out for the others.  So
 * when a service is back, neither all sidecars nor all threads of one meet at its door.
 *
 * It has no clock, no lock and no dice of its own: a simulation runs what ships. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"

/* Zero-initialise: it is open. */
typedef struct Gate {
        unsigned failures;    /* in a row; 0: it is open */
        uint64_t failed_at;   /* the last of them */
        uint64_t next;        /* nobody enters before, unless it is open */
        uint64_t tried_until; /* one has entered, and the others wait for what it finds out */
        bool told;            /* the service itself said when to come back */
        Error why;            /* of the last failure */
} Gate;

bool gate_is_open(const Gate *g);

/* When one may enter if nothing is heard before. */
uint64_t gate_time(const Gate *g);

/* Open, or it is time for one to try. */
bool gate_may_enter(const Gate *g, uint64_t now);

/* Who may, does.  At a gate that is not open, the next one may after a while in which the first is
 * not back. */
void gate_enter(Gate *g, uint64_t now);

/* Back without any news: the next one may. */
void gate_left(Gate *g);

/* began: when the request was sent.  Before the last failure, it tells nothing new. */
void gate_succeeded(Gate *g, uint64_t began);

typedef struct GateFailure {
        uint64_t began; /* as above */
        uint64_t now;
        uint64_t at_least; /* what the service asks for (Retry-After); 0: nothing */
        uint64_t longest;  /* pause that is drawn */
        uint64_t random;
} GateFailure;

void gate_failed(Gate *g, const GateFailure *f, const Error *why);
