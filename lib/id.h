/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Opaque ids: a type's prefix, '_' and 128 random bits in 26 characters of a-z2-7: "key_a3x…". */

#include <stdbool.h>

#define ID_MAX 40 /* with the NUL */

/* prefix has at most 8 letters.  0, or -EIO when no random bytes are to be had. */
int id_new(char buf[static ID_MAX], const char *prefix);

/* The same form, for what is made often, kept for good and looked up by its id (requests): the
 * first 48 bits are the time and 80 are random.  An index of such ids grows in one place, and not
 * in a random page each time. */
int id_new_timed(char buf[static ID_MAX], const char *prefix);

/* Whether text has this form; prefix NULL: any prefix. */
bool id_is_valid(const char *text, const char *prefix);
