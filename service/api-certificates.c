/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of keys: seeing and revoking them.  api-issue.c makes them. */

#include "service/api-certificates.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/ossl.h"
#include "service/api-keys.h"
#include "service/api.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/policy.h"
#include "service/revision.h"
#include "service/revocation.h"

#define EXPIRES_DAYS_MAX 36500

/* ---- showing ---- */

static int name_text(const X509_NAME *name, Buf *ret) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
        char *text;
        long len;

        if (!bio || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) < 0)
                return -ENOMEM;
        len = BIO_get_mem_data(bio, &text);
        return buf_append(ret, text, (size_t) len);
}

static int write_names(JsonOut *o, const Buf *der) {
        _cleanup_(buf_done) Buf subject = {}, issuer = {};
        _cleanup_(X509_freep) X509 *x = NULL;
        const unsigned char *p = der->data;
        int r;

        x = d2i_X509(NULL, &p, (long) der->len);
        if (!x)
                return -EBADMSG;
        r = name_text(X509_get_subject_name(x), &subject);
        if (r >= 0)
                r = name_text(X509_get_issuer_name(x), &issuer);
        json_out_str(o, "subject", buf_str(&subject));
        json_out_str(o, "issuer", buf_str(&issuer));
        return r;
}

static const char *state_name(const CertificateRow *row, uint64_t now) {
        if (row->revoked != 0)
                return "revoked";
        return row->c.not_after <= now ? "expired" : "valid";
}

static int write_fields(JsonOut *o, const CertificateRow *row) {
        const Certificate *c = &row->c;
        char text[CLOCK_TEXT_MAX];
        uint64_t now = clock_now();
        int r;

        json_out_str(o, "id", c->id);
        json_out_str(o, "key", row->key_id);
        json_out_str(o, "key_path", row->key_path);
        json_out_u64(o, "version", row->version);
        json_out_str(o, "source", c->authority[0] ? "builtin" : "import");
        json_out_str(o, "authority", c->authority[0] ? c->authority : NULL);
        r = write_names(o, &c->der);
        json_out_str(o, "serial", c->serial);
        json_out_str(o, "not_before", clock_text_seconds(c->not_before, text));
        json_out_str(o, "not_after", clock_text_seconds(c->not_after, text));
        json_out_u64(o, "days_left", c->not_after > now ? (c->not_after - now) / USEC_PER_DAY : 0);
        json_out_str(o, "state", state_name(row, now));
        json_out_bool(o, "current", row->current);
        json_out_str(o, "revoked_at", row->revoked ? clock_text_seconds(row->revoked, text) : NULL);
        json_out_str(o, "revocation_reason", row->revoked ? row->reason : NULL);
        json_out_u64(o, "revision", row->revision);
        return r;
}

int certificate_write(JsonOut *o, const CertificateRow *row) {
        int r;

        json_begin_object(o, NULL);
        r = write_fields(o, row);
        json_end_object(o);
        return r < 0 ? r : o->r;
}

int certificate_write_full(JsonOut *o, const CertificateRow *row, const Buf *above) {
        int r;

        json_begin_object(o, NULL);
        r = write_fields(o, row);
        certificates_write(o, &row->c.der, row->c.authority[0] ? above : &row->c.chain);
        json_end_object(o);
        return r < 0 ? r : o->r;
}

static int reply(Request *req, const CertificateRow *row, Error *e) {
        _cleanup_(authority_done) Authority a = {};
        _cleanup_(buf_done) Buf chain = {};
        Db *db = req->service->db;
        JsonOut o = JSON_OUT(&req->reply);
        int r = 0;

        if (row->c.authority[0]) {
                r = authority_by_id(db, row->c.authority, &a, e);
                if (r >= 0)
                        r = authority_chain(db, &a, &chain, e);
        }
        req->etag = row->revision;
        return r < 0 ? r : certificate_write_full(&o, row, &chain);
}

/* The certificate of the path's id, if the caller may do that with it. */
static int find(Request *req, Right right, CertificateRow *ret, Error *e) {
        CertificateRow row = {};
        int r;

        r = certificate_by_id(req->service->db, req->principal->tsg, req->params[0], &row, e);
        if (r == -CSIGN_E_NOT_FOUND)
                return policy_unreachable(req->principal, r, "certificate", NULL, e);
        if (r >= 0)
                r = request_allow(req, right, row.tsg, e);
        if (r < 0) {
                certificate_row_done(&row);
                return r;
        }
        *ret = row;
        return 0;
}

