/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The program that a caller runs, by its content: a path says little, for a caller in a mount
 * namespace of its own can have any file under any name. */

#include <stdbool.h>

#include "lib/error.h"

#define EXECUTABLE_MAX (256 * 1024 * 1024) /* larger ones are not read */

typedef struct Executable {
        char sha256[65]; /* in hex; "": not read, and note says why */
        bool is_at_path; /* the path that the kernel gave is this very file for us, too */
        char note[64];
} Executable;

typedef struct ExecutableCache ExecutableCache; /* any thread may use it */

int executable_cache_new(ExecutableCache **ret, Error *e);
void executable_cache_free(ExecutableCache *c);
DEFINE_CLEANUP(ExecutableCache, executable_cache_free)

/* fd: of /proc/PID/exe, opened with O_PATH.  Reads the file, once for as long as inode, size and
 * times stay: so it may take a while, and is not for an event loop. */
void executable_look(ExecutableCache *c, int fd, const char *path, Executable *ret);
