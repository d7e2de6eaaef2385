/* SPDX-License-Identifier: Apache-2.0 */
/* The text of audit records. */

#include "service/audit/entry.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/json.h"
#include "service/clock.h"

static void put_if(JsonOut *o, const char *name, const char *value) {
        if (value && value[0])
                json_out_str(o, name, value);
}

static void put_principal(JsonOut *o, const Principal *p, bool anonymous) {
        json_begin_object(o, "principal");
        json_out_str(o, "id", p ? p->id : anonymous ? "anonymous" : "csign-service");
        json_out_str(o, "type", p ? principal_type_name(p) : anonymous ? "anonymous" : "system");
        put_if(o, "name", p ? p->name : NULL);
        json_end_object(o);
}

static void put_head(JsonOut *o, uint64_t time, const ChangeEvent *c) {
        char now[CLOCK_TEXT_MAX];

        json_out_str(o, "time", clock_text(time, now));
        json_out_str(o, "kind", c->kind);
        put_if(o, "request_id", c->request_id);
        put_principal(o, c->principal, c->anonymous);
        put_if(o, "tsg", c->principal ? c->principal->tsg : NULL);
        put_if(o, "address", c->address);
}

static const char *result_name(int code) {
        return code == 0 ? "allowed" : error_info(code)->name;
}

static void put_result(JsonOut *o, const char *rule, int code) {
        put_if(o, "rule", rule);
        json_out_str(o, "result", result_name(code));
}

/* Begins a record; tsg NULL: it belongs to the principal's. */
static void name_record(AuditRecord *rec, const char *key_id, const char *request_id,
                        const Principal *p, const char *tsg) {
        snprintf(rec->key_id, sizeof(rec->key_id), "%s", key_id ? key_id : "");
        snprintf(rec->request_id, sizeof(rec->request_id), "%s", request_id ? request_id : "");
        snprintf(rec->principal, sizeof(rec->principal), "%s", p ? p->id : "");
        snprintf(rec->tsg, sizeof(rec->tsg), "%.*s", ID_MAX - 1, tsg ? tsg : p ? p->tsg : "");
        rec->time = clock_now();
        buf_clear(&rec->entry);
}

static void put_key(JsonOut *o, const SignEvent *s) {
        json_begin_object(o, "key");
        json_out_str(o, "id", s->key_id);
        put_if(o, "path", s->key_path);
        put_if(o, "tsg", s->key_tsg);
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

        name_record(rec, s->key_path ? s->key_id : NULL, s->request_id, s->principal, s->key_tsg);
        rec->kind = "sign";
        rec->result = result_name(s->code);
        rec->is_use = s->key_path;
        json_begin_object(&o, NULL);
        put_head(&o, rec->time,
                 &(ChangeEvent){ .kind = "sign",
                                 .request_id = s->request_id,
                                 .principal = s->principal,
                                 .address = s->address });
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
        return o.r;
}

/* The pair that is called tsg. */
static const char *named_tsg(va_list ap) {
        const char *name, *value;

        while ((name = va_arg(ap, const char *))) {
                value = va_arg(ap, const char *);
                if (strcmp(name, "tsg") == 0)
                        return value;
        }
        return NULL;
}

int audit_entry_change(AuditRecord *rec, const ChangeEvent *c, ...) {
        JsonOut o = JSON_OUT(&rec->entry);
        va_list ap;

        va_start(ap, c);
        name_record(rec, c->key_id, c->request_id, c->principal, named_tsg(ap));
        va_end(ap);
        rec->kind = c->kind;
        rec->result = result_name(c->code);
        json_begin_object(&o, NULL);
        put_head(&o, rec->time, c);

        json_begin_object(&o, "what");
        va_start(ap, c);
        for (const char *name; (name = va_arg(ap, const char *));)
                put_if(&o, name, va_arg(ap, const char *));
        va_end(ap);
        json_end_object(&o);

        put_result(&o, c->rule, c->code);
        json_end_object(&o);
        return o.r;
}
