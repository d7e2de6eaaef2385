/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Files: read with a bound and with distrust, replaced as a whole. */

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "lib/buf.h"
#include "lib/error.h"

typedef enum FileTrust {
        FILE_ANY = 0,     /* a regular file */
        FILE_TRUSTED = 1, /* ours or root's, and nobody else can write it */
        FILE_PRIVATE = 2, /* TRUSTED, and nobody else can read it; or systemd handed it over */
} FileTrust;

/* Opens without following a symlink at the end, checks, reads all.  -ENOENT, -E2BIG, and
 * -CSIGN_E_BAD_CREDENTIAL (PRIVATE) or -CSIGN_E_BAD_CONFIG (TRUSTED) when the check fails; the
 * sentence names the file, and the mode to set. */
int file_read(const char *path, FileTrust trust, Buf *ret, Error *e);
int file_read_secret(const char *path, size_t max, Secret *ret, Error *e); /* FILE_PRIVATE */

/* The path of what systemd handed to this daemon as NAME or as NAME.encrypted (LoadCredential= and
 * LoadCredentialEncrypted= of systemd.exec(5)); false: it did not. */
bool file_handed_over(const char *name, char ret[static PATH_MAX]);

/* Writes beside it, fsyncs, renames over it.  mode is exact, whatever the umask. */
int file_replace(const char *path, const void *data, size_t len, mode_t mode, Error *e);

/* As above, but -EEXIST if there is such a file already. */
int file_create(const char *path, const void *data, size_t len, mode_t mode, Error *e);

/* In a folder that others can write, any file could be anybody's, or be gone.
 * -CSIGN_E_BAD_CONFIG, or -ENOENT and the like. */
int dir_check(const char *path, Error *e);

/* mkdir -p; a directory that is there is left as it is. */
int dir_create(const char *path, mode_t mode, Error *e);
