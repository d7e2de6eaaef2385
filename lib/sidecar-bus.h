/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The connections below sidecar-client: finding a sidecar, a pool of idle connections, one call
 * with a deadline, and what its failure means.  Only sidecar-client.c includes this.
 *
 * It lives in programs that fork, thread, drop privileges and close descriptors that they do not
 * know.  So a connection is used by one thread at a time, is taken and given back without a lock,
 * and is used again only by the process and user that opened it, and only while its descriptor
 * still is the socket that was opened. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/libsystemd.h"
#include "lib/sidecar-client.h"

typedef struct SidecarBus SidecarBus;

/* Address and timeout as in sidecar-client.h.  -CSIGN_E_BAD_CONFIG: not an address. */
int sidecar_bus_new(SidecarBus **ret, const char *address, uint64_t timeout_usec, Error *e);
int sidecar_bus_new_grant(SidecarBus **ret, SidecarGrant grant, uint64_t timeout_usec, Error *e);
void sidecar_bus_free(SidecarBus *b);
DEFINE_CLEANUP(SidecarBus, sidecar_bus_free)

void sidecar_bus_drain(SidecarBus *b);
const char *sidecar_bus_address(SidecarBus *b);
uint64_t sidecar_bus_timeout(const SidecarBus *b); /* of each call, in µs */

typedef struct SidecarCall {
        const char *method;
        bool repeatable; /* may reach the sidecar twice: a connection that breaks is worth a second
                            try at the same address */
        int (*fill)(sd_bus_message *m, void *arg); /* may be NULL; may run twice */
        int (*read)(sd_bus_message *reply, void *arg,
                    Error *e); /* may be NULL; runs once, after success; must not
                                  keep the message */
        void *arg;
} SidecarCall;

/* Makes the call and reads its answer.  Failures: every code that the sidecar names,
 * -CSIGN_E_SIDECAR_UNAVAILABLE, -CSIGN_E_TIMEOUT, -CSIGN_E_LOCAL_POLICY (the bus forbids it),
 * -CSIGN_E_BAD_ANSWER, and what read() returns. */
int sidecar_bus_call(SidecarBus *b, const SidecarCall *call, Error *e);
