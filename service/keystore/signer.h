/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One thread's signing: keeps the EVP_PKEY_CTX of each (key, scheme, hash) that it used lately, so
 * that a signature pays for no EVP fetch. */

#include <stdatomic.h>

#include "lib/sign.h"
#include "service/keystore/opened.h"

typedef struct Signer Signer;

/* *contexts_made counts the contexts that had to be set up; it outlives the signer. */
int signer_new(Signer **ret, atomic_uint_fast64_t *contexts_made);
void signer_free(Signer *s);
DEFINE_CLEANUP(Signer, signer_free)

/* Lets go of the keys that are forgotten (opened.h), after the signature that is being made.  From
 * any thread. */
void signer_forget(Signer *s);

/* req was checked against the key's algorithm.  Appends to sig.  RSA and Ed25519 signatures are
 * verified first: one that was computed with a fault would give the key away.
 * -CSIGN_E_BAD_SIGNATURE. */
int signer_sign(Signer *s, OpenedKey *key, const SignRequest *req, Buf *sig, Error *e);
