/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a fuzz target defines.  It returns 0; a fault is a crash, a sanitizer's report or an
 * assert(). */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a string: up to its first NUL.  Free it. */
static inline char *fuzz_string(const uint8_t *data, size_t size) {
        char *s = strndup((const char *) data, size);

        assert(s);
        return s;
}
