/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* csign's lines in a host's openssl.cnf: one block between two marks, at the end of the file, which
 * adds to the sections that are there.  Taking it out gives back the bytes that were there. */

#include <stdbool.h>

#include "lib/buf.h"
#include "lib/error.h"

/* The text without the block.  *ret_found: there was one; *ret_created: it was the whole file when
 * it was made.  -CSIGN_E_BAD_CONFIG when the marks are not one pair. */
int host_conf_strip(const char *path, const Buf *text, Buf *ret, bool *ret_found, bool *ret_created,
                    Error *e);

/* The text (without a block) and a block behind it that activates csign and default, and keeps
 * csign behind default for all keys but its own.  is_new: there is no such file yet.
 * -CSIGN_E_BAD_CONFIG where that cannot be done by adding lines. */
int host_conf_add(const char *path, const Buf *text, bool is_new, const char *module, Buf *ret,
                  Error *e);
