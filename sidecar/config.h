/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* sidecar.conf: where the service is, and as whom the sidecar speaks to it. */

#include <stdint.h>

#include "lib/error.h"

/* Where a right to sign is installed. */
typedef enum Grant {
        GRANT_USER,
        GRANT_MACHINE,
} Grant;

const char *grant_name(Grant g);

typedef struct SidecarConfig {
        char *service;         /* "https://host:port", no '/' at the end */
        char *client_id;       /* "acc_…" */
        char *credential;      /* path of the key file */
        char *service_ca;      /* path of a PEM file; NULL: the system's */
        char *socket;          /* NULL: the grant's default */
        uint64_t timeout_usec; /* for one call, all told */
        unsigned connections;  /* that sign */
        size_t message_max;    /* bytes of a message that is signed whole */
        char *state_directory; /* NULL: the grant's default; "" (none): nothing is kept */
        unsigned journal_max;  /* signatures */
} SidecarConfig;

/* Reads DIR/sidecar.conf.  -ENOENT: there is none. */
int sidecar_config_load(SidecarConfig *ret, const char *dir, Error *e);

/* The defaults alone, for a sidecar that has no configuration yet. */
void sidecar_config_init(SidecarConfig *c);
void sidecar_config_done(SidecarConfig *c);