int api_certificate_get(Request *req, Error *e) {
        _cleanup_(certificate_row_done) CertificateRow row = {};
        int r;

        r = find(req, RIGHT_VIEW(CERTIFICATES), &row, e);
        return r < 0 ? r : reply(req, &row, e);
}

/* ---- listing ---- */

#define CURSOR_MAX 128

typedef struct Listing {
        JsonOut o;
        const Root *root; /* where the caller may see them */
        unsigned left;
        char last[CURSOR_MAX];
        bool more;
} Listing;

static int list_certificate(const CertificateRow *row, void *userdata) {
        Listing *l = userdata;

        if (l->left == 0) {
                l->more = true;
                return 0;
        }
        l->left--;
        snprintf(l->last, sizeof(l->last), "%s.%llu-%s", l->root->id,
                 (unsigned long long) row->c.not_after, row->c.id);
        return certificate_write(&l->o, row);
}

/* "TSG.TIME-ID": where the page before ended. */
static int read_cursor(const Request *req, CertificateFilter *f, char root[static ID_MAX],
                       Error *e) {
        const char *text = form_get(&req->query, "cursor"), *dot;
        char *end = NULL;

        f->after_id = "";
        root[0] = '\0';
        if (!text || !text[0])
                return 0;
        dot = text + strcspn(text, ".");
        snprintf(root, ID_MAX, "%.*s", (int) (dot - text < ID_MAX ? dot - text : 0), text);
        text = *dot ? dot + 1 : dot;
        errno = 0;
        f->after_end = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
        if (!end || *end != '-' || errno != 0 || f->after_end > INT64_MAX ||
            !id_is_valid(end + 1, "crt") || !id_is_valid(root, "tsg"))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'cursor' is not the 'next_cursor' of a page before");
        f->after_id = end + 1;
        return 0;
}

static int read_filter(Request *req, CertificateFilter *f, char root[static ID_MAX], Error *e) {
        const char *key = form_get(&req->query, "key");
        _cleanup_(key_unrefp) Key *k = NULL;
        uint64_t days;
        int r;

        r = request_number(req, "expires_within", EXPIRES_DAYS_MAX, &days, e);
        if (r >= 0)
                r = read_cursor(req, f, root, e);
        if (r < 0)
                return r;
        if (form_get(&req->query, "expires_within"))
                f->ends_before = clock_now() + days * USEC_PER_DAY;
        if (!key)
                return 0;
        if (f->ends_before != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'key' and 'expires_within' do not go together");
        f->key_id = key;
        r = key_by_id(&req->service->keys, key, 0, &k, e);
        return r < 0 ? r : policy_check_key(req->principal, k, NULL, e);
}

/* One TSG of the caller's after the other; a cursor of one that is the caller's no more begins
 * anew. */
static int list_roots(Request *req, CertificateFilter *f, const char *root, Listing *l, Error *e) {
        Db *db = req->service->db;
        Roots roots;
        size_t i = 0;
        int r = 0;

        policy_roots(req->principal, RIGHT_VIEW(CERTIFICATES), &roots);
        while (root[0] && i < roots.n && strcmp(roots.list[i].id, root) != 0)
                i++;
        if (!root[0] || i == roots.n) {
                i = 0;
                f->after_end = 0;
                f->after_id = "";
        }
        for (; r >= 0 && i < roots.n && !l->more; i++) {
                l->root = &roots.list[i];
                f->limit = l->left + 1;
                if (!f->key_id)
                        r = tsg_has_few_keys(db, l->root->id, &f->few_keys, e);
                if (r >= 0)
                        r = certificate_list(db, l->root->id, f, list_certificate, l, e);
                f->after_end = 0;
                f->after_id = "";
        }
        return r;
}

int api_certificate_list(Request *req, Error *e) {
        Listing l = { .o = JSON_OUT(&req->reply) };
        CertificateFilter f = {};
        char root[ID_MAX];
        int r;

        r = request_limit(req, &l.left, e);
        if (r >= 0)
                r = read_filter(req, &f, root, e);
        if (r < 0)
                return r;
        json_begin_object(&l.o, NULL);
        json_begin_array(&l.o, "certificates");
        r = list_roots(req, &f, root, &l, e);
        if (r < 0)
                return r;
        json_end_array(&l.o);
        json_out_str(&l.o, "next_cursor", l.more ? l.last : "");
        json_end_object(&l.o);
        return l.o.r;
}

/* ---- revoking ---- */

typedef struct Revocation {
        const char *reason, *time; /* as asked */
        uint64_t if_match;
        CertificateRow row;
} Revocation;

static void revocation_done(Revocation *v) {
        certificate_row_done(&v->row);
}

static int check_reason(const char *reason, Error *e) {
        char names[256] = "";

        if (revocation_reason_code(reason) >= 0)
                return 0;
        for (size_t i = 0; revocation_reason_at(i); i++)
                snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s",
                         i ? ", " : "", revocation_reason_at(i));
        return error_set(e, -CSIGN_E_BAD_REQUEST, "'%.32s' is not a reason: there are %s", reason,
                         names);
}

