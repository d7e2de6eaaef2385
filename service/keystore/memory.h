/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Keeps what the process holds in the process: no core dump, no debugger, no swap, no leftovers in
 * freed memory. */

#include <stddef.h>

#include "lib/error.h"

/* As docs/keystore.md numbers them. */
typedef enum MemoryLock {
        MEMORY_LOCKED_NOT = 0,
        MEMORY_LOCKED_KEYS = 1, /* the secure heap: the numbers of the private keys and the KEK */
        MEMORY_LOCKED_ALL = 2,
} MemoryLock;

/* Makes libcrypto wipe every block that it frees.  Call it before anything else of libcrypto: it
 * fails with -EBUSY when libcrypto has allocated already. */
int memory_wipe_on_free(void);

/* No dumps, no ptrace, no new privileges; makes a secure heap of that size (a power of two) and
 * locks as much memory as the limits allow: *ret says how much that was. */
int memory_protect(size_t heap_size, MemoryLock *ret, Error *e);
