/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The file of a backup: some files of the state directory, one behind the other, and a checksum.
 * Numbers are big-endian.
 *
 *     8 bytes   "CSIGNBK1"
 *     u16       how many files; of each:
 *       str16     its name, one of the table below
 *       u64       its size
 *       bytes     its content
 *     32 bytes  SHA-256 of all before
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/error.h"

/* What a state directory needs to serve again, and the modes that it has there. */
typedef struct BackupFile {
        const char *name;
        mode_t mode;
} BackupFile;

#define BACKUP_FILES 4
#define BACKUP_DB    0 /* the database's index */
extern const BackupFile backup_files[BACKUP_FILES];

/* ---- writing ---- */

/* sources: the files' paths, in the table's order.  Writes to fd, and syncs it. */
int backup_write(int fd, const char *const sources[static BACKUP_FILES], Error *e);

/* ---- reading ---- */

/* Where each file of the table is in the backup. */
typedef struct BackupIndex {
        struct {
                uint64_t offset, size;
        } at[BACKUP_FILES];
} BackupIndex;

/* The checksum, then the form: each file of the table is there, once, and nothing else.
 * -CSIGN_E_BAD_REQUEST says what is wrong with it. */
int backup_read(int fd, BackupIndex *ret, Error *e);

/* The form alone. */
int backup_parse(int fd, BackupIndex *ret, Error *e);

/* Copies one file of it to a new one, and syncs that.  -EEXIST. */
int backup_extract(int fd, const BackupIndex *index, size_t which, const char *path, Error *e);
