/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in authorities: what verifiers need of them, their policy, and new ones. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>

#include "lib/ossl.h"
#include "service/api.h"
#include "service/ca/rows.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/policy.h"
#include "service/revision.h"
#include "service/revocation.h"

/* ---- showing ---- */

static int to_pem(const Buf *der, Buf *pem) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
        char *text;
        long len;

        if (!bio || PEM_write_bio(bio, PEM_STRING_X509, "", der->data, (long) der->len) <= 0)
                return -ENOMEM;
        len = BIO_get_mem_data(bio, &text);
        return buf_append(pem, text, (size_t) len);
}

static int to_time(const ASN1_TIME *time, char text[static CLOCK_TEXT_MAX]) {
        struct tm tm;

        if (ASN1_TIME_to_tm(time, &tm) != 1)
                return -EBADMSG;
        clock_text_seconds((uint64_t) timegm(&tm) * USEC_PER_SEC, text);
        return 0;
}

static int write_authority(JsonOut *o, const Authority *a) {
        const unsigned char *p = a->certificate.data;
        _cleanup_(X509_freep) X509 *x = d2i_X509(NULL, &p, (long) a->certificate.len);
        char end[CLOCK_TEXT_MAX], created[CLOCK_TEXT_MAX];

        if (!x || to_time(X509_get0_notAfter(x), end) < 0)
                return -EBADMSG;
        json_begin_object(o, NULL);
        json_out_str(o, "id", a->id);
        json_out_str(o, "tsg", a->tsg);
        json_out_str(o, "kind", authority_kind_name(a->kind));
        json_out_str(o, "issuer", a->issuer[0] ? a->issuer : NULL);
        json_out_str(o, "subject", a->subject);
        json_out_str(o, "created", clock_text_seconds(a->created, created));
        json_out_str(o, "not_after", end);
        json_out_str(o, "organization", a->policy.organization);
        json_out_str(o, "country", a->policy.country);
        json_out_str(o, "alternative_name", a->policy.alternative_name);
        json_out_str(o, "extended_key_usage", a->policy.extended_key_usage);
        json_out_base64(o, "certificate", a->certificate.data, a->certificate.len);
        json_out_u64(o, "revision", a->revision);
        json_end_object(o);
        return o->r;
}

typedef struct Listing {
        JsonOut o;
        Buf pem;
} Listing;

static int list_authority(const Authority *a, void *userdata) {
        Listing *l = userdata;
        int r;

        r = to_pem(&a->certificate, &l->pem);
        return r < 0 ? r : write_authority(&l->o, a);
}

/* The root TSG above the one that ?tsg= names. */
static int find_tsg(Request *req, const char *path, char ret[static ID_MAX], Error *e) {
        Tsg t;
        int r;

        r = tsg_by_path(req->service->db, req->principal->tsg, path, &t, e);
        if (r == -CSIGN_E_NOT_FOUND)
                return policy_unreachable(req->principal, r, "TSG", path, e);
        return r < 0 ? r : authority_tsg_above(req->service->db, t.id, ret, e);
}

int api_authorities(Request *req, Error *e) {
        Listing l = { .o = JSON_OUT(&req->reply) };
        char path[PATH_MAX_LEN], root[ID_MAX];
        int r;

        if (!form_get(&req->query, "tsg"))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'tsg' is missing");
        r = request_path(req, "tsg", path, e);
        if (r >= 0)
                r = find_tsg(req, path, root, e);
        if (r < 0)
                return r;

        json_begin_object(&l.o, NULL);
        json_begin_array(&l.o, "authorities");
        r = authority_list(req->service->db, root, list_authority, &l, e);
        json_end_array(&l.o);
        json_out_str(&l.o, "certificates", buf_str(&l.pem));
        json_end_object(&l.o);
        buf_done(&l.pem);
        if (r == 0)
                return error_set(e, -CSIGN_E_NOT_FOUND,
                                 "the TSG has no authority: csign ca renew makes one");
        return r < 0 ? r : l.o.r;
}

/* ---- for verifiers, who have no account ---- */

int api_authority_crl(Request *req, Error *e) {
        _cleanup_(authority_done) Authority a = {};
        _cleanup_(crl_done) Crl crl = {};
        int r;

        r = authority_by_id(req->service->db, req->params[0], &a, e);
        if (r >= 0)
                r = revocation_list(req->service, &a, &crl, e);
        if (r < 0)
                return r;
        req->reply_type = "application/pkix-crl";
        return buf_append(&req->reply, crl.der.data, crl.der.len);
}

int api_authority_certificate(Request *req, Error *e) {
        _cleanup_(authority_done) Authority a = {};
        int r;

        r = authority_by_id(req->service->db, req->params[0], &a, e);
        if (r < 0)
                return r;
        req->reply_type = "application/pkix-cert";
        return buf_append(&req->reply, a.certificate.data, a.certificate.len);
}

/* ---- making ---- */

typedef struct NewAuthorities {
        const char *tsg; /* as asked: a path */
        Hierarchy h;
} NewAuthorities;

