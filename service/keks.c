/* SPDX-License-Identifier: Apache-2.0 */
/* Walks over the tables that hold sealed blobs, one after the other. */

#include "service/keks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/db/queries.h"

/* At once: signatures wait behind what the key store was given before. */
#define RESEAL_AT_ONCE 8

static const struct {
        const char *list, *reseal;
} places[] = {
        { SQL_SEALED_KEY_LIST, SQL_SEALED_KEY_RESEAL },
        { SQL_SEALED_AUTHORITY_LIST, SQL_SEALED_AUTHORITY_RESEAL },
};

void sealed_batch_done(SealedBatch *b) {
        for (size_t i = 0; i < b->n; i++) {
                buf_done(&b->blobs[i].sealed);
                buf_done(&b->blobs[i].resealed);
        }
        b->n = 0;
}

/* ---- counting ---- */

typedef struct Count {
        int (*fn)(const uint8_t *id, uint64_t blobs, void *userdata);
        void *userdata;
} Count;

static int take_count(DbRow *row, void *userdata) {
        const Count *count = userdata;
        size_t len;
        const uint8_t *id = db_row_blob(row, 0, &len);

        return len == KEYSTORE_KEK_ID_SIZE
                       ? count->fn(id, (uint64_t) db_row_int(row, 1), count->userdata)
                       : 0;
}

int keks_count(Db *db, int (*fn)(const uint8_t *id, uint64_t blobs, void *userdata), void *userdata,
               Error *e) {
        Count count = { fn, userdata };
        int r;

        r = db_read(db, SQL_KEK_COUNT, DB_NO_ARGS, take_count, &count, e);
        return r < 0 ? r : 0;
}

/* ---- the walk ---- */

typedef struct Cursor {
        unsigned place;
        char id[ID_MAX];
        uint32_t version;
} Cursor;

/* "0.key_….3" */
static int cursor_parse(const char *text, Cursor *ret, Error *e) {
        Cursor c = {};
        size_t len;
        char *end;

        if (!text[0]) {
                *ret = c;
                return 0;
        }
        len = text[0] >= '0' && text[0] < '0' + (int) ELEMENTSOF(places) && text[1] == '.'
                      ? strcspn(text + 2, ".")
                      : 0;
        if (len == 0 || len >= sizeof(c.id) || text[2 + len] != '.')
                return error_set(e, -CSIGN_E_BAD_REQUEST, "that cursor is none of ours");

        c.place = (unsigned) (text[0] - '0');
        memcpy(c.id, text + 2, len);
        errno = 0;
        c.version = (uint32_t) strtoul(text + 3 + len, &end, 10);
        if (errno != 0 || *end != '\0' || c.version == 0 || !id_is_valid(c.id, NULL))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "that cursor is none of ours");
        *ret = c;
        return 0;
}

typedef struct Walk {
        SealedBatch *batch;
        unsigned place;
} Walk;

static int take_blob(DbRow *row, void *userdata) {
        Walk *w = userdata;
        SealedBlob *b = &w->batch->blobs[w->batch->n++];
        const uint8_t *sealed;
        size_t len;

        *b = (SealedBlob){ .place = w->place, .version = (uint32_t) db_row_int(row, 1) };
        snprintf(b->id, sizeof(b->id), "%s", db_row_text(row, 0));
        sealed = db_row_blob(row, 2, &len);
        return buf_append(&b->sealed, sealed, len);
}

int keks_next(Db *db, const uint8_t kek[static KEYSTORE_KEK_ID_SIZE],
              char cursor[static KEK_CURSOR_MAX], unsigned limit, SealedBatch *ret, Error *e) {
        Walk w = { .batch = ret };
        const SealedBlob *last;
        Cursor c;
        int r;

        r = cursor_parse(cursor, &c, e);
        for (w.place = c.place; r >= 0 && w.place < ELEMENTSOF(places) && ret->n < limit;
             w.place++) {
                r = db_read(db, places[w.place].list,
                            DB_ARGS(DB_TEXT(c.id), DB_INT(c.version),
                                    DB_BLOB(kek, KEYSTORE_KEK_ID_SIZE), DB_INT(limit - ret->n)),
                            take_blob, &w, e);
                c = (Cursor){};
        }
        if (r < 0)
                return r;

        cursor[0] = '\0';
        last = ret->n > 0 ? &ret->blobs[ret->n - 1] : NULL;
        if (ret->n == limit)
                snprintf(cursor, KEK_CURSOR_MAX, "%u.%s.%u", last->place, last->id, last->version);
        return 0;
}

/* ---- sealing anew ---- */

/* A blob that does not open is that blob's misfortune; all else is the key store's. */
static int reseal_some(Keystore *ks, SealedBlob *blobs, size_t n, Error *e) {
        KeystoreReseal calls[RESEAL_AT_ONCE];
        int r = 0;

        for (size_t i = 0; i < n; i++)
                calls[i] = (KeystoreReseal){
                        .key_id = blobs[i].id,
                        .version = blobs[i].version,
                        .sealed = blobs[i].sealed.data,
                        .sealed_len = blobs[i].sealed.len,
                        .resealed = &blobs[i].resealed,
                };
        keystore_reseal_many(ks, calls, n);
        for (size_t i = 0; i < n; i++) {
                blobs[i].e = calls[i].e;
                if (calls[i].r >= 0 || calls[i].r == -CSIGN_E_KEY_CORRUPT)
                        continue;
                *e = calls[i].e;
                r = calls[i].r;
        }
        return r;
}

int keks_reseal(Keystore *ks, SealedBatch *b, Error *e) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < b->n; i += RESEAL_AT_ONCE)
                r = reseal_some(ks, b->blobs + i,
                                b->n - i < RESEAL_AT_ONCE ? b->n - i : RESEAL_AT_ONCE, e);
        return r;
}

int keks_replace(DbConn *c, const SealedBlob *b, Error *e) {
        return db_exec(c, places[b->place].reseal,
                       DB_ARGS(DB_BLOB(b->resealed.data, b->resealed.len), DB_TEXT(b->id),
                               DB_INT(b->version), DB_BLOB(b->sealed.data, b->sealed.len)),
                       e);
}
