/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The key store as csign-service sees it: another process, csign-keystore, behind a Unix socket
 * (docs/keystore.md).  Private keys live only there.  What the service keeps is a sealed blob that
 * only the key store can open, and that travels with each request. */

#include <stddef.h>
#include <stdint.h>

#include "lib/alg.h"
#include "lib/buf.h"
#include "lib/error.h"
#include "lib/sign.h"

/* Thread-safe: all threads share one connection. */
typedef struct Keystore Keystore;

/* What a key may be used for: sealed with it, and compared on every use. */
typedef enum KeyUsage {
        KEY_USAGE_SIGN = 1, /* a caller's digests */
        KEY_USAGE_CA = 2,   /* certificates of the built-in authority */
} KeyUsage;

/* Does not connect: the first call does, and the first call after the key store was gone. */
int keystore_open(Keystore **ret, const char *socket_path, Error *e);

/* No call may be running. */
void keystore_close(Keystore *k);
DEFINE_CLEANUP(Keystore, keystore_close)

/* How long a call may take; before this is called 10 s, and 60 s to generate. */
void keystore_set_timeout(Keystore *k, uint64_t usec);

/* Failures of every call: -CSIGN_E_KEYSTORE_UNAVAILABLE (not running, or it ended while the call
 * waited), -CSIGN_E_TIMEOUT, -CSIGN_E_RATE_LIMITED (too many calls in flight), -CSIGN_E_BAD_ANSWER,
 * -CSIGN_E_BAD_REQUEST, -CSIGN_E_INTERNAL (its log says more).  Outputs are written only on
 * success. */

/* Makes a key pair.  key_id has the form that id_is_valid() asks for, version starts at 1, schemes
 * is a mask of SCHEME_BIT() that the algorithm can do.  spki and sealed are replaced. */
int keystore_generate(Keystore *k, const char *key_id, uint32_t version, const KeyAlg *alg,
                      unsigned schemes, KeyUsage usage, Buf *spki, Buf *sealed, Error *e);

/* One signature: r and e are its own result, sig is replaced on success.  Failures besides those
 * above: -CSIGN_E_KEY_CORRUPT (the blob is damaged, another key's, or under another KEK),
 * -CSIGN_E_UNSUPPORTED_SCHEME, -CSIGN_E_BAD_DIGEST, -CSIGN_E_NOT_PERMITTED (the key is not for that
 * usage), -CSIGN_E_BAD_SIGNATURE (a fault in signing: nothing was handed out). */
typedef struct KeystoreSign {
        const SignRequest *req;
        KeyUsage usage;
        const uint8_t *sealed;
        size_t sealed_len;
        Buf *sig;
        int r;
        Error e;
} KeystoreSign;

/* Sends all, then waits for all. */
void keystore_sign_many(Keystore *k, KeystoreSign *calls, size_t n);

/* Just one.  Returns call->r. */
int keystore_sign(Keystore *k, KeystoreSign *call);

/* One blob sealed anew under the key store's primary KEK, as it is if that is what it was sealed
 * under.  It is opened and checked in either case.  Failures and results as for KeystoreSign. */
typedef struct KeystoreReseal {
        const char *key_id;
        uint32_t version;
        const uint8_t *sealed;
        size_t sealed_len;
        Buf *resealed;
        int r;
        Error e;
} KeystoreReseal;

void keystore_reseal_many(Keystore *k, KeystoreReseal *calls, size_t n);

/* The key store keeps nothing of a key that it opened, in any version.  Who asks for a signature
 * with a blob that is still around has it opened again. */
int keystore_forget(Keystore *k, const char *key_id, Error *e);

#define KEYSTORE_KEK_ID_SIZE 8
#define KEKS_MAX             16

/* What the key store says of itself. */
typedef struct KeystoreStatus {
        char version[32]; /* csign's */
        char openssl[64];
        uint8_t memory_locked; /* 0: not, 1: the private keys' heap, 2: all of its memory */
        uint64_t signatures;   /* made since it started */
        uint64_t keys_generated;
        uint64_t keys_opened;   /* unsealed and decoded: cache misses */
        uint64_t contexts_made; /* signature contexts set up, one EVP fetch each */
        uint8_t keks[KEKS_MAX][KEYSTORE_KEK_ID_SIZE]; /* ids, the primary one first */
        size_t n_keks;
} KeystoreStatus;

int keystore_status(Keystore *k, KeystoreStatus *ret, Error *e);
