/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures.  Each item of a batch is decided, signed and recorded on its own; the key store is
 * asked for all of them before the first answer is awaited, and all their records share one wait.
 *
 *     sign_item_read, item_resolve, policy_check_sign, keystore_sign_many, audit_commit, reply
 *
 * Nothing of a signature leaves before audit_commit() has said that its record is durable. */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/api.h"
#include "service/metrics.h"
#include "service/policy.h"
#include "service/problem.h"
#include "service/sign-item.h"

#define ITEMS_MAX 64

typedef struct Batch {
        Request *req;
        size_t n;
        SignItem *items;
        AuditRecord *records;
        KeystoreSign *calls;
} Batch;

static void batch_done(Batch *b) {
        for (size_t i = 0; b->items && i < b->n; i++)
                sign_item_done(&b->items[i]);
        for (size_t i = 0; b->records && i < b->n; i++)
                audit_record_done(&b->records[i]);
        free(b->items);
        free(b->records);
        free(b->calls);
}

/* After a failure too, batch_done() is the caller's. */
static int batch_init(Batch *b, Request *req, size_t n) {
        *b = (Batch){ .req = req, .n = n };
        b->items = calloc(n, sizeof(*b->items));
        b->records = calloc(n, sizeof(*b->records));
        b->calls = calloc(n, sizeof(*b->calls));
        return b->items && b->records && b->calls ? 0 : -ENOMEM;
}

/* ---- deciding ---- */

static int item_resolve(SignItem *it, const Request *req) {
        int r;

        r = key_by_id(&req->service->keys, it->key_id, it->version, &it->key, &it->e);
        if (r < 0)
                return r;
        it->reaches = it->key && key_is_below(it->key, req->principal->tsg);
        if (it->key)
                it->req.version = it->key->version;
        return 0;
}

/* r: of reading it. */
static void item_decide(SignItem *it, const Request *req, int r) {
        if (r >= 0)
                r = item_resolve(it, req);
        if (r >= 0)
                r = policy_check_sign(req->principal, it->key, &it->req, &it->rule, &it->e);
        if (r < 0 && it->e.code != r)
                error_set(&it->e, r, "%s", strerror(-r));
}

/* ---- signing ---- */

static void batch_sign(Batch *b) {
        size_t n = 0;

        for (size_t i = 0; i < b->n; i++) {
                SignItem *it = &b->items[i];

                if (it->e.code != 0)
                        continue;
                it->signature = BUF_MAX(SIGNATURE_MAX);
                b->calls[n++] = (KeystoreSign){
                        .req = &it->req,
                        .usage = KEY_USAGE_SIGN,
                        .sealed = it->key->sealed.data,
                        .sealed_len = it->key->sealed.len,
                        .sig = &it->signature,
                };
        }
        if (n == 0)
                return;

        keystore_sign_many(b->req->service->keystore, b->calls, n);
        for (size_t i = 0, k = 0; i < b->n; i++) {
                SignItem *it = &b->items[i];

                if (it->e.code != 0)
                        continue;
                if (b->calls[k].r < 0) {
                        it->e = b->calls[k].e;
                        it->e.code = b->calls[k].r;
                }
                k++;
        }
}

/* ---- recording ---- */

static int item_record(const SignItem *it, const Request *req, AuditRecord *rec) {
        const Key *k = it->reaches ? it->key : NULL;
        uint8_t message_hash[SHA256_SIZE];
        SignEvent s = {
                .request_id = it->request_id,
                .principal = req->principal,
                .address = req->address,
                .key_id = it->key_id && id_is_valid(it->key_id, "key") ? it->key_id : NULL,
                .key_path = k ? k->path : NULL,
                .key_algorithm = k ? k->alg->name : NULL,
                .version = k ? k->version : it->version,
                .scheme = it->req.scheme ? scheme_name(it->req.scheme) : NULL,
                .hash = it->req.hash ? it->req.hash->name : NULL,
                .digest = it->digest.data,
                .digest_len = it->digest.len,
                .caller = it->caller_text.len > 0 ? buf_str(&it->caller_text) : NULL,
                .rule = it->e.code ? it->e.rule : it->rule,
                .code = error_public_code(it->e.code),
                .signature = it->signature.data,
                .signature_len = it->signature.len,
        };

        if (it->e.code == 0)
                s.code = 0;
        if (it->is_message) {
                sha256(it->digest.data, it->digest.len, message_hash);
                s.is_message = true;
                s.digest = message_hash;
                s.digest_len = sizeof(message_hash);
        }
        return audit_entry_sign(rec, &s);
}

