/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The built-in key storage: keys are made here, sealed under the KEK, and given to the service to
 * keep. All functions may be called from any thread, each with a Signer of its own. */

#include <stddef.h>
#include <stdint.h>

#include "lib/sign.h"
#include "service/keystore/keyring.h"
#include "service/keystore/seal.h"
#include "service/keystore/signer.h"

typedef struct Builtin Builtin;

/* Takes keks when it succeeds. */
int builtin_new(Builtin **ret, Keyring *keks, size_t cache_keys);
void builtin_free(Builtin *b);
DEFINE_CLEANUP(Builtin, builtin_free)

/* A signer that counts into b's counters, and forgets what b forgets; it goes before b. */
int builtin_signer_new(Builtin *b, Signer **ret);
void builtin_signer_free(Builtin *b, Signer *s);

/* From the next call on these are the KEKs.  Opened keys are forgotten, so that a KEK that is gone
 * but needed is missed now and not some day. */
void builtin_set_keks(Builtin *b, Keyring *keks); /* takes it */

/* Appends the blob, sealed anew under the primary KEK; as it is if it was sealed under that.  It
 * was opened, and decoded, and so was the new one.  -CSIGN_E_KEY_CORRUPT. */
int builtin_reseal(Builtin *b, const char *key_id, uint32_t version, const void *sealed,
                   size_t sealed_len, Buf *ret, Error *e);

/* Nothing of the key is kept opened when it returns, but by who found it before and has not yet
 * signed. */
void builtin_forget(Builtin *b, const char *key_id);

/* Appends to spki and sealed.  The blob was opened again before it is handed out. */
int builtin_generate(Builtin *b, const char *key_id, uint32_t version, const SealInfo *info,
                     Buf *spki, Buf *sealed, Error *e);

/* Appends to sig.  -CSIGN_E_KEY_CORRUPT, -CSIGN_E_NOT_PERMITTED, and those of sign_request_check().
 */
int builtin_sign(Builtin *b, Signer *signer, const SignRequest *req, KeyUsage usage,
                 const void *sealed, size_t sealed_len, Buf *sig, Error *e);

/* Fills in the counters and the KEKs only. */
void builtin_status(Builtin *b, KeystoreStatus *ret);
