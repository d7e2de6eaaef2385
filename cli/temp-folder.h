/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A folder of our own below TMPDIR for what a program has to read as files, gone with all that is
 * in it when it goes out of scope. */

#include <limits.h>
#include <sys/types.h>

#include "lib/buf.h"
#include "lib/error.h"

#define TEMP_PATH_MAX (PATH_MAX + 64)

/* Zero-initialise. */
typedef struct TempFolder {
        char path[PATH_MAX];
} TempFolder;

/* mode 0700, or 0711 if the program may change its user. */
int temp_folder_new(TempFolder *t, mode_t mode, Error *e);
void temp_folder_done(TempFolder *t);

/* The path of a name in it. */
int temp_folder_path(const TempFolder *t, const char *name, char ret[static TEMP_PATH_MAX],
                     Error *e);

/* Makes a file in it; ret is its path. */
int temp_folder_file(const TempFolder *t, const char *name, const Buf *content, mode_t mode,
                     char ret[static TEMP_PATH_MAX], Error *e);
