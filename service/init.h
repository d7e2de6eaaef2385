/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* csign-service init: everything that a service needs before it can serve. */

#include "service/config.h"

typedef struct InitOptions {
        const char *owner;        /* name of the first user */
        const char *api_key_file; /* its API key goes here, mode 0600; NULL: owner.key in the state
                                     directory */
} InitOptions;

/* The key store must run.  The database gets its name as the last step: until then nothing has been
 * made that a second try would not replace, and afterwards a second try is refused. */
int init_run(const Config *c, const InitOptions *o, Error *e);

/* csign-service renew-tls: a new TLS key and certificate of the same authority, so that clients
 * need nothing new. */
int renew_tls_run(const Config *c, Error *e);
