/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* sidecar.conf: where the service is, and as whom the sidecar speaks to it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

/* Where a right to sign is installed. */
typedef enum Grant {
        GRANT_USER,
        GRANT_MACHINE,
} Grant;

const char *grant_name(Grant g);

#define SERVICES_MAX 8

/* "https://host:port", no '/' at the end; the first is preferred. */
typedef struct ServiceList {
        char *urls[SERVICES_MAX];
        size_t n;
} ServiceList;

typedef struct SidecarConfig {
        ServiceList services;
        const char *service;       /* the first of them, which names the service; NULL: none */
        char *client_id;           /* "acc_…" */
        char *credential;          /* path of the key file, or the provider's URI */
        char *credential_provider; /* OpenSSL's name of it; NULL: none is needed */
        char *service_ca;          /* path of a PEM file; NULL: the system's */
        char *service_pin;         /* "sha256//…;sha256//…"; NULL: none */
        char *proxy;               /* its URL; "": none; NULL: none was named */
        bool proxy_of_environment; /* if none was named; not of the file */
        char *socket;              /* NULL: the grant's default */
        uint64_t timeout_usec;     /* for one call, all told */
        unsigned connections;      /* that sign */
        size_t message_max;        /* bytes of a message that is signed whole */
        char *state_directory;     /* NULL: the grant's default; "" (none): nothing is kept */
        unsigned journal_max;      /* signatures */
} SidecarConfig;

/* Reads DIR/sidecar.conf.  -ENOENT: there is none. */
int sidecar_config_load(SidecarConfig *ret, const char *dir, Error *e);

/* The defaults alone, for a sidecar that has no configuration yet. */
void sidecar_config_init(SidecarConfig *c);
void sidecar_config_done(SidecarConfig *c);
