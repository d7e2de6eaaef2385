/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log, to read and to verify elsewhere: entries are given as the exact text that was
 * hashed. */

#include <stdio.h>
#include <string.h>

#include "service/api.h"
#include "service/clock.h"
#include "service/policy.h"
#include "service/tsg.h"

typedef struct Listing {
        JsonOut o;
        unsigned left;
} Listing;

static void write_hash(JsonOut *o, const char *name, const uint8_t *hash) {
        if (hash)
                json_out_hex(o, name, hash, SHA256_SIZE);
        else
                json_out_str(o, name, "");
}

static int list_record(const AuditRow *row, void *userdata) {
        Listing *l = userdata;

        if (l->left == 0)
                return 1;
        l->left--;
        json_begin_object(&l->o, NULL);
        json_out_u64(&l->o, "number", row->number);
        write_hash(&l->o, "hash", row->hash);
        write_hash(&l->o, "previous", row->previous);
        json_out_str(&l->o, "entry", row->entry);
        json_end_object(&l->o);
        return l->o.r;
}

/* ---- what is asked for ---- */

static int read_id(const Request *req, const char *name, const char *prefixes, const char **ret,
                   Error *e) {
        const char *text = form_get(&req->query, name);
        char prefix[8];

        *ret = text;
        if (!text)
                return 0;
        for (const char *p = prefixes; *p; p += strcspn(p, " "), p += strspn(p, " ")) {
                snprintf(prefix, sizeof(prefix), "%.*s", (int) strcspn(p, " "), p);
                if (id_is_valid(text, prefix))
                        return 0;
        }
        return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is not an id of the form %s_…", name,
                         prefixes);
}

static int read_time(const Request *req, const char *name, uint64_t *ret, Error *e) {
        const char *text = form_get(&req->query, name);

        *ret = 0;
        if (!text || clock_parse(text, ret) == 0)
                return 0;
        return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is not a time like 2026-11-21T10:50:00Z",
                         name);
}

/* A kind, or an error's name: letters, and a dot between them. */
static int read_word(const Request *req, const char *name, const char **ret, Error *e) {
        static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_";
        const char *text = form_get(&req->query, name);

        *ret = text;
        if (!text || (text[0] && strlen(text) < 64 && !text[strspn(text, letters)]))
                return 0;
        return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is one word", name);
}

/* Which TSG is meant by who names none: the own one; of who audits another one only, that. */
static int default_scope(const Request *req, AuditFilter *f, Tsg *tsg, Error *e) {
        const Principal *p = req->principal;
        Roots roots;

        policy_roots(p, RIGHT_VIEW(AUDIT), &roots);
        if (roots.n == 0)
                return request_allow(req, RIGHT_VIEW(AUDIT), p->tsg, e);
        if (roots.n > 1)
                return error_set(
                        e, -CSIGN_E_BAD_REQUEST,
                        "you audit several TSGs: name one of them with 'tsg': '%s', '%s'%s",
                        roots.list[0].path, roots.list[1].path, roots.n > 2 ? ", ..." : "");
        snprintf(tsg->id, sizeof(tsg->id), "%s", roots.list[0].id);
        f->scope = roots.list[0].path[0] ? tsg->id : NULL;
        return 0;
}

/* Whoever audits a TSG reads what belongs to it and to those below; the top's auditors read all,
 * what belongs to no TSG any more too. */
static int read_scope(const Request *req, AuditFilter *f, Tsg *tsg, Error *e) {
        const char *path = form_get(&req->query, "tsg");
        char normal[PATH_MAX_LEN];
        int r;

        if (!path)
                return default_scope(req, f, tsg, e);
        r = request_path(req, "tsg", normal, e);
        if (r >= 0)
                r = request_tsg(req, RIGHT_VIEW(AUDIT), normal, tsg, e);
        if (r >= 0)
                f->scope = tsg->parent[0] ? tsg->id : NULL;
        return r;
}

static int read_filter(const Request *req, AuditFilter *f, Tsg *tsg, Error *e) {
        int r;

        r = read_id(req, "key", "key", &f->key_id, e);
        if (r >= 0)
                r = read_id(req, "request_id", "req", &f->request_id, e);
        if (r >= 0)
                r = read_id(req, "principal", "acc usr", &f->principal, e);
        if (r >= 0)
                r = read_word(req, "kind", &f->kind, e);
        if (r >= 0)
                r = read_word(req, "result", &f->result, e);
        if (r >= 0)
                r = read_time(req, "from", &f->from, e);
        if (r >= 0)
                r = read_time(req, "to", &f->to, e);
        if (r < 0)
                return r;
        f->refused = f->result && strcmp(f->result, "refused") == 0;
        if (f->refused)
                f->result = NULL;
        return read_scope(req, f, tsg, e);
}

int api_audit_records(Request *req, Error *e) {
        Listing l = { .o = JSON_OUT(&req->reply) };
        AuditFilter filter = {};
        uint64_t after;
        Tsg tsg;
        int r;

        r = read_filter(req, &filter, &tsg, e);
        if (r >= 0)
                r = request_limit(req, &l.left, e);
        if (r >= 0)
                r = request_number(req, "after", INT64_MAX, &after, e);
        if (r < 0)
                return r;

        json_begin_object(&l.o, NULL);
        json_begin_array(&l.o, "records");
        r = audit_list(req->service->db, &filter, &after, list_record, &l, e);
        if (r < 0)
                return r;
        json_end_array(&l.o);
        json_out_u64(&l.o, "next", r > 0 ? after : 0);
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
        json_out_bool(&o, "whole", req->principal->tsg_path[0] == '\0');
        json_end_object(&o);
        return o.r;
}