/* When what was signed stopped being trustworthy: between the certificate's begin and now. */
static int read_time(const char *text, const Certificate *c, uint64_t *ret, Error *e) {
        uint64_t now = clock_now();
        struct tm tm = {};
        const char *end;
        time_t sec;

        if (!text) {
                *ret = now;
                return 0;
        }
        end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
        sec = end && !*end ? timegm(&tm) : -1;
        if (sec < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'time' is not a time like 2026-11-21T10:50:00Z");
        *ret = (uint64_t) sec * USEC_PER_SEC;
        if (*ret > now || *ret + USEC_PER_SEC <= c->not_before)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'time' is not between the certificate's begin and now");
        return 0;
}

static int apply_revocation(DbConn *c, void *userdata, Error *e) {
        const Revocation *v = userdata;
        int r;

        r = revision_bump(c, SQL_CERTIFICATE_TOUCH, "certificate", v->row.c.id, v->if_match, e);
        if (r < 0)
                return r;
        return certificate_revoke(c, &v->row, v->row.revoked, v->row.reason, e);
}

static int commit_revocation(Request *req, Revocation *v, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "certificate.revoke");
        const CertificateRow *row = &v->row;
        char when[CLOCK_TEXT_MAX], version[16];
        int r;

        event.key_id = row->key_id;
        snprintf(version, sizeof(version), "%u", row->version);
        r = audit_entry_change(
                &rec, &event, "certificate", row->c.id, "key", row->key_id, "path", row->key_path,
                "version", version, "certificate_serial", row->c.serial, "state", "revoked",
                "state_before", row->c.not_after <= clock_now() ? "expired" : "valid", "reason",
                row->reason, "revoked_at", clock_text_seconds(row->revoked, when), NULL);
        return r < 0 ? r : request_commit(req, apply_revocation, v, &rec, e);
}

/* The revocation stands, whatever becomes of this: a list is made when it is asked for at the
 * latest. */
static void renew_list(Request *req, const CertificateRow *row) {
        _cleanup_(authority_done) Authority a = {};
        _cleanup_(crl_done) Crl crl = {};
        Error e = {};

        if (row->c.authority[0] && authority_by_id(req->service->db, row->c.authority, &a, &e) == 0)
                (void) revocation_list(req->service, &a, &crl, &e);
}

int api_certificate_revoke(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "reason", json_field_string, offsetof(Revocation, reason), JSON_REQUIRED },
                { "time", json_field_string, offsetof(Revocation, time) },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(revocation_done) Revocation v = { .if_match = req->if_match };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &v, &root, e);
        if (r >= 0)
                r = check_reason(v.reason, e);
        if (r >= 0)
                r = find(req, RIGHT_WRITE(CERTIFICATES), &v.row, e);
        if (r < 0)
                return r;
        if (v.row.revoked != 0)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "certificate %s was revoked before",
                                 v.row.c.id);
        r = read_time(v.time, &v.row.c, &v.row.revoked, e);
        if (r < 0)
                return r;
        snprintf(v.row.reason, sizeof(v.row.reason), "%s", v.reason);
        v.row.revision++;
        r = reply(req, &v.row, e);
        if (r >= 0)
                r = commit_revocation(req, &v, e);
        if (r >= 0)
                renew_list(req, &v.row);
        return r;
}
