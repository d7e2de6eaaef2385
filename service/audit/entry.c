/* SPDX-License-Identifier: Apache-2.0 */
/* The text of audit records. */

#include "service/audit/entry.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/json.h"
#include "service/clock.h"

static void put_if(JsonOut *o, const char *name, const char *value) {
        if (value && value[0])
                json_out_str(o, name, value);
}

static void put_head(JsonOut *o, const char *kind, const char *request_id, const Principal *p,
                     const char *address) {
        char now[CLOCK_TEXT_MAX];

        json_out_str(o, "time", clock_text(clock_now(), now));
        json_out_str(o, "kind", kind);
        put_if(o, "request_id", request_id);

        json_begin_object(o, "principal");
        json_out_str(o, "id", p ? p->id : "csign-service");
        json_out_str(o, "type", p ? principal_type_name(p) : "system");
        put_if(o, "name", p ? p->name : NULL);
        json_end_object(o);

        put_if(o, "tsg", p ? p->tsg : NULL);
        put_if(o, "address", address);
}

static void put_result(JsonOut *o, const char *rule, int code) {
        put_if(o, "rule", rule);
        json_out_str(o, "result", code == 0 ? "allowed" : error_info(code)->name);
}

static void name_record(AuditRecord *rec, const char *key_id, const char *request_id) {
        snprintf(rec->key_id, sizeof(rec->key_id), "%s", key_id ? key_id : "");
        snprintf(rec->request_id, sizeof(rec->request_id), "%s", request_id ? request_id : "");
}

static void put_key(JsonOut *o, const SignEvent *s) {
        json_begin_object(o, "key");
        json_out_str(o, "id", s->key_id);
        put_if(o, "path", s->key_path);
        json_out_u64(o, "version", s->version);
        put_if(o, "algorithm", s->key_algorithm);
        json_end_object(o);
}

static void put_signature(JsonOut *o, const SignEvent *s) {
        uint8_t hash[SHA256_SIZE];

        if (s->signature_len == 0)
                return;
        sha256(s->signature, s->signature_len, hash);
        json_out_hex(o, "signature_sha256", hash, sizeof(hash));
}

int audit_entry_sign(AuditRecord *rec, const SignEvent *s) {
        JsonOut o = JSON_OUT(&rec->entry);

        buf_clear(&rec->entry);
        json_begin_object(&o, NULL);
        put_head(&o, "sign", s->request_id, s->principal, s->address);
        if (s->key_id)
                put_key(&o, s);
        put_if(&o, "scheme", s->scheme);
        put_if(&o, "hash", s->hash);
        json_out_hex(&o, s->is_message ? "message_sha256" : "digest", s->digest, s->digest_len);
        if (s->caller)
                json_out_raw(&o, "caller", s->caller);
        put_result(&o, s->rule, s->code);
        put_signature(&o, s);
        json_end_object(&o);

        name_record(rec, s->key_path ? s->key_id : NULL, s->request_id);
        return o.r;
}

int audit_entry_change(AuditRecord *rec, const ChangeEvent *c, ...) {
        JsonOut o = JSON_OUT(&rec->entry);
        va_list ap;

        buf_clear(&rec->entry);
        json_begin_object(&o, NULL);
        put_head(&o, c->kind, c->request_id, c->principal, c->address);

        json_begin_object(&o, "what");
        va_start(ap, c);
        for (const char *name; (name = va_arg(ap, const char *));)
                put_if(&o, name, va_arg(ap, const char *));
        va_end(ap);
        json_end_object(&o);

        put_result(&o, c->rule, c->code);
        json_end_object(&o);

        name_record(rec, c->key_id, c->request_id);
        return o.r;
}
