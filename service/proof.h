/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Proof of possession: who registers a public key shows that it has the private half, by a JWT of
 * the assertions' form (jwt.h) that the new key signed. */

#include "lib/buf.h"
#include "lib/error.h"

/* subject is its iss and sub; jti NULL: any.  -CSIGN_E_BAD_REQUEST, and -CSIGN_E_UNAUTHENTICATED
 * with a rule "assertion-…". */
int proof_check(const char *proof, const Buf *spki, const char *subject, const char *jti,
                const char *audience, Error *e);
