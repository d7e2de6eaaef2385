/* SPDX-License-Identifier: Apache-2.0 */
/* The key encryption keys: what is sealed under which, and sealing anew under the primary one.  All
 * TSGs' keys are concerned, so it is a matter of the top one. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/api.h"
#include "service/keks.h"

#define BATCH_DEFAULT 100
#define ID_TEXT_MAX   (2 * KEYSTORE_KEK_ID_SIZE + 1)

static int allow_at_top(const Request *req, Right right, Error *e) {
        Tsg top;
        int r;

        r = tsg_top(req->service->db, &top, e);
        return r < 0 ? r : request_allow(req, right, top.id, e);
}

/* ---- the list ---- */

typedef struct KekList {
        JsonOut o;
        KeystoreStatus status;
        bool shown[KEKS_MAX];
} KekList;

static void write_kek(KekList *l, const uint8_t *id, const char *state, uint64_t blobs) {
        json_begin_object(&l->o, NULL);
        json_out_hex(&l->o, "id", id, KEYSTORE_KEK_ID_SIZE);
        json_out_str(&l->o, "state", state);
        json_out_u64(&l->o, "blobs", blobs);
        json_end_object(&l->o);
}

static int list_kek(const uint8_t *id, uint64_t blobs, void *userdata) {
        KekList *l = userdata;
        const char *state = "missing";

        for (size_t i = 0; i < l->status.n_keks; i++)
                if (memcmp(l->status.keks[i], id, KEYSTORE_KEK_ID_SIZE) == 0) {
                        state = i == 0 ? "primary" : "older";
                        l->shown[i] = true;
                }
        write_kek(l, id, state, blobs);
        return l->o.r;
}

int api_kek_list(Request *req, Error *e) {
        KekList l = { .o = JSON_OUT(&req->reply) };
        int r;

        r = allow_at_top(req, RIGHT_VIEW(SETTINGS), e);
        if (r >= 0)
                r = keystore_status(req->service->keystore, &l.status, e);
        if (r < 0)
                return r;

        json_begin_object(&l.o, NULL);
        json_begin_array(&l.o, "keks");
        r = keks_count(req->service->db, list_kek, &l, e);
        for (size_t i = 0; i < l.status.n_keks; i++)
                if (!l.shown[i])
                        write_kek(&l, l.status.keks[i], i == 0 ? "primary" : "older", 0);
        json_end_array(&l.o);
        json_end_object(&l.o);
        return r < 0 ? r : l.o.r;
}

/* ---- sealing anew ---- */

typedef struct Reseal {
        Request *req;
        SealedBatch *batch;
        AuditRecord rec;
        char primary[ID_TEXT_MAX];
        unsigned resealed, failed;
} Reseal;

static bool failed(const SealedBlob *b) {
        return b->e.code != 0;
}

/* Its numbers are known when the change was made, and not before. */
static int write_record(Reseal *rs) {
        ChangeEvent event = request_event(rs->req, "kek.reseal");
        char resealed[16], left[16];

        snprintf(resealed, sizeof(resealed), "%u", rs->resealed);
        snprintf(left, sizeof(left), "%u", rs->failed);
        return audit_entry_change(&rs->rec, &event, "kek", rs->primary, "resealed", resealed,
                                  "failed", left, NULL);
}

static int apply_reseal(DbConn *c, void *userdata, Error *e) {
        Reseal *rs = userdata;
        int r;

        rs->resealed = rs->failed = 0;
        for (size_t i = 0; i < rs->batch->n; i++) {
                if (failed(&rs->batch->blobs[i])) {
                        rs->failed++;
                        continue;
                }
                r = keks_replace(c, &rs->batch->blobs[i], e);
                if (r < 0)
                        return r;
                rs->resealed += (unsigned) r;
        }
        return write_record(rs);
}

static int reply_reseal(const Reseal *rs, const char *cursor) {
        JsonOut o = JSON_OUT(&rs->req->reply);

        json_begin_object(&o, NULL);
        json_out_str(&o, "primary", rs->primary);
        json_out_u64(&o, "resealed", rs->resealed);
        json_begin_array(&o, "failed");
        for (size_t i = 0; i < rs->batch->n; i++) {
                const SealedBlob *b = &rs->batch->blobs[i];

                if (!failed(b))
                        continue;
                json_begin_object(&o, NULL);
                json_out_str(&o, "id", b->id);
                json_out_u64(&o, "version", b->version);
                json_out_str(&o, "detail", b->e.detail);
                json_end_object(&o);
        }
        json_end_array(&o);
        json_out_str(&o, "next_cursor", cursor);
        json_end_object(&o);
        return o.r;
}

static int reseal_batch(Reseal *rs, char cursor[static KEK_CURSOR_MAX], unsigned limit, Error *e) {
        Service *s = rs->req->service;
        KeystoreStatus status;
        int r;

        r = keystore_status(s->keystore, &status, e);
        if (r >= 0 && status.n_keks == 0)
                r = error_set(e, -CSIGN_E_BAD_ANSWER, "the key store names no KEK");
        if (r >= 0)
                r = keks_next(s->db, status.keks[0], cursor, limit, rs->batch, e);
        if (r >= 0)
                r = keks_reseal(s->keystore, rs->batch, e);
        if (r < 0)
                return r;

        for (size_t i = 0; i < KEYSTORE_KEK_ID_SIZE; i++)
                snprintf(rs->primary + 2 * i, 3, "%02x", status.keks[0][i]);
        if (rs->batch->n == 0)
                return 0; /* nothing to do, and nothing to record */
        return request_commit(rs->req, apply_reseal, rs, &rs->rec, e);
}

typedef struct ResealBody {
        const char *cursor;
        uint32_t limit;
} ResealBody;

static int run_reseal(Request *req, const ResealBody *body, Error *e) {
        SealedBatch *batch = calloc(1, sizeof(*batch));
        Reseal rs = { .req = req, .batch = batch };
        char cursor[KEK_CURSOR_MAX];
        int r;

        if (!batch)
                return -ENOMEM;
        snprintf(cursor, sizeof(cursor), "%s", body->cursor);
        r = reseal_batch(&rs, cursor, body->limit, e);
        if (r >= 0)
                r = reply_reseal(&rs, cursor);
        audit_record_done(&rs.rec);
        sealed_batch_done(batch);
        free(batch);
        return r;
}

int api_kek_reseal(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "cursor", json_field_string, offsetof(ResealBody, cursor) },
                { "limit", json_field_u32, offsetof(ResealBody, limit) },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        ResealBody body = { .cursor = "", .limit = BATCH_DEFAULT };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &body, &root, e);
        if (r >= 0 && (body.limit < 1 || body.limit > KEK_BATCH_MAX))
                r = error_set(e, -CSIGN_E_BAD_REQUEST, "'limit' is 1 to %d", KEK_BATCH_MAX);
        if (r >= 0 && strlen(body.cursor) >= KEK_CURSOR_MAX)
                r = error_set(e, -CSIGN_E_BAD_REQUEST, "that cursor is none of ours");
        if (r >= 0)
                r = allow_at_top(req, RIGHT_WRITE(SETTINGS), e);
        return r < 0 ? r : run_reseal(req, &body, e);
}
