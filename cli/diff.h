/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A unified diff of one hunk, which patch(1) takes: from the first line that differs to the last.
 * Nothing is appended when the texts are the same. */

#include "lib/buf.h"

/* from_name may be "/dev/null". */
int diff_append(Buf *ret, const char *from_name, const Buf *from, const char *to_name,
                const Buf *to);
