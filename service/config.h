/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* csign-service.conf (csign-service.conf(5)). */

#include <stdint.h>

#include "lib/error.h"
#include "service/rates.h"

typedef struct Config {
        char *listen;   /* as written */
        char host[256]; /* of listen; "" for all */
        char port[8];
        char *issuer; /* the public base URL, and the audience of assertions */
        char *names;  /* as written */
        char *san;    /* names as OpenSSL wants them: "DNS:localhost,IP:127.0.0.1" */
        char *state_directory;
        char *keystore_socket;
        unsigned workers;
        unsigned event_loops;
        unsigned connections_max;
        RateSettings rates;
        uint64_t idle_timeout_usec, head_timeout_usec, body_timeout_usec;
        char *public_url;          /* where certificates say that lists are; NULL: they do not */
        unsigned certificate_days; /* the longest life of a certificate of the built-in CA */
        unsigned imported_certificate_days; /* and of one of an outside CA */
        size_t message_max;                 /* bytes of a message that is signed whole */
} Config;

int config_load(Config *ret, const char *path, Error *e);
int config_load_text(Config *ret, const char *name, const char *text, Error *e); /* tests */
void config_done(Config *c);
