/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The key encryption key: 32 random bytes in a file that only the key store can read.  Whoever has
 * it and the service's database has every private key, so it is kept apart from the database's
 * backups. */

#include <stdint.h>

#include "lib/error.h"
#include "service/keystore/keystore.h"

#define KEK_SIZE    32
#define KEK_ID_SIZE KEYSTORE_KEK_ID_SIZE

typedef struct Kek Kek;

/* Failures: those of file_read_secret(), and -CSIGN_E_BAD_CREDENTIAL for another size. */
int kek_load(Kek **ret, const char *path, Error *e);
int kek_from_bytes(Kek **ret, const uint8_t bytes[static KEK_SIZE]);
void kek_free(Kek *k); /* wipes */
DEFINE_CLEANUP(Kek, kek_free)

/* Makes a new file with mode 0400.  -EEXIST: never overwrites one. */
int kek_create(const char *path, Error *e);

const uint8_t *kek_bytes(const Kek *k);
const uint8_t *kek_id(const Kek *k); /* KEK_ID_SIZE bytes that name it and tell nothing of it */

/* An id as people read it: 16 hexadecimal digits. */
#define KEK_ID_TEXT_MAX (2 * KEK_ID_SIZE + 1)
const char *kek_id_text(const uint8_t id[static KEK_ID_SIZE], char buf[static KEK_ID_TEXT_MAX]);