/* After a failure nothing may leave: the items become its victims. */
static void batch_fail(Batch *b, const Error *e) {
        for (size_t i = 0; i < b->n; i++) {
                b->items[i].e = *e;
                buf_done(&b->items[i].signature);
        }
}

static void batch_record(Batch *b) {
        Error e = {};
        AuditJob job = { .records = b->records, .n_records = b->n, .e = &e };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < b->n; i++)
                r = item_record(&b->items[i], b->req, &b->records[i]);
        if (r < 0)
                error_set(&e, r, "cannot write an audit record");
        else
                r = audit_commit(b->req->service->audit, &job);
        if (r < 0)
                batch_fail(b, &e);
}

static void batch_count(const Batch *b) {
        size_t allowed = 0;

        for (size_t i = 0; i < b->n; i++)
                allowed += b->items[i].e.code == 0;
        METRIC_ADD(signatures, allowed);
        METRIC_ADD(sign_denied, b->n - allowed);
}

static void batch_run(Batch *b) {
        batch_sign(b);
        batch_record(b);
        batch_count(b);
        for (size_t i = 0; i < b->n; i++)
                error_set_request_id(&b->items[i].e, b->items[i].request_id);
}

/* ---- answering ---- */

static void write_result(JsonOut *o, const SignItem *it, const AuditRecord *rec) {
        json_begin_object(o, NULL);
        if (it->e.code != 0)
                problem_write(o, "problem", &it->e);
        else {
                json_out_str(o, "request_id", it->request_id);
                json_out_base64(o, "signature", it->signature.data, it->signature.len);
                json_begin_object(o, "record");
                json_out_u64(o, "number", rec->number);
                json_out_hex(o, "hash", rec->hash, sizeof(rec->hash));
                json_end_object(o);
        }
        json_end_object(o);
}

/* A batch of one: its refusal is the request's. */
static int run_one(Batch *b, Error *e) {
        JsonOut o = JSON_OUT(&b->req->reply);
        Request *req = b->req;
        SignItem *it = &b->items[0];

        batch_run(b);
        snprintf(req->request_id, sizeof(req->request_id), "%s", it->request_id);
        if (it->e.code != 0) {
                *e = it->e;
                return e->code;
        }
        req->status = 201;
        write_result(&o, it, &b->records[0]);
        return o.r;
}

int api_sign(Request *req, Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(batch_done) Batch b = {};
        SignItem *it;
        int r;

        r = request_json(req, &root, e);
        if (r >= 0)
                r = batch_init(&b, req, 1);
        if (r < 0)
                return r;

        it = &b.items[0];
        item_decide(it, req, sign_item_read(it, root, req->params[0]));
        if (!it->asked_id)
                snprintf(it->request_id, ID_MAX, "%s", req->request_id);
        return run_one(&b, e);
}

int api_sign_message(Request *req, Error *e) {
        _cleanup_(batch_done) Batch b = {};
        const char *scheme = form_get(&req->query, "scheme");
        uint64_t version;
        SignItem *it;
        int r;

        if (strcmp(req->content_type, "application/octet-stream") != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "the body must be application/octet-stream");
        r = request_number(req, "version", UINT32_MAX, &version, e);
        if (r >= 0)
                r = batch_init(&b, req, 1);
        if (r < 0)
                return r;

        it = &b.items[0];
        item_decide(it, req,
                    sign_item_read_message(it, req->params[0], (uint32_t) version,
                                           scheme ? scheme : "", req->request_id, &req->body,
                                           &req->caller));
        return run_one(&b, e);
}

int api_sign_many(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "requests", json_field_array, 0, JSON_REQUIRED },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(batch_done) Batch b = {};
        JsonOut o = JSON_OUT(&req->reply);
        const json_t *list = NULL;
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &list, &root, e);
        if (r >= 0 && (json_array_size(list) == 0 || json_array_size(list) > ITEMS_MAX))
                r = error_set(e, -CSIGN_E_BAD_REQUEST, "'requests' has 1 to %d items, not %zu",
                              ITEMS_MAX, json_array_size(list));
        if (r >= 0)
                r = batch_init(&b, req, json_array_size(list));
        if (r < 0)
                return r;

        for (size_t i = 0; i < b.n; i++)
                item_decide(&b.items[i], req,
                            sign_item_read(&b.items[i], json_array_get(list, i), NULL));
        batch_run(&b);

        json_begin_object(&o, NULL);
        json_begin_array(&o, "results");
        for (size_t i = 0; i < b.n; i++)
                write_result(&o, &b.items[i], &b.records[i]);
        json_end_array(&o);
        json_end_object(&o);
        return o.r;
}
