/* SPDX-License-Identifier: Apache-2.0 */
/* How a version of a key comes to a certificate: from the built-in CA (renewed with the same key),
 * or from an outside one by hand, with a request out and a chain in. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>

#include "lib/ossl.h"
#include "service/api-certificates.h"
#include "service/api-keys.h"
#include "service/api.h"
#include "service/ca/chain.h"
#include "service/ca/csr.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/revision.h"

/* The key at the version that the path names, for who may write its certificates. */
static int find_version(Request *req, Key **ret, Error *e) {
        _cleanup_(key_unrefp) Key *k = NULL;
        uint32_t version;
        int r;

        r = key_version_param(req, &version, e);
        if (r >= 0)
                r = key_find(req, version, &k, e);
        if (r >= 0)
                r = request_allow(req, RIGHT_WRITE(CERTIFICATES), k->tsg, e);
        if (r >= 0)
                r = key_check_alive(k, e);
        if (r < 0)
                return r;
        *ret = TAKE(k);
        return 0;
}

/* ---- out: a request ---- */

typedef struct CsrTerms {
        const char *subject, *organization, *country, *alternative_name, *extended_key_usage;
        CertPolicy policy;
} CsrTerms;

/* What is not asked for is as the built-in authority of the key's root TSG would have it. */
static int fill_terms(Request *req, const Key *k, CsrTerms *t, Error *e) {
        _cleanup_(authority_done) Authority a = {};
        int r;

        r = authority_above(req->service->db, k->tsg, &a, e);
        if (r < 0)
                return r;
        t->policy = a.policy;
        return cert_policy_merge(&t->policy, t->organization, t->country, t->alternative_name,
                                 t->extended_key_usage, e);
}

static int record_csr(Request *req, const Key *k, const char *subject, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "certificate.request");
        char version[16];
        int r;

        event.key_id = k->id;
        snprintf(version, sizeof(version), "%u", k->version);
        r = audit_entry_change(&rec, &event, "key", k->id, "path", k->path, "version", version,
                               "subject", subject, NULL);
        return r < 0 ? r : request_commit(req, NULL, NULL, &rec, e);
}

static int reply_csr(Request *req, const Buf *der) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
        JsonOut o = JSON_OUT(&req->reply);
        char *text = NULL;

        if (!bio || PEM_write_bio(bio, PEM_STRING_X509_REQ, "", der->data, (long) der->len) <= 0 ||
            BIO_write(bio, "", 1) != 1 || BIO_get_mem_data(bio, &text) <= 0)
                return -ENOMEM;
        json_begin_object(&o, NULL);
        json_out_str(&o, "csr", text);
        json_end_object(&o);
        return o.r;
}

/* A request is a signature by the key, and so it is asked of a key that signs. */
static int check_enabled(const Key *k, Error *e) {
        bool enabled = k->state == KEY_ENABLED;

        if (enabled && k->version_enabled)
                return 0;
        return error_set_rule(e, -CSIGN_E_KEY_DISABLED, enabled ? "version-state" : "key-state",
                              "version %u of key '%s' is disabled", k->version, k->path);
}

static int make_csr(Request *req, CsrTerms *t, Error *e) {
        _cleanup_(key_unrefp) Key *k = NULL;
        _cleanup_(buf_done) Buf der = {};
        CsrRequest cr = { .policy = &t->policy };
        int r;

        r = find_version(req, &k, e);
        if (r >= 0)
                r = check_enabled(k, e);
        if (r >= 0)
                r = fill_terms(req, k, t, e);
        if (r < 0)
                return r;
        cr.key_id = k->id;
        cr.version = k->version;
        cr.alg = k->alg;
        cr.spki = &k->spki;
        cr.sealed = &k->sealed;
        cr.path = k->path;
        cr.common_name = t->subject ? t->subject : key_common_name(k);
        r = csr_make(req->service->keystore, &cr, &der, e);
        if (r >= 0)
                r = reply_csr(req, &der);
        return r < 0 ? r : record_csr(req, k, cr.common_name, e);
}

int api_csr_get(Request *req, Error *e) {
        CsrTerms t = {};

        return make_csr(req, &t, e);
}

int api_csr_create(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "subject", json_field_string, offsetof(CsrTerms, subject) },
                { "organization", json_field_string, offsetof(CsrTerms, organization) },
                { "country", json_field_string, offsetof(CsrTerms, country) },
                { "alternative_name", json_field_string, offsetof(CsrTerms, alternative_name) },
                { "extended_key_usage", json_field_string, offsetof(CsrTerms, extended_key_usage) },
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        CsrTerms t = {};
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &t, &root, e);
        return r < 0 ? r : make_csr(req, &t, e);
}

/* ---- in: a chain, or one of the built-in CA ---- */

typedef struct NewCertificate {
        const char *certificate, *pem, *subject; /* as asked */
        uint32_t days;

        const Key *key;
        uint64_t if_match;                     /* the key's */
        char common_name[COMMON_NAME_MAX + 1]; /* of the certificate before, or "" */
        Buf above;                             /* the built-in authority's chain */
        CertificateRow row;
} NewCertificate;

