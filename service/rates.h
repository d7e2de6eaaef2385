/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Rates: how often a principal, or an address, may ask, and how often who asks may be wrong.  A
 * rate is one word in a table (a token bucket as its theoretical arrival time), changed by one
 * compare and swap: nothing is locked, nothing grows.  Names that share a word share its rate; the
 * hash is keyed, so nobody can choose with whom. */

#include <stdbool.h>
#include <stdint.h>

typedef struct Rates Rates;

typedef struct RateSettings {
        unsigned per_principal, per_address; /* requests a second; 0: any number */
        unsigned connections;                /* of one address at once; 0: any number */
        unsigned failures;                   /* of authentication, a minute; 0: any number */
} RateSettings;

Rates *rates_new(const RateSettings *rates); /* NULL: no memory, or no random bytes */
void rates_free(Rates *l);

/* Each takes one from the bucket, and returns 0, or after how many seconds there is one again.
 * Addresses are those of sockets, as text; an IPv6 one stands for its /64. */
unsigned rates_request_by_address(Rates *l, const char *address);
unsigned rates_request_by_principal(Rates *l, const char *id);

/* Whether the address may have one more connection; each that it may have must be given back. */
bool rates_connect(Rates *l, const char *address);
void rates_disconnect(Rates *l, const char *address);

/* A credential that was wrong: from an address, and for the client id that was named ("": none).
 * Both have their own; what is right is never asked here, so that who guesses locks nobody out but
 * who is wrong, too. */
unsigned rates_failure(Rates *l, const char *address, const char *client_id);
