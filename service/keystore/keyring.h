/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The KEKs that a key store has: the primary one, which everything new is sealed under, and older
 * ones, whose blobs still open.  A keyring never changes: another one takes its place. */

#include <stddef.h>

#include "service/keystore/kek.h"

#define KEYRING_MAX KEKS_MAX

typedef struct Keyring Keyring;

/* primary is a KEK's file, older a list of such files with commas, or NULL.  Failures: those of
 * kek_load(), -CSIGN_E_BAD_CONFIG: one KEK twice, or too many. */
int keyring_load(Keyring **ret, const char *primary, const char *older, Error *e);

/* Takes the keks when it succeeds; at most KEYRING_MAX. */
int keyring_of(Keyring **ret, Kek *const keks[], size_t n);

Keyring *keyring_ref(Keyring *r);
void keyring_unref(Keyring *r);
DEFINE_CLEANUP(Keyring, keyring_unref)

/* The primary one is 0; NULL past the last. */
const Kek *keyring_at(const Keyring *r, size_t i);

/* The one that a blob names.  -CSIGN_E_KEY_CORRUPT says which KEK is missing. */
int keyring_find(const Keyring *r, const char *key_id, const void *sealed, size_t sealed_len,
                 const Kek **ret, Error *e);
