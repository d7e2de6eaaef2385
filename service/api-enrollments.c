/* SPDX-License-Identifier: Apache-2.0 */
/* Enrollment: an administrator gets a code; a machine that has it registers a key that it made. */

#include <stdio.h>
#include <string.h>

#include "service/api-accounts.h"
#include "service/api.h"
#include "service/clock.h"
#include "service/enrollments.h"
#include "service/policy.h"
#include "service/proof.h"

#define CODE_SECONDS_MIN     60
#define CODE_SECONDS_MAX     (7 * 24 * 3600)
#define CODE_SECONDS_DEFAULT 3600

static void write_enrollment(JsonOut *o, const Enrollment *en, const Secret *code) {
        char created[CLOCK_TEXT_MAX], expires[CLOCK_TEXT_MAX];

        json_begin_object(o, NULL);
        json_out_str(o, "id", en->id);
        json_out_str(o, "created", clock_text_seconds(en->created, created));
        json_out_str(o, "expires", clock_text_seconds(en->expires, expires));
        if (code)
                json_out_str(o, "code", (const char *) code->data);
        json_end_object(o);
}

/* ---- an administrator's ---- */

static int list_enrollment(const Enrollment *en, void *userdata) {
        JsonOut *o = userdata;

        write_enrollment(o, en, NULL);
        return o->r;
}

int api_enrollment_list(Request *req, Error *e) {
        JsonOut o = JSON_OUT(&req->reply);
        Account a;
        int r;

        r = find_account(req, RIGHT_VIEW(ACCOUNTS), &a, e);
        if (r < 0)
                return r;
        json_begin_object(&o, NULL);
        json_begin_array(&o, "enrollments");
        r = enrollment_list(req->service->db, a.id, clock_now(), list_enrollment, &o, e);
        json_end_array(&o);
        json_end_object(&o);
        return r < 0 ? r : o.r;
}

typedef struct NewEnrollment {
        uint32_t key_days, seconds; /* as asked */
        const char *account;
        Enrollment enrollment;
} NewEnrollment;

static int insert_enrollment(DbConn *c, void *userdata, Error *e) {
        const NewEnrollment *n = userdata;

        return enrollment_insert(c, n->account, &n->enrollment, e);
}

static int commit_enrollment(Request *req, NewEnrollment *n, const char *path, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "account.enrollment");
        char expires[CLOCK_TEXT_MAX];
        int r;

        r = audit_entry_change(&rec, &event, "account", n->account, "path", path, "enrollment",
                               n->enrollment.id, "expires",
                               clock_text_seconds(n->enrollment.expires, expires), NULL);
        return r < 0 ? r : request_commit(req, insert_enrollment, n, &rec, e);
}

int api_enrollment_create(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "validity_days", json_field_positive, offsetof(NewEnrollment, key_days) },
                { "expires_in", json_field_positive, offsetof(NewEnrollment, seconds) },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(secret_done) Secret code = {};
        NewEnrollment n = { .account = req->params[0], .seconds = CODE_SECONDS_DEFAULT };
        Account a;
        JsonOut o;
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &n, &root, e);
        if (r >= 0)
                r = check_days(&n.key_days, e);
        if (r >= 0 && (n.seconds < CODE_SECONDS_MIN || n.seconds > CODE_SECONDS_MAX))
                r = error_set(e, -CSIGN_E_BAD_REQUEST, "'expires_in' is %d to %d seconds",
                              CODE_SECONDS_MIN, CODE_SECONDS_MAX);
        if (r >= 0)
                r = find_account(req, RIGHT_WRITE(ACCOUNTS), &a, e);
        if (r >= 0)
                r = enrollment_new(&n.enrollment, &code, e);
        if (r >= 0)
                r = buf_reserve(&req->reply, 1024); /* growing would leave a copy of the code */
        if (r < 0)
                return r;

        n.enrollment.created = clock_now();
        n.enrollment.expires = n.enrollment.created + n.seconds * USEC_PER_SEC;
        n.enrollment.key_days = n.key_days;
        o = JSON_OUT(&req->reply);
        write_enrollment(&o, &n.enrollment, &code);
        req->status = 201;
        return o.r < 0 ? o.r : commit_enrollment(req, &n, a.path, e);
}

static int delete_enrollment(DbConn *c, void *userdata, Error *e) {
        const Request *req = userdata;
        int r;

        r = account_touch(c, req->params[0], req->if_match, e);
        return r < 0 ? r : enrollment_delete(c, req->params[0], req->params[1], e);
}

