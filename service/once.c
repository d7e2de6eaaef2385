/* SPDX-License-Identifier: Apache-2.0 */
/* Looks for a kept answer before a request runs; and again when it failed, for then another with
 * the same key may have been quicker. */

#include "service/once.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "service/metrics.h"
#include "service/route.h"

static void name_request(Request *req) {
        uint8_t *name = req->idempotency.request;

        req->idempotency.principal = req->principal->id;
        req->idempotency.key = req->idempotency_key;
        sha256_2(req->route->pattern, strlen(req->route->pattern), req->body.data, req->body.len,
                 name);
        for (size_t i = 0; i < REQUEST_PARAMS_MAX; i++)
                sha256_2(name, SHA256_SIZE, req->params[i], strlen(req->params[i]), name);
}

/* 1: the reply is what was kept. */
static int reply_kept(Request *req, Error *e) {
        _cleanup_(kept_answer_done) KeptAnswer kept = {};
        int r;

        r = idempotency_find(req->service->db, &req->idempotency, &kept, e);
        if (r <= 0)
                return r;
        if (kept.status == 0)
                return error_set(e, -CSIGN_E_IDEMPOTENCY_MISMATCH,
                                 "the idempotency key '%s' was given for a signature",
                                 req->idempotency.key);

        METRIC_ADD(requests_repeated, 1);
        snprintf(req->request_id, sizeof(req->request_id), "%s", kept.request_id);
        req->status = kept.status;
        req->repeated = true;
        req->etag =
                0; /* the answer has the revision of its time; there may have been others since */
        buf_clear(&req->reply);
        r = buf_append(&req->reply, kept.answer.data, kept.answer.len);
        return r < 0 ? r : 1;
}

int once_run(Request *req, Error *e) {
        Error why = {};
        int r, q;

        name_request(req);
        r = reply_kept(req, e);
        if (r != 0)
                return r < 0 ? r : 0;

        r = req->route->fn(req, e);
        if (r >= 0)
                return r;
        q = reply_kept(req, &why);
        if (q == 0)
                return r;
        *e = why;
        return q < 0 ? q : 0;
}

void once_keep(Request *req, AuditRecord *rec) {
        assert(req->reply.len > 0);

        req->idempotency.status = req->status;
        req->idempotency.answer = req->reply.data;
        req->idempotency.answer_len = req->reply.len;
        rec->idempotency = &req->idempotency;
}
