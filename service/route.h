/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The table of what the service answers to.  docs/openapi.yaml says the same, and a test compares
 * them. */

#include <stddef.h>

#include "service/policy.h"
#include "service/request.h"

#define BODY_MESSAGE SIZE_MAX

/* What a route does with an Idempotency-Key. */
typedef enum RouteKey {
        KEY_IGNORED,    /* repeating does no harm, or is the client's business */
        KEY_OF_HANDLER, /* it keeps its answers itself */
        KEY_OF_REQUEST, /* once.c sees to it */
} RouteKey;

struct Route {
        const char *method;
        const char *pattern; /* "/v1/keys/{id}": a {} matches one segment of 1 to 63 characters */
        Right right;
        int (*fn)(Request *req, Error *e);
        size_t body_max;   /* 0: no body; BODY_MESSAGE: the configuration's message-max */
        const char *query; /* names, separated by blanks */
        RouteKey key;
        bool if_match; /* a change that heeds If-Match: without it the header is refused */
        bool oauth;    /* its problems have OAuth's form too */
};

const Route *route_at(size_t i); /* NULL past the last */

/* "GET, PATCH": what the path answers to. */
#define ROUTE_METHODS_MAX 64
void route_methods(const char *path, char buf[static ROUTE_METHODS_MAX]);

/* Finds the route and sets params.  -CSIGN_E_NOT_FOUND; -EOPNOTSUPP when another method would do.
 */
int route_find(const char *method, const char *path,
               char params[static REQUEST_PARAMS_MAX][REQUEST_PARAM_MAX], const Route **ret,
               Error *e);
