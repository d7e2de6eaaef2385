/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The built-in key storage: keys are made here, sealed under the KEK, and given to the service to
 * keep. All functions may be called from any thread, each with a Signer of its own. */

#include <stddef.h>
#include <stdint.h>

#include "lib/sign.h"
#include "service/keystore/kek.h"
#include "service/keystore/seal.h"
#include "service/keystore/signer.h"

typedef struct Builtin Builtin;

/* Takes kek when it succeeds. */
int builtin_new(Builtin **ret, Kek *kek, size_t cache_keys);
void builtin_free(Builtin *b);
DEFINE_CLEANUP(Builtin, builtin_free)

/* A signer that counts into b's counters; it goes before b. */
int builtin_signer_new(Builtin *b, Signer **ret);

/* Appends to spki and sealed.  The blob was opened again before it is handed out. */
int builtin_generate(Builtin *b, const char *key_id, uint32_t version, const SealInfo *info,
                     Buf *spki, Buf *sealed, Error *e);

/* Appends to sig.  -CSIGN_E_KEY_CORRUPT, -CSIGN_E_NOT_PERMITTED, and those of sign_request_check().
 */
int builtin_sign(Builtin *b, Signer *signer, const SignRequest *req, KeyUsage usage,
                 const void *sealed, size_t sealed_len, Buf *sig, Error *e);

/* Fills in the counters only. */
void builtin_status(const Builtin *b, KeystoreStatus *ret);
