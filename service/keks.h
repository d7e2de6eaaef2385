/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which KEK the sealed blobs of the database need, and changing it: blob by blob, in the order of a
 * cursor.  Nothing is noted of how far it came: a blob says itself what it is sealed under. */

#include "lib/buf.h"
#include "lib/id.h"
#include "service/db/db.h"
#include "service/keystore/keystore.h"

#define KEK_BATCH_MAX  200
#define KEK_CURSOR_MAX (ID_MAX + 16)

typedef struct SealedBlob {
        unsigned place; /* which table it is of */
        char id[ID_MAX];
        uint32_t version;
        Buf sealed;
        Buf resealed; /* keks_reseal(): empty where e says why */
        Error e;
} SealedBlob;

typedef struct SealedBatch {
        SealedBlob blobs[KEK_BATCH_MAX];
        size_t n;
} SealedBatch;

void sealed_batch_done(SealedBatch *b);

/* How many blobs each KEK holds, by id. */
int keks_count(Db *db, int (*fn)(const uint8_t *id, uint64_t blobs, void *userdata), void *userdata,
               Error *e);

/* The next blobs behind the cursor ("": all) that are not under this KEK; cursor becomes where it
 * ended, or "" at the end.  -CSIGN_E_BAD_REQUEST: that is no cursor. */
int keks_next(Db *db, const uint8_t kek[static KEYSTORE_KEK_ID_SIZE],
              char cursor[static KEK_CURSOR_MAX], unsigned limit, SealedBatch *ret, Error *e);

/* Has them all sealed anew; a blob that does not open keeps the reason.  Fails when the key store
 * does, and then nothing is to be kept. */
int keks_reseal(Keystore *ks, SealedBatch *b, Error *e);

/* Puts the new blob in the old one's place: 1, or 0 if the old one is not there any more.  For the
 * audit writer. */
int keks_replace(DbConn *c, const SealedBlob *b, Error *e);
