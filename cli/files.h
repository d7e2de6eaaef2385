/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files that people name: hashed, and written where they point. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/alg.h"
#include "lib/error.h"
#include "lib/file.h"
#include "lib/sign.h"

/* The digest of a file's content; "-" is the standard input. */
int file_digest(const char *path, const HashAlg *hash, uint8_t ret[static DIGEST_MAX], Error *e);

/* Replaces the file as a whole (mode 0644).  NULL and "-" are the standard output; what is there
 * and no regular file (a pipe, /dev/stdout) is written to, never replaced; a symbolic link is
 * followed. */
int output_file(const char *path, const void *data, size_t len, Error *e);

bool file_is_regular(const char *path);