static void new_authorities_done(NewAuthorities *n) {
        hierarchy_done(&n->h);
}

static int insert(DbConn *c, void *userdata, Error *e) {
        const NewAuthorities *n = userdata;

        return hierarchy_insert(c, &n->h, e);
}

static int commit_new(Request *req, NewAuthorities *n, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "authority.create");
        int r;

        r = audit_entry_change(&rec, &event, "tsg", n->h.root.tsg, "root", n->h.root.id,
                               "authority", n->h.issuing.id, "subject", n->h.issuing.subject, NULL);
        return r < 0 ? r : request_commit(req, insert, n, &rec, e);
}

/* The name is the root TSG's own: who asked may not reach that far up, and then may not do this. */
static int make_new(Request *req, NewAuthorities *n, const char *path, Error *e) {
        const Service *s = req->service;
        JsonOut o = JSON_OUT(&req->reply);
        Tsg t;
        int r;

        if (strchr(path, '/') || !path[0])
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "authorities belong to root TSGs, and '%s' is none", path);
        r = request_tsg(req, RIGHT_WRITE(CERTIFICATES), path, &t, e);
        if (r >= 0)
                r = ca_create_hierarchy(s->keystore, t.id, t.name, s->config.public_url, &n->h, e);
        if (r < 0)
                return r;
        req->status = 201;
        return write_authority(&o, &n->h.issuing);
}

int api_authority_create(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "tsg", json_field_string, offsetof(NewAuthorities, tsg), JSON_REQUIRED },
        };
        _cleanup_(new_authorities_done) NewAuthorities n = {};
        _cleanup_(json_decrefp) json_t *root = NULL;
        char path[PATH_MAX_LEN];
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &n, &root, e);
        if (r >= 0)
                r = path_normalize(n.tsg, path, e);
        if (r >= 0)
                r = make_new(req, &n, path, e);
        return r < 0 ? r : commit_new(req, &n, e);
}

/* ---- policy ---- */

typedef struct PolicyChange {
        const char *organization, *country, *alternative_name, *extended_key_usage;
        Authority authority; /* with the policy as it will be */
        uint64_t if_match;
} PolicyChange;

static void policy_change_done(PolicyChange *p) {
        authority_done(&p->authority);
}

static int apply_policy(DbConn *c, void *userdata, Error *e) {
        const PolicyChange *p = userdata;
        int r;

        r = revision_bump(c, SQL_AUTHORITY_TOUCH, "authority", p->authority.id, p->if_match, e);
        if (r < 0)
                return r;
        return authority_set_policy(c, p->authority.id, &p->authority.policy, e);
}

static int commit_policy(Request *req, PolicyChange *change, const CertPolicy *before, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "authority.change");
        const CertPolicy *now = &change->authority.policy;
        int r;

        r = audit_entry_change(&rec, &event, "authority", change->authority.id, "organization",
                               now->organization, "organization_before", before->organization,
                               "country", now->country, "country_before", before->country,
                               "alternative_name", now->alternative_name, "alternative_name_before",
                               before->alternative_name, "extended_key_usage",
                               now->extended_key_usage, "extended_key_usage_before",
                               before->extended_key_usage, NULL);
        return r < 0 ? r : request_commit(req, apply_policy, change, &rec, e);
}

/* An authority that the caller does not reach is no authority. */
static int find_own(Request *req, Authority *ret, Error *e) {
        Error hidden = {};
        Tsg t;
        int r;

        r = authority_by_id(req->service->db, req->params[0], ret, e);
        if (r >= 0)
                r = tsg_by_id(req->service->db, req->principal->tsg, ret->tsg, &t, &hidden);
        if (r == -CSIGN_E_NOT_FOUND)
                return policy_unreachable(req->principal, r, "authority", NULL, e);
        return r < 0 ? r : request_allow(req, RIGHT_WRITE(CERTIFICATES), ret->tsg, e);
}

int api_authority_change(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "organization", json_field_string, offsetof(PolicyChange, organization) },
                { "country", json_field_string, offsetof(PolicyChange, country) },
                { "alternative_name", json_field_string, offsetof(PolicyChange, alternative_name) },
                { "extended_key_usage", json_field_string,
                  offsetof(PolicyChange, extended_key_usage) },
        };
        _cleanup_(policy_change_done) PolicyChange change = { .if_match = req->if_match };
        _cleanup_(json_decrefp) json_t *root = NULL;
        JsonOut o = JSON_OUT(&req->reply);
        CertPolicy before;
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &change, &root, e);
        if (r >= 0)
                r = find_own(req, &change.authority, e);
        if (r < 0)
                return r;
        before = change.authority.policy;
        r = cert_policy_merge(&change.authority.policy, change.organization, change.country,
                              change.alternative_name, change.extended_key_usage, e);
        if (r >= 0)
                r = commit_policy(req, &change, &before, e);
        req->etag = ++change.authority.revision;
        return r < 0 ? r : write_authority(&o, &change.authority);
}
