/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who is calling: access tokens of accounts ("cst_…", bound to the TLS client key) and API keys of
 * users
 * ("csk_…").  A bearer secret is turned into its SHA-256 where it comes in, and never kept. */

#include <stdbool.h>

#include "lib/buf.h"
#include "lib/error.h"
#include "service/cache.h"
#include "service/db/db.h"
#include "service/digest.h"
#include "service/principal.h"

#define BEARER_TEXT_LEN 47 /* a prefix of 4, and 32 bytes in base64url */
#define TOKEN_SECONDS   900

typedef enum BearerKind { BEARER_NONE, BEARER_TOKEN, BEARER_API_KEY, BEARER_BAD } BearerKind;

typedef struct Bearer {
        BearerKind kind;
        uint8_t hash[SHA256_SIZE];
} Bearer;

/* Of an Authorization header, or NULL. */
void bearer_parse(const char *authorization, Bearer *ret);

/* A fresh secret and its hash.  prefix: "cst_" or "csk_". */
int bearer_new(const char *prefix, Secret *ret_text, uint8_t ret_hash[static SHA256_SIZE],
               Error *e);

typedef struct Authn {
        Db *db;
        Cache *cache; /* of principals, by the hash of their secret; bump it when an account or user
                         changes */
        struct LastUsed *last_used; /* NULL: nobody wants to know */
} Authn;

/* client_key: SHA-256 of the SubjectPublicKeyInfo that the TLS client proved to have, or NULL.
 * Gives a reference. -CSIGN_E_UNAUTHENTICATED says whether the token is unknown, expired, or
 * another client's. */
int authn_principal(const Authn *a, const Bearer *b, const uint8_t *client_key, Principal **ret,
                    Error *e);
