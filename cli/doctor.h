/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the parts of csign doctor share: each looks at something, and says what it found. */

#include <limits.h>
#include <stdbool.h>

#include <jansson.h>

#include "cli/conf-view.h"
#include "lib/error.h"
#include "lib/sidecar-client.h"

/* Who looks for a fault has not half a minute for each question. */
#define ANSWER_USEC ((uint64_t) 5 * 1000 * 1000)

typedef enum Result { RESULT_OK, RESULT_WARN, RESULT_FAIL } Result;

typedef struct Doctor {
        json_t *findings;
        bool failed;
        char conf_path[PATH_MAX]; /* the openssl.cnf that programs read; "": none */
        ConfView conf;            /* what it says, if it can be read */
        SidecarClient *sidecar;   /* NULL after it did not answer */
        json_t *status;           /* what it said */
        size_t n_keys;
} Doctor;

/* advice may be NULL, where there is nothing to do. */
void doctor_say(Doctor *d, Result result, const char *check, const char *advice, const char *fmt,
                ...) _printf_(5, 6);

/* A FAIL, with the advice of the table of errors. */
void doctor_say_error(Doctor *d, const char *check, const Error *e);

/* The sidecar's side: the address that the environment names, the credential, the clock, and the
 * way to the service as far as this process can go it: name, port, TLS, readiness. */
void doctor_environment(Doctor *d);
void doctor_credential(Doctor *d);
void doctor_clock(Doctor *d);
void doctor_way(Doctor *d);

/* The module, and what programs of this environment make of it; module: NULL, or from --module. */
void doctor_openssl_find(Doctor *d);
void doctor_openssl(Doctor *d, const char *module);

/* A key reference: is it still that key? */
void doctor_reference(Doctor *d, const char *path);
