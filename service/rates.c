/* SPDX-License-Identifier: Apache-2.0 */

#include "service/rates.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "service/clock.h"

#define WORDS          16384 /* of each kind */
#define BURST_SECONDS  2     /* of requests that may come at once */
#define FAILURE_WINDOW (60 * USEC_PER_SEC)

typedef enum Kind { BY_ADDRESS, BY_PRINCIPAL, FAILED_ADDRESS, FAILED_CLIENT, KINDS } Kind;

struct Rates {
        uint64_t interval[KINDS], window[KINDS]; /* µs; interval 0: no limit */
        uint64_t key[2];
        atomic_uint_fast64_t words[KINDS][WORDS];
        atomic_uint connections[WORDS];
        unsigned connections_max;
};

/* ---- names ---- */

static uint64_t mix(uint64_t x) {
        x ^= x >> 32;
        x *= 0xd6e8feb86659fd93u;
        x ^= x >> 32;
        x *= 0xd6e8feb86659fd93u;
        return x ^ (x >> 32);
}

static size_t word_of(const Rates *l, const void *name, size_t len) {
        uint64_t h = l->key[0] ^ len;
        const uint8_t *p = name;

        while (len > 0) {
                size_t n = len < sizeof(h) ? len : sizeof(h);
                uint64_t piece = 0;

                memcpy(&piece, p, n);
                h = mix(h ^ piece) + l->key[1];
                p += n;
                len -= n;
        }
        return mix(h) % WORDS;
}

/* Who has one IPv6 address has the 2^64 beside it. */
static size_t word_of_address(const Rates *l, const char *address) {
        uint8_t raw[16];

        if (strchr(address, ':') && inet_pton(AF_INET6, address, raw) == 1 &&
            memcmp(raw, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) != 0)
                return word_of(l, raw, 8);
        return word_of(l, address, strlen(address));
}

/* ---- rates ---- */

static unsigned take(Rates *l, Kind kind, size_t word) {
        atomic_uint_fast64_t *w = &l->words[kind][word];
        uint64_t now, at, next;

        if (l->interval[kind] == 0)
                return 0;
        now = clock_now();
        at = atomic_load_explicit(w, memory_order_relaxed);
        do {
                uint64_t from = at > now && at - now <= 2 * l->window[kind] ? at : now;

                next = from + l->interval[kind];
                if (next - now > l->window[kind])
                        return (unsigned) ((next - now - l->window[kind]) / USEC_PER_SEC + 1);
        } while (!atomic_compare_exchange_weak_explicit(w, &at, next, memory_order_relaxed,
                                                        memory_order_relaxed));
        return 0;
}

unsigned rates_request_by_address(Rates *l, const char *address) {
        return take(l, BY_ADDRESS, word_of_address(l, address));
}

unsigned rates_request_by_principal(Rates *l, const char *id) {
        return take(l, BY_PRINCIPAL, word_of(l, id, strlen(id)));
}

unsigned rates_failure(Rates *l, const char *address, const char *client_id) {
        unsigned by_address = take(l, FAILED_ADDRESS, word_of_address(l, address));
        unsigned by_client =
                client_id[0] ? take(l, FAILED_CLIENT, word_of(l, client_id, strlen(client_id))) : 0;

        return by_address > by_client ? by_address : by_client;
}

/* ---- connections ---- */

bool rates_connect(Rates *l, const char *address) {
        atomic_uint *n = &l->connections[word_of_address(l, address)];

        if (atomic_fetch_add(n, 1) < l->connections_max || l->connections_max == 0)
                return true;
        atomic_fetch_sub(n, 1);
        return false;
}

void rates_disconnect(Rates *l, const char *address) {
        atomic_fetch_sub(&l->connections[word_of_address(l, address)], 1);
}

/* ---- life ---- */

static void set_rate(Rates *l, Kind kind, uint64_t interval, uint64_t window) {
        l->interval[kind] = interval;
        l->window[kind] = window;
}

Rates *rates_new(const RateSettings *r) {
        Rates *l = calloc(1, sizeof(*l));

        if (!l || RAND_bytes((unsigned char *) l->key, sizeof(l->key)) != 1) {
                free(l);
                return NULL;
        }
        l->connections_max = r->connections;
        if (r->per_address)
                set_rate(l, BY_ADDRESS, USEC_PER_SEC / r->per_address,
                         BURST_SECONDS * USEC_PER_SEC);
        if (r->per_principal)
                set_rate(l, BY_PRINCIPAL, USEC_PER_SEC / r->per_principal,
                         BURST_SECONDS * USEC_PER_SEC);
        if (r->failures) {
                set_rate(l, FAILED_ADDRESS, FAILURE_WINDOW / r->failures, FAILURE_WINDOW);
                set_rate(l, FAILED_CLIENT, FAILURE_WINDOW / r->failures, FAILURE_WINDOW);
        }
        return l;
}

void rates_free(Rates *l) {
        free(l);
}
