/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log, to read and to verify elsewhere: entries are given as the exact text that was
 * hashed. */

#include <stdio.h>

#include "service/api.h"

typedef struct Listing {
        JsonOut o;
        unsigned left;
        uint64_t last;
        bool more;
} Listing;

static void write_hash(JsonOut *o, const char *name, const uint8_t *hash) {
        if (hash)
                json_out_hex(o, name, hash, SHA256_SIZE);
        else
                json_out_str(o, name, "");
}

static int list_record(const AuditRow *row, void *userdata) {
        Listing *l = userdata;

        if (l->left == 0) {
                l->more = true;
                return 0;
        }
        l->left--;
        l->last = row->number;
        json_begin_object(&l->o, NULL);
        json_out_u64(&l->o, "number", row->number);
        write_hash(&l->o, "hash", row->hash);
        write_hash(&l->o, "previous", row->previous);
        json_out_str(&l->o, "entry", row->entry);
        json_end_object(&l->o);
        return l->o.r;
}

static int check_filters(const char *key, const char *request_id, Error *e) {
        if (key && request_id)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'key' and 'request_id' do not go together");
        if (key && !id_is_valid(key, "key"))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'key' is not a key id (key_…)");
        if (request_id && !id_is_valid(request_id, "req"))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'request_id' is not a request id (req_…)");
        return 0;
}

int api_audit_records(Request *req, Error *e) {
        const char *key = form_get(&req->query, "key"),
                   *request_id = form_get(&req->query, "request_id");
        Listing l = { .o = JSON_OUT(&req->reply) };
        uint64_t after;
        int r;

        r = check_filters(key, request_id, e);
        if (r >= 0)
                r = request_limit(req, &l.left, e);
        if (r >= 0)
                r = request_number(req, "after", INT64_MAX, &after, e);
        if (r < 0)
                return r;

        json_begin_object(&l.o, NULL);
        json_begin_array(&l.o, "records");
        r = audit_list(req->service->db, after, l.left + 1, key, request_id, list_record, &l, e);
        if (r < 0)
                return r;
        json_end_array(&l.o);
        json_out_u64(&l.o, "next", l.more ? l.last : 0);
        json_end_object(&l.o);
        return l.o.r;
}

int api_audit_head(Request *req, Error *e) {
        JsonOut o = JSON_OUT(&req->reply);
        AuditHead head;
        int r;

        r = audit_head(req->service->db, &head, e);
        if (r < 0)
                return r;
        json_begin_object(&o, NULL);
        json_out_u64(&o, "number", head.number);
        json_out_hex(&o, "hash", head.hash, sizeof(head.hash));
        json_end_object(&o);
        return o.r;
}
