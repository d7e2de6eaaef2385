/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures.  Each item of a batch is decided, signed and recorded on its own; the key store is
 * asked for all of them before the first answer is awaited, and all their records share one wait.
 *
 *     sign_item_read, item_resolve, policy_check_sign, keystore_sign_many, audit_commit, reply
 *
 * An item whose idempotency key was used before is found out by audit_commit(), and gets the first
 * answer.
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
        it->reaches = policy_check_key(req->principal, it->key, NULL, NULL) >= 0;
        if (it->key)
                it->req.version = it->key->version;
        return 0;
}

/* Names the item's answer, so that it can be kept. */
static void item_keep(SignItem *it, const Request *req) {
        if (!it->idempotency_key && req->idempotency_key[0])
                it->idempotency_key = req->idempotency_key;
        if (!it->idempotency_key)
                return;
        it->idempotency.principal = req->principal->id;
        it->idempotency.key = it->idempotency_key;
        sign_item_hash(it, it->idempotency.request);
}

/* A kept answer is given again, however many there were: who has a key for it is let through, and
 * found out when the record is written.  So is who comes too late between here and there. */
static int item_check_limit(SignItem *it, const Request *req) {
        const Key *k = it->key;
        int r;

        if (k->policy.per_hour == 0 && k->policy.per_day == 0)
                return 0;
        it->limit = (UsageLimit){ k->id, k->path, k->policy.per_hour, k->policy.per_day };
        r = usage_check(req->service->db, &it->limit, &it->e);
        if (r == -CSIGN_E_RATE_LIMITED && it->idempotency.key) {
                _cleanup_(kept_answer_done) KeptAnswer kept = {};

                if (idempotency_find(req->service->db, &it->idempotency, &kept, NULL) != 0) {
                        it->e = (Error){};
                        return 0;
                }
        }
        return r;
}

/* r: of reading it. */
static void item_decide(SignItem *it, const Request *req, int r) {
        if (r >= 0)
                item_keep(it, req);
        if (r >= 0)
                r = item_resolve(it, req);
        if (r >= 0)
                r = policy_check_sign(req->principal, it->key, &it->req, &it->rule, &it->e);
        if (r >= 0)
                r = item_check_limit(it, req);
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

static int item_record(SignItem *it, const Request *req, AuditRecord *rec) {
        const Key *k = it->reaches ? it->key : NULL;
        uint8_t message_hash[SHA256_SIZE];
        SignEvent s = {
                .request_id = it->request_id,
                .principal = req->principal,
                .address = req->address,
                .key_id = it->key_id && id_is_valid(it->key_id, "key") ? it->key_id : NULL,
                .key_path = k ? k->path : NULL,
                .key_tsg = k ? k->tsg : NULL,
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
        /* A refusal is not kept: who asks again is decided on, and recorded, again. */
        rec->idempotency = it->e.code == 0 && it->idempotency.key ? &it->idempotency : NULL;
        rec->limit = it->e.code == 0 && it->limit.key_id ? &it->limit : NULL;
        it->idempotency.answer = it->signature.data;
        it->idempotency.answer_len = it->signature.len;
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

/* ---- repeating ---- */

/* What was signed just now is dropped: it has no record. */
static int item_repeat(SignItem *it, const Request *req, AuditRecord *rec) {
        _cleanup_(kept_answer_done) KeptAnswer kept = {};
        int r;

        buf_clear(&it->signature);
        r = idempotency_find(req->service->db, &it->idempotency, &kept, &it->e);
        if (r < 0)
                return r;
        if (r == 0 || kept.status != 0)
                return error_set(&it->e, -CSIGN_E_IDEMPOTENCY_MISMATCH,
                                 "the idempotency key '%s' was not given for a signature",
                                 it->idempotency.key);
        rec->number = kept.record;
        memcpy(rec->hash, kept.hash, sizeof(rec->hash));
        snprintf(it->request_id, sizeof(it->request_id), "%s", kept.request_id);
        it->repeated = true;
        return buf_append(&it->signature, kept.answer.data, kept.answer.len);
}

/* What was signed just now is one too many, and is dropped. */
static int item_limit(SignItem *it, const Request *req) {
        int r;

        r = usage_check(req->service->db, &it->limit, &it->e);
        return r < 0 ? r
                     : error_set_rule(&it->e, -CSIGN_E_RATE_LIMITED, "usage-rate",
                                      "key '%s' may make no more signatures for now",
                                      it->limit.key_path);
}

/* Items whose record was not written: because their key was used before, and then they get what the
 * first got; or because they are refused after all.  Counts these. */
static size_t batch_settle(Batch *b, bool *refused) {
        size_t n = 0;

        for (size_t i = 0; i < b->n; i++) {
                AuditRecord *rec = &b->records[i];
                SignItem *it = &b->items[i];
                int r = 0;

                if (it->e.code == 0 && rec->limited)
                        r = item_limit(it, b->req);
                else if (it->e.code == 0 && rec->repeated)
                        r = item_repeat(it, b->req, rec);
                refused[i] = r < 0;
                n += r < 0;
                if (r >= 0)
                        continue;
                buf_done(&it->signature);
                if (it->e.code != r)
                        error_set(&it->e, r, "%s", strerror(-r));
        }
        return n;
}

/* They are refusals like any other, and share one more transaction. */
static int record_refusals(Batch *b, const bool *refused, size_t n, Error *e) {
        AuditRecord *records = calloc(n, sizeof(*records));
        AuditJob job = { .records = records, .n_records = n, .e = e };
        size_t k = 0;
        int r = records ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < b->n; i++)
                if (refused[i])
                        r = item_record(&b->items[i], b->req, &records[k++]);
        if (r >= 0)
                r = audit_commit(b->req->service->audit, &job);
        for (size_t i = 0; records && i < n; i++)
                audit_record_done(&records[i]);
        free(records);
        return r;
}

static void batch_repeat(Batch *b) {
        bool refused[ITEMS_MAX];
        size_t n = batch_settle(b, refused);
        Error e = {};
        int r;

        if (n == 0)
                return;
        r = record_refusals(b, refused, n, &e);
        if (r >= 0)
                return;
        if (e.code != r)
                error_set(&e, r, "cannot write an audit record");
        for (size_t i = 0; i < b->n; i++)
                if (refused[i])
                        b->items[i].e = e;
}

static void batch_count(const Batch *b) {
        size_t allowed = 0, repeated = 0;

        for (size_t i = 0; i < b->n; i++) {
                allowed += b->items[i].e.code == 0;
                repeated += b->items[i].repeated;
        }
        METRIC_ADD(signatures, allowed - repeated);
        METRIC_ADD(requests_repeated, repeated);
        METRIC_ADD(sign_denied, b->n - allowed);
}

static void batch_run(Batch *b) {
        batch_sign(b);
        batch_record(b);
        batch_repeat(b);
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
                if (it->repeated)
                        json_out_bool(o, "repeated", true);
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
        req->repeated = it->repeated;
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
        if (r >= 0 && req->idempotency_key[0])
                r = error_set(e, -CSIGN_E_BAD_REQUEST,
                              "here each item has an 'idempotency_key' of its own");
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
