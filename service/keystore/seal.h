/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The sealed form of a private key (docs/keystore.md, "Sealed keys"): AES-256-GCM under the KEK.
 * The key's id, version, algorithm, schemes and usage are authenticated with it, so that a blob
 * opens as the very key it was made for, and for nothing more than it was made for. */

#include <stddef.h>
#include <stdint.h>

#include "lib/alg.h"
#include "lib/buf.h"
#include "lib/error.h"
#include "service/keystore/kek.h"
#include "service/keystore/keystore.h"

typedef struct SealInfo {
        const KeyAlg *alg;
        uint32_t schemes;
        KeyUsage usage;
} SealInfo;

/* The id of the KEK that a blob names, or NULL: no sealed key.  Not authenticated. */
const uint8_t *sealed_kek_id(const void *sealed, size_t sealed_len);

/* Appends the blob. */
int seal(const Kek *kek, const char *key_id, uint32_t version, const SealInfo *info,
         const Secret *pkcs8, Buf *ret, Error *e);

/* -CSIGN_E_KEY_CORRUPT: damaged, another key's, or under another KEK; the sentence says which. */
int unseal(const Kek *kek, const char *key_id, uint32_t version, const void *sealed,
           size_t sealed_len, SealInfo *ret_info, Secret *ret_pkcs8, Error *e);
