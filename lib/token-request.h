/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How an account asks for a token (RFC 7523): an assertion that its key signs, and the exchange. */

#include <stdint.h>

#include "lib/buf.h"
#include "lib/credential.h"
#include "lib/error.h"
#include "lib/http.h"

#define TOKEN_MAX 256

/* A signed `header.claims.signature`: subject is its iss and sub, and jti NULL means a fresh one.
 * now is Unix time. */
int token_assertion(const Credential *c, const char *subject, const char *audience, const char *jti,
                    int64_t now, Buf *ret, Error *e);

/* 0 whatever the status, as http_exchange(). */
int token_request(HttpClient *http, const Credential *c, const char *client_id, const char *issuer,
                  int64_t now, uint64_t timeout_usec, HttpResponse *ret, Error *e);

/* The service's answer to it.  Fuzzed. */
int token_parse(const void *data, size_t len, char value[static TOKEN_MAX],
                uint32_t *ret_expires_in, Error *e);
