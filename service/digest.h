/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SHA-256 without a fetch or an allocation per call: the algorithm is fetched once for the process,
 * and each thread keeps one context. */

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32

void sha256(const void *data, size_t len, uint8_t ret[static SHA256_SIZE]);

/* Of two pieces, one after the other. */
void sha256_2(const void *a, size_t a_len, const void *b, size_t b_len,
              uint8_t ret[static SHA256_SIZE]);
