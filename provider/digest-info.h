/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* DigestInfo (RFC 8017): what older programs give as the bytes to sign with PKCS#1 v1.5. */

#include <stddef.h>
#include <stdint.h>

#include "lib/alg.h"

/* Points *ret_digest into der.  0, or -EBADMSG if these bytes are not exactly one canonical
 * DigestInfo of a hash that csign signs with. */
int digest_info_parse(const uint8_t *der, size_t len, const HashAlg **ret_hash,
                      const uint8_t **ret_digest);
