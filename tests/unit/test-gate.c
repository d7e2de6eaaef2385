/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/gate.h"
#include "tests/unit/test.h"

#include "sidecar/clock.h"

#define MSEC    (USEC_PER_SEC / 1000)
#define LONGEST (8 * USEC_PER_SEC)

static uint64_t dice_state;

/* The same dice each run: splitmix64. */
static uint64_t dice(void) {
        uint64_t z = (dice_state += 0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
}

static void fail_at(Gate *g, uint64_t now, uint64_t at_least, uint64_t random) {
        GateFailure f = {
                .began = now, .now = now, .at_least = at_least, .longest = LONGEST, .random = random
        };
        Error why = {};

        error_set(&why, -CSIGN_E_SERVICE_UNAVAILABLE, "connection refused");
        gate_failed(g, &f, &why);
}

/* ---- one gate ---- */

static void pauses_double_up_to_the_longest(void **state) {
        static const uint64_t spans[] = { 100, 200, 400, 800, 1600, 3200, 6400, 8000, 8000 };
        uint64_t now = USEC_PER_SEC;
        Gate g = {};

        for (size_t i = 0; i < ELEMENTSOF(spans); i++) {
                fail_at(&g, now, 0, spans[i] * MSEC); /* the most that the dice can say */
                assert_int_equal(g.next - now, spans[i] * MSEC);
                assert_false(gate_may_enter(&g, g.next - 1));
                assert_true(gate_may_enter(&g, g.next));
                now = g.next;
        }
        fail_at(&g, now, 0, 0); /* and the least: full jitter */
        assert_int_equal(g.next, now);
}

static void one_tries_at_a_time(void **state) {
        Gate g = {};

        assert_true(gate_may_enter(&g, 0));
        gate_enter(&g, 0); /* open: everybody */
        assert_true(gate_may_enter(&g, 0));

        fail_at(&g, USEC_PER_SEC, 0, 50 * MSEC);
        assert_false(gate_is_open(&g));
        assert_string_equal(g.why.detail, "connection refused");
        gate_enter(&g, g.next);
        assert_false(gate_may_enter(&g, g.next));
        assert_true(gate_may_enter(&g, 4 * USEC_PER_SEC)); /* the first is lost: another may */

        gate_left(&g);
        assert_true(gate_may_enter(&g, g.next));

        gate_succeeded(&g, 0); /* sent before: no news */
        assert_false(gate_is_open(&g));
        gate_succeeded(&g, g.failed_at);
        assert_true(gate_is_open(&g) && gate_may_enter(&g, 0));
}

/* Four threads whose requests were under way when the service died have one piece of news. */
static void failures_of_one_moment_count_once(void **state) {
        Gate g = {};
        GateFailure f = { .began = 1000, .now = 5000, .longest = LONGEST, .random = 100 * MSEC };
        Error why = {};

        error_set(&why, -CSIGN_E_TIMEOUT, "no answer");
        for (int i = 0; i < 4; i++) {
                gate_failed(&g, &f, &why);
                f.now += 10;
        }
        assert_int_equal(g.failures, 1);
        assert_int_equal(g.next, 5000 + 100 * MSEC);

        f.at_least = 3 * USEC_PER_SEC; /* but one of them was told when to come back */
        gate_failed(&g, &f, &why);
        assert_int_equal(g.failures, 1);
        assert_int_equal(g.next, f.now + 3 * USEC_PER_SEC);
}

static void who_is_told_to_wait_waits_and_is_spread(void **state) {
        Gate g = {};

        fail_at(&g, USEC_PER_SEC, 5 * USEC_PER_SEC, 0);
        assert_int_equal(g.next, 6 * USEC_PER_SEC);
        g = (Gate){};
        fail_at(&g, USEC_PER_SEC, 5 * USEC_PER_SEC, 5 * USEC_PER_SEC);
        assert_int_equal(g.next, 11 * USEC_PER_SEC);
}

/* ---- a thousand sidecars, each with work that waits ---- */

#define SIDECARS 1000

typedef struct Herd {
        Gate gates[SIDECARS];
        bool served[SIDECARS];
        size_t n_served, n_asked;
} Herd;

typedef struct Crush {
        size_t in_window, most; /* of requests in any window */
        uint64_t times[SIDECARS * 64];
        size_t n, first;
} Crush;

/* How many came within 100 ms, at the worst. */
static void crush_note(Crush *c, uint64_t now) {
        assert_true(c->n < ELEMENTSOF(c->times));
        c->times[c->n++] = now;
        while (now - c->times[c->first] >= 100 * MSEC)
                c->first++;
        if (c->n - c->first > c->most)
                c->most = c->n - c->first;
}

/* Everybody who may asks, in each millisecond. */
static void herd_step(Herd *h, uint64_t now,
                      bool (*ask)(void *service, uint64_t now, uint64_t *told), void *service) {
        for (size_t i = 0; i < SIDECARS; i++) {
                uint64_t told = 0;

                if (h->served[i] || !gate_may_enter(&h->gates[i], now))
                        continue;
                gate_enter(&h->gates[i], now);
                h->n_asked++;
                if (ask(service, now, &told)) {
                        gate_succeeded(&h->gates[i], now);
                        h->served[i] = true;
                        h->n_served++;
                } else
                        fail_at(&h->gates[i], now, told, dice());
        }
}

static bool nobody_there(void *service, uint64_t now, uint64_t *told) {
        return false;
}

static bool well_again(void *service, uint64_t now, uint64_t *told) {
        crush_note(service, now);
        return true;
}

/* A minute's outage that began for all at once; then how they come back. */
static void a_thousand_come_back_one_by_one(void **state) {
        Herd *h = calloc(1, sizeof(*h));
        Crush *c = calloc(1, sizeof(*c));
        uint64_t now = USEC_PER_SEC, back = 61 * USEC_PER_SEC;
        size_t late = 0;

        dice_state = 1;
        for (; now < back; now += MSEC) {
                herd_step(h, now, nobody_there, NULL);
                if (now == 31 * USEC_PER_SEC)
                        late = h->n_asked;
        }
        late = h->n_asked - late;
        assert_in_range(late, SIDECARS * 30 / 8, SIDECARS * 30 / 3); /* each every 4 s or so */

        while (h->n_served < SIDECARS && now < back + 2 * LONGEST) {
                herd_step(h, now, well_again, c);
                now += MSEC;
        }
        print_message("# the first 100 ms at the worst: %zu of %d, all within %llu ms\n", c->most,
                      SIDECARS, (unsigned long long) ((now - back) / MSEC));
        assert_int_equal(h->n_served, SIDECARS);
        assert_true(now - back <= LONGEST + MSEC);
        assert_true(now - back > LONGEST / 2);
        assert_true(c->most <= SIDECARS / 20); /* evenly over 8 s would be 12.5 */
        free(c);
        free(h);
}

/* Serves what it can of each 100 ms, and tells the others to wait for a second. */
typedef struct Weak {
        uint64_t window;
        size_t n, refused;
} Weak;

#define WEAK_PER_WINDOW 5 /* 50 a second */

static bool weak(void *service, uint64_t now, uint64_t *told) {
        Weak *w = service;

        if (now / (100 * MSEC) != w->window)
                *w = (Weak){ .window = now / (100 * MSEC), .refused = w->refused };
        if (w->n++ < WEAK_PER_WINDOW)
                return true;
        w->refused++;
        *told = USEC_PER_SEC;
        return false;
}

/* A service that can do 50 a second is asked by all thousand in one moment: it is not beaten to
 * death, and as good as never idle. */
static void a_weak_service_is_not_overrun(void **state) {
        Herd *h = calloc(1, sizeof(*h));
        uint64_t begin = USEC_PER_SEC, now;
        Weak w = {};

        dice_state = 2;
        for (now = begin; h->n_served < SIDECARS && now < begin + 120 * USEC_PER_SEC; now += MSEC)
                herd_step(h, now, weak, &w);
        print_message("# served within %llu ms, %zu refusals\n",
                      (unsigned long long) ((now - begin) / MSEC), w.refused);
        assert_int_equal(h->n_served, SIDECARS);
        assert_true(now - begin < 60 * USEC_PER_SEC); /* 20 s is the least that is possible */
        assert_true(w.refused < SIDECARS * 8);
        free(h);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(pauses_double_up_to_the_longest),
                cmocka_unit_test(one_tries_at_a_time),
                cmocka_unit_test(failures_of_one_moment_count_once),
                cmocka_unit_test(who_is_told_to_wait_waits_and_is_spread),
                cmocka_unit_test(a_thousand_come_back_one_by_one),
                cmocka_unit_test(a_weak_service_is_not_overrun),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
