/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Opaque ids: a type's prefix, '_' and 128 random bits in 26 characters of a-z2-7: "key_a3x…". */

#include <stdbool.h>

#define ID_MAX 40 /* with the NUL */

/* prefix has at most 8 letters.  0, or -EIO when no random bytes are to be had. */
int id_new(char buf[static ID_MAX], const char *prefix);

/* The same, but its first 40 bits are the time: ids that are made together begin alike, so that an
 * index of many grows in one place and not everywhere. */
int id_new_timed(char buf[static ID_MAX], const char *prefix);

/* Whether text has this form; prefix NULL: any prefix. */
bool id_is_valid(const char *text, const char *prefix);
