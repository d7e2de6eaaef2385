/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/gate.h"

#include <assert.h>

#include "sidecar/clock.h"

#define FIRST_PAUSE (USEC_PER_SEC / 10) /* doubled with each failure */
#define TRY_HOLDS   (2 * USEC_PER_SEC)

bool gate_is_open(const Gate *g) {
        return g->failures == 0;
}

bool gate_may_enter(const Gate *g, uint64_t now) {
        return g->failures == 0 || now >= gate_time(g);
}

uint64_t gate_time(const Gate *g) {
        return g->next > g->tried_until ? g->next : g->tried_until;
}

void gate_enter(Gate *g, uint64_t now) {
        assert(gate_may_enter(g, now));

        if (g->failures > 0)
                g->tried_until = now + TRY_HOLDS;
}

void gate_left(Gate *g) {
        g->tried_until = 0;
}

void gate_succeeded(Gate *g, uint64_t began) {
        if (g->failures == 0 || began >= g->failed_at)
                *g = (Gate){};
}

/* Who was told to wait was told so with others: they shall not come back together either. */
static uint64_t draw(unsigned failures, const GateFailure *f) {
        uint64_t span = FIRST_PAUSE;

        for (unsigned i = 1; i < failures && span < f->longest; i++)
                span *= 2;
        if (span < f->at_least)
                span = f->at_least;
        if (span > f->longest)
                span = f->longest;
        return f->random % (span + 1);
}

void gate_failed(Gate *g, const GateFailure *f, const Error *why) {
        uint64_t next;

        g->why = *why;
        if (g->failures > 0 && f->began < g->failed_at) {
                next = f->now + f->at_least;
                g->next = f->at_least > 0 && next > g->next ? next : g->next;
                g->told |= f->at_least > 0;
                return;
        }
        g->failures++;
        g->tried_until = 0;
        g->failed_at = f->now;
        g->told = f->at_least > 0;
        g->next = f->now + f->at_least + draw(g->failures, f);
}
