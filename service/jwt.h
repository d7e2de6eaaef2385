/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Client assertions (RFC 7523): a compact JWS, read strictly.  The header may hold alg, typ and kid
 * and nothing else; the claims iss, sub, aud, exp, iat, jti and nbf; a name twice is an error. */

#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "lib/buf.h"
#include "lib/error.h"

#define JWT_TEXT_MAX     8192
#define JWT_JTI_MAX      128
#define JWT_LIFE_MAX_SEC 300
#define JWT_LEEWAY_SEC   60

typedef struct Jwt {
        char alg[16];
        char iss[64], sub[64];
        char aud[512];
        char jti[JWT_JTI_MAX + 1];
        uint64_t exp, iat, nbf;  /* seconds; nbf 0: none */
        const char *signed_text; /* into the caller's text */
        size_t signed_len;
        Buf signature;
} Jwt;

/* Reads the form; nothing of it is to be believed yet.  -CSIGN_E_BAD_REQUEST. */
int jwt_parse(const char *text, Jwt *ret, Error *e);
void jwt_done(Jwt *j);

/* The algorithm must be one of those that the key's type allows, whatever the header says.
 * -CSIGN_E_UNAUTHENTICATED with rule "assertion-signature". */
int jwt_verify(const Jwt *j, EVP_PKEY *key, Error *e);

/* Issuer and subject the same client id, audience exactly `audience`, the times.
 * -CSIGN_E_UNAUTHENTICATED with a rule "assertion-…". */
int jwt_check_claims(const Jwt *j, const char *audience, uint64_t now_sec, Error *e);
