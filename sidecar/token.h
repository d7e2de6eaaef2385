/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The access token: asked for with an assertion that the account's key signs (RFC 7523), bound to
 * that key as TLS client key (RFC 8705), and kept fresh for all connections.  Any thread may call.
 */

#include <stdint.h>

#include "lib/buf.h"
#include "lib/credential.h"
#include "lib/error.h"
#include "lib/http.h"
#include "lib/token-request.h"

typedef struct Token Token;

/* Keeps references to all three: they must outlive it. */
int token_new(Token **ret, const Credential *credential, const char *client_id, const char *issuer,
              Error *e);
void token_free(Token *t);
DEFINE_CLEANUP(Token, token_free)

/* A token that is good for now; gets another at some time between half and two thirds of its life.
 * One thread asks the service, the others go on with the old one or wait for the new.  Failures:
 * those of http_call(). */
int token_get(Token *t, HttpClient *http, uint64_t timeout_usec, char buf[static TOKEN_MAX],
              Error *e);

/* The service did not take it: the next token_get() gets another. */
void token_refused(Token *t, const char *value);

/* The Date of an answer that has just come: assertions are made by the service's clock, where that
 * is known to differ from ours.  0: it had none. */
void token_note_date(Token *t, int64_t date);

/* Of the present one. */
typedef struct TokenFacts {
        int64_t expires;      /* Unix time; 0: there is none */
        int64_t age;          /* seconds since it was asked for; -1: there is none */
        int64_t clock_offset; /* seconds that the service's clock is ahead of ours */
} TokenFacts;

void token_facts(Token *t, TokenFacts *ret);