static void new_certificate_done(NewCertificate *n) {
        certificate_row_done(&n->row);
        buf_done(&n->above);
}

static int read_body(Request *req, NewCertificate *n, json_t **root, Error *e) {
        static const JsonField fields[] = {
                { "certificate", json_field_string, offsetof(NewCertificate, certificate) },
                { "chain", json_field_string, offsetof(NewCertificate, pem) },
                { "subject", json_field_string, offsetof(NewCertificate, subject) },
                { "validity_days", json_field_positive, offsetof(NewCertificate, days) },
        };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), n, root, e);
        if (r < 0)
                return r;
        if (!n->certificate == !n->pem)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "give either 'chain', certificates in PEM, or 'certificate': "
                                 "\"builtin\"");
        if (n->certificate && strcmp(n->certificate, "builtin") != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'certificate' is builtin, not '%.32s'",
                                 n->certificate);
        if (n->pem && (n->subject || n->days))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'subject' and 'validity_days' are of a certificate of the "
                                 "built-in CA");
        return 0;
}

static int import(Request *req, NewCertificate *n, Error *e) {
        _cleanup_(chain_done) CertChain chain = {};
        int r;

        r = chain_parse(n->pem, &chain, e);
        if (r >= 0)
                r = chain_check(&chain, &n->key->spki,
                                req->service->config.imported_certificate_days, e);
        return r < 0 ? r : chain_certificate(&chain, &n->row.c, e);
}

static int copy(Buf *to, const Buf *from) {
        return buf_append(to, from->data, from->len);
}

/* With the same key; what is not asked for is as in the certificate before. */
static int issue(Request *req, NewCertificate *n, Error *e) {
        _cleanup_(key_unrefp) Key *to = key_new();
        const Key *k = n->key;
        unsigned days = 0;
        int r;

        if (!to)
                return -ENOMEM;
        if (k->certificate.len > 0 &&
            certificate_terms(&k->certificate, n->common_name, &days, NULL) < 0)
                n->common_name[0] = '\0'; /* an outside one may have none */
        if (days > req->service->config.certificate_days)
                days = 0;
        snprintf(to->path, sizeof(to->path), "%s", k->path);
        snprintf(to->name, sizeof(to->name), "%s", k->name);
        snprintf(to->tsg, sizeof(to->tsg), "%s", k->tsg);
        r = copy(&to->spki, &k->spki);
        if (r >= 0)
                r = key_certify(req, to,
                                n->subject          ? n->subject
                                : n->common_name[0] ? n->common_name
                                                    : NULL,
                                certificate_days(req, n->days ? n->days : days), &n->row.c, e);
        return r < 0 ? r : copy(&n->above, &to->chain);
}

static int apply(DbConn *c, void *userdata, Error *e) {
        const NewCertificate *n = userdata;
        int r;

        r = revision_bump(c, SQL_KEY_TOUCH, "key", n->key->id, n->if_match, e);
        return r < 0 ? r : certificate_insert(c, &n->row.c, n->key->id, n->key->version, e);
}

/* Of the certificate before, for the record. */
static const char *serial_before(const Key *k, char buf[static CERT_SERIAL_MAX]) {
        return k->certificate.len > 0 && certificate_serial(&k->certificate, buf) == 0 ? buf : NULL;
}

static int commit(Request *req, NewCertificate *n, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, n->pem ? "certificate.import" : "certificate.renew");
        char version[16], before[CERT_SERIAL_MAX], end[CLOCK_TEXT_MAX];
        const Key *k = n->key;
        int r;

        event.key_id = k->id;
        snprintf(version, sizeof(version), "%u", k->version);
        r = audit_entry_change(&rec, &event, "certificate", n->row.c.id, "key", k->id, "path",
                               k->path, "version", version, "certificate_serial", n->row.c.serial,
                               "certificate_serial_before", serial_before(k, before), "not_after",
                               clock_text_seconds(n->row.c.not_after, end), NULL);
        return r < 0 ? r : request_commit(req, apply, n, &rec, e);
}

static int reply(Request *req, NewCertificate *n) {
        JsonOut o = JSON_OUT(&req->reply);
        CertificateRow *row = &n->row;

        snprintf(row->key_id, sizeof(row->key_id), "%s", n->key->id);
        snprintf(row->key_path, sizeof(row->key_path), "%s", n->key->path);
        snprintf(row->tsg, sizeof(row->tsg), "%s", n->key->tsg);
        row->version = n->key->version;
        row->current = true;
        row->revision = 1;
        req->status = 201;
        req->etag = row->revision;
        return certificate_write_full(&o, row, &n->above);
}

int api_certificate_create(Request *req, Error *e) {
        _cleanup_(new_certificate_done) NewCertificate n = { .if_match = req->if_match };
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(key_unrefp) Key *k = NULL;
        int r;

        r = read_body(req, &n, &root, e);
        if (r >= 0)
                r = find_version(req, &k, e);
        if (r < 0)
                return r;
        n.key = k;
        r = n.pem ? import(req, &n, e) : issue(req, &n, e);
        if (r >= 0)
                r = reply(req, &n);
        return r < 0 ? r : commit(req, &n, e);
}