int api_enrollment_delete(Request *req, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "account.enrollment-remove");
        Account a;
        int r;

        r = find_account(req, RIGHT_WRITE(ACCOUNTS), &a, e);
        if (r >= 0)
                r = audit_entry_change(&rec, &event, "account", a.id, "path", a.path, "enrollment",
                                       req->params[1], NULL);
        if (r < 0)
                return r;
        req->status = 204;
        return request_commit(req, delete_enrollment, req, &rec, e);
}

/* ---- a machine's ---- */

typedef struct Enroll {
        const char *code, *public_key, *proof; /* as asked */
        uint64_t now;
        EnrollmentUse use;
        AccountKey key;
        Buf spki;
} Enroll;

static void enroll_done(Enroll *en) {
        buf_done(&en->spki);
}

static Principal principal_of(const Account *a) {
        Principal p = { .type = PRINCIPAL_ACCOUNT };

        snprintf(p.id, sizeof(p.id), "%s", a->id);
        snprintf(p.name, sizeof(p.name), "%s", a->path);
        snprintf(p.tsg, sizeof(p.tsg), "%s", a->tsg);
        return p;
}

static int count_guess(DbConn *c, void *userdata, Error *e) {
        return enrollment_guessed(c, userdata, e);
}

/* The refusal stays what it was; only that it cannot be counted is worse. */
static int record_guess(Request *req, Enroll *en, const Error *why, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "account.enroll");
        Principal account = principal_of(&en->use.account);
        Error trouble = {};
        int r;

        event.principal = &account;
        event.rule = why->rule;
        event.code = why->code;
        r = audit_entry_change(&rec, &event, "account", account.id, "enrollment", en->use.id, NULL);
        if (r >= 0)
                r = request_commit(req, count_guess, en->use.id, &rec, &trouble);
        if (r < 0)
                *e = trouble;
        return r < 0 ? r : why->code;
}

static int find_use(Request *req, Enroll *en, Error *e) {
        const Account *a = &en->use.account;
        int r;

        r = enrollment_find(req->service->db, en->code, en->now, &en->use, e);
        if (r < 0 && en->use.wrong) {
                Error why = *e;

                return record_guess(req, en, &why, e);
        }
        if (r < 0)
                return r;
        if (!a->enabled || a->expires <= en->now)
                return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, "account-state",
                                      "account '%s' is disabled or has expired", a->path);
        return policy_check_network(a->path, &a->networks, req->address, e);
}

static int insert_key(DbConn *c, void *userdata, Error *e) {
        const Enroll *en = userdata;
        int r;

        r = enrollment_use(c, en->use.id, en->now, e);
        if (r >= 0)
                r = account_touch(c, en->use.account.id, 0, e);
        return r < 0 ? r : account_key_insert(c, en->use.account.id, &en->key, &en->spki, e);
}

static int commit_key(Request *req, Enroll *en, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "account.enroll");
        Principal account = principal_of(&en->use.account);
        _cleanup_(buf_done) Buf thumbprint = {};
        int r;

        event.principal = &account;
        event.rule = "enrollment-code";
        r = buf_append_hex(&thumbprint, en->key.thumbprint, SHA256_SIZE);
        if (r >= 0)
                r = audit_entry_change(&rec, &event, "account", account.id, "path", account.name,
                                       "enrollment", en->use.id, "key", en->key.id, "thumbprint",
                                       buf_str(&thumbprint), NULL);
        return r < 0 ? r : request_commit(req, insert_key, en, &rec, e);
}

static int write_answer(Request *req, const Enroll *en) {
        JsonOut o = JSON_OUT(&req->reply);
        char expires[CLOCK_TEXT_MAX];

        json_begin_object(&o, NULL);
        json_out_str(&o, "client_id", en->use.account.id);
        json_out_str(&o, "account", en->use.account.path);
        json_out_str(&o, "key", en->key.id);
        json_out_str(&o, "expires", clock_text_seconds(en->key.expires, expires));
        json_end_object(&o);
        return o.r;
}

int api_enroll(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "code", json_field_string, offsetof(Enroll, code), JSON_REQUIRED },
                { "public_key", json_field_string, offsetof(Enroll, public_key), JSON_REQUIRED },
                { "proof", json_field_string, offsetof(Enroll, proof), JSON_REQUIRED },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(enroll_done) Enroll en = { .now = clock_now() };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &en, &root, e);
        if (r >= 0)
                r = find_use(req, &en, e);
        if (r >= 0)
                r = account_key_new(en.public_key, en.now, en.use.key_days, &en.key, &en.spki, e);
        if (r >= 0)
                r = proof_check(en.proof, &en.spki, en.use.id, en.code, req->service->config.issuer,
                                e);
        if (r >= 0)
                r = write_answer(req, &en);
        if (r < 0)
                return r;
        req->status = 201;
        return commit_key(req, &en, e);
}
