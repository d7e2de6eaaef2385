/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The client networks that an account may come from: CIDR blocks of IPv4 and IPv6.  No block at all
 * means that it may come from anywhere. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

#define NETWORKS_MAX     16
#define NETWORK_TEXT_MAX 50 /* "ffff:…:255.255.255.255/128" */
#define NETWORKS_TEXT    (NETWORKS_MAX * NETWORK_TEXT_MAX)

typedef struct Network {
        uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
        uint8_t bits;        /* of the 128 */
} Network;

typedef struct Networks {
        size_t n;
        Network list[NETWORKS_MAX];
} Networks;

/* "10.0.0.0/8", "2001:db8::/32", or one address; adds it.  Bits behind the prefix must be 0: who
 * writes 10.1.2.3/8 means something else.  -CSIGN_E_BAD_REQUEST. */
int networks_add(Networks *n, const char *text, Error *e);

/* As networks_text() wrote it. */
int networks_parse(Networks *ret, const char *text, Error *e);

/* In one form, separated by blanks. */
char *networks_text(const Networks *n, char buf[static NETWORKS_TEXT]);
char *network_text(const Network *n, char buf[static NETWORK_TEXT_MAX]);

/* address: of a socket, as text; what is no address is in no network. */
bool networks_allow(const Networks *n, const char *address);
