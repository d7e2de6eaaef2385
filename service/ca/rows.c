/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of authorities and of certificates. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "service/ca/rows.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/tsg.h"

#define AUTHORITIES_MAX 64 /* of one TSG, that are listed */

static int copy_blob(DbRow *row, int column, Buf *b) {
        size_t len;
        const uint8_t *p = db_row_blob(row, column, &len);

        buf_clear(b);
        return buf_append(b, p, len);
}

#define COPY_TEXT(field, row, column)                                                              \
        snprintf((field), sizeof(field), "%s", db_row_text(row, column))

/* ---- authorities ---- */

/* The columns of AUTHORITY_COLUMNS in db/queries.c. */
static int take_authority(DbRow *row, void *userdata) {
        Authority *a = userdata;
        int r;

        COPY_TEXT(a->id, row, 0);
        COPY_TEXT(a->tsg, row, 1);
        a->kind = strcmp(db_row_text(row, 2), "root") == 0 ? AUTHORITY_ROOT : AUTHORITY_ISSUING;
        COPY_TEXT(a->issuer, row, 3);
        COPY_TEXT(a->subject, row, 4);
        a->created = (uint64_t) db_row_int(row, 5);
        COPY_TEXT(a->policy.organization, row, 6);
        COPY_TEXT(a->policy.country, row, 7);
        COPY_TEXT(a->policy.alternative_name, row, 8);
        COPY_TEXT(a->policy.extended_key_usage, row, 9);
        a->revision = (uint64_t) db_row_int(row, 10);
        r = copy_blob(row, 11, &a->spki);
        if (r >= 0)
                r = copy_blob(row, 12, &a->sealed);
        if (r >= 0)
                r = copy_blob(row, 13, &a->certificate);
        return r;
}

static int read_authority(Db *db, const char *sql, const char *what, const char *none,
                          Authority *ret, Error *e) {
        Authority a = {};
        int r;

        r = db_read(db, sql, DB_ARGS(DB_TEXT(what)), take_authority, &a, e);
        if (r <= 0) {
                authority_done(&a);
                return r < 0 ? r : error_set(e, -CSIGN_E_NOT_FOUND, "%s", none);
        }
        *ret = a;
        return 0;
}

int authority_by_id(Db *db, const char *id, Authority *ret, Error *e) {
        return read_authority(db, SQL_AUTHORITY_BY_ID, id, "there is no such authority", ret, e);
}

int authority_by_tsg(Db *db, const char *tsg, Authority *ret, Error *e) {
        return read_authority(db, SQL_AUTHORITY_ISSUING, tsg,
                              "the TSG has no authority: csign ca renew makes one", ret, e);
}

int authority_chain(Db *db, const Authority *a, Buf *ret, Error *e) {
        _cleanup_(authority_done) Authority root = {};
        int r;

        r = buf_append(ret, a->certificate.data, a->certificate.len);
        if (r < 0 || !a->issuer[0])
                return r;
        r = authority_by_id(db, a->issuer, &root, e);
        return r < 0 ? r : buf_append(ret, root.certificate.data, root.certificate.len);
}

int authority_tsg_above(Db *db, const char *tsg, char ret[static ID_MAX], Error *e) {
        TsgChain chain;
        int r;

        r = tsg_chain_read(db, tsg, &chain, e);
        if (r < 0)
                return r;
        /* The chain begins with the top, and the root TSG is below it. */
        snprintf(ret, ID_MAX, "%s", chain.ids[chain.n > 1 ? 1 : 0]);
        return 0;
}

int authority_above(Db *db, const char *tsg, Authority *ret, Error *e) {
        char root[ID_MAX];
        int r;

        r = authority_tsg_above(db, tsg, root, e);
        return r < 0 ? r : authority_by_tsg(db, root, ret, e);
}

typedef struct AuthorityListing {
        int (*fn)(const Authority *a, void *userdata);
        void *userdata;
} AuthorityListing;

static int list_authority(DbRow *row, void *userdata) {
        _cleanup_(authority_done) Authority a = {};
        const AuthorityListing *l = userdata;
        int r;

        r = take_authority(row, &a);
        return r < 0 ? r : l->fn(&a, l->userdata);
}

int authority_list(Db *db, const char *tsg, int (*fn)(const Authority *a, void *userdata),
                   void *userdata, Error *e) {
        AuthorityListing l = { .fn = fn, .userdata = userdata };

        return db_read(db, SQL_AUTHORITY_LIST, DB_ARGS(DB_TEXT(tsg), DB_INT(AUTHORITIES_MAX)),
                       list_authority, &l, e);
}

int authority_insert(DbConn *c, const Authority *a, Error *e) {
        return db_exec(
                c, SQL_AUTHORITY_INSERT,
                DB_ARGS(DB_TEXT(a->id), DB_TEXT(a->tsg), DB_TEXT(authority_kind_name(a->kind)),
                        a->issuer[0] ? DB_TEXT(a->issuer) : DB_NULL, DB_TEXT(a->subject),
                        DB_BLOB(a->spki.data, a->spki.len), DB_BLOB(a->sealed.data, a->sealed.len),
                        DB_BLOB(a->certificate.data, a->certificate.len), DB_INT(a->created)),
                e);
}

int hierarchy_insert(DbConn *c, const Hierarchy *h, Error *e) {
        int r;

        r = authority_insert(c, &h->root, e);
        return r < 0 ? r : authority_insert(c, &h->issuing, e);
}

int authority_set_policy(DbConn *c, const char *id, const CertPolicy *p, Error *e) {
        return db_exec(c, SQL_AUTHORITY_SET_POLICY,
                       DB_ARGS(DB_TEXT(p->organization), DB_TEXT(p->country),
                               DB_TEXT(p->alternative_name), DB_TEXT(p->extended_key_usage),
                               DB_TEXT(id)),
                       e);
}

/* ---- certificates ---- */

void certificate_row_done(CertificateRow *row) {
        certificate_done(&row->c);
}

/* The columns of CERTIFICATE_COLUMNS in db/queries.c. */
static int take_certificate(DbRow *row, void *userdata) {
        CertificateRow *ret = userdata;
        Certificate *c = &ret->c;
        int r;

        COPY_TEXT(c->id, row, 0);
        COPY_TEXT(ret->key_id, row, 1);
        ret->version = (uint32_t) db_row_int(row, 2);
        COPY_TEXT(c->authority, row, 3);
        COPY_TEXT(c->serial, row, 4);
        c->not_before = (uint64_t) db_row_int(row, 5);
        c->not_after = (uint64_t) db_row_int(row, 6);
        ret->current = db_row_int(row, 9) != 0;
        c->created = (uint64_t) db_row_int(row, 10);
        ret->revoked = (uint64_t) db_row_int(row, 11);
        COPY_TEXT(ret->reason, row, 12);
        ret->revision = (uint64_t) db_row_int(row, 13);
        COPY_TEXT(ret->key_path, row, 14);
        COPY_TEXT(ret->tsg, row, 15);
        r = copy_blob(row, 7, &c->der);
        return r < 0 ? r : copy_blob(row, 8, &c->chain);
}

int certificate_by_id(Db *db, const char *scope, const char *id, CertificateRow *ret, Error *e) {
        CertificateRow row = {};
        int r;

        r = db_read(db, SQL_CERTIFICATE_BY_ID, DB_ARGS(DB_TEXT(scope), DB_TEXT(id)),
                    take_certificate, &row, e);
        if (r <= 0) {
                certificate_row_done(&row);
                return r < 0 ? r : -CSIGN_E_NOT_FOUND;
        }
        *ret = row;
        return 0;
}

typedef struct CertificateListing {
        int (*fn)(const CertificateRow *row, void *userdata);
        void *userdata;
} CertificateListing;

static int list_certificate(DbRow *row, void *userdata) {
        _cleanup_(certificate_row_done) CertificateRow c = {};
        const CertificateListing *l = userdata;
        int r;

        r = take_certificate(row, &c);
        return r < 0 ? r : l->fn(&c, l->userdata);
}

int certificate_list(Db *db, const char *scope, const CertificateFilter *f,
                     int (*fn)(const CertificateRow *row, void *userdata), void *userdata,
                     Error *e) {
        CertificateListing l = { .fn = fn, .userdata = userdata };
        const DbValue after = DB_INT(f->after_end), id = DB_TEXT(f->after_id),
                      limit = DB_INT(f->limit);

        if (f->ends_before != 0)
                return db_read(db,
                               f->few_keys ? SQL_CERTIFICATE_LIST_EXPIRING_OF_FEW
                                           : SQL_CERTIFICATE_LIST_EXPIRING,
                               DB_ARGS(DB_TEXT(scope), DB_INT(f->ends_before), after, id, limit),
                               list_certificate, &l, e);
        if (f->key_id)
                return db_read(db, SQL_CERTIFICATE_LIST_BY_KEY,
                               DB_ARGS(DB_TEXT(scope), DB_TEXT(f->key_id), after, id, limit),
                               list_certificate, &l, e);
        return db_read(db, f->few_keys ? SQL_CERTIFICATE_LIST_OF_FEW : SQL_CERTIFICATE_LIST,
                       DB_ARGS(DB_TEXT(scope), after, id, limit), list_certificate, &l, e);
}

static int take_counts(DbRow *row, void *userdata) {
        uint64_t *counts = userdata;

        for (int i = 0; i < CERT_WARNINGS; i++)
                counts[i] = (uint64_t) db_row_int(row, i);
        return 0;
}

int certificate_count_expiring(Db *db, uint64_t now, uint64_t ret[static CERT_WARNINGS], Error *e) {
        static const unsigned days[CERT_WARNINGS] = { CERT_WARN_DAYS };
        DbValue ends[CERT_WARNINGS + 1];

        for (size_t i = 0; i < CERT_WARNINGS; i++)
                ends[i] = DB_INT(now + days[i] * USEC_PER_DAY);
        ends[CERT_WARNINGS] = ends[0];
        return db_read(db, SQL_CERTIFICATE_COUNT_EXPIRING, ends, ELEMENTSOF(ends), take_counts, ret,
                       e);
}

int certificate_insert(DbConn *c, const Certificate *cert, const char *key_id, uint32_t version,
                       Error *e) {
        int r;

        r = db_exec(c, SQL_CERTIFICATE_SUPERSEDE, DB_ARGS(DB_TEXT(key_id), DB_INT(version)), e);
        if (r < 0)
                return r;
        return db_exec(
                c, SQL_CERTIFICATE_INSERT,
                DB_ARGS(DB_TEXT(cert->id), DB_TEXT(key_id), DB_INT(version),
                        cert->authority[0] ? DB_TEXT(cert->authority) : DB_NULL,
                        DB_TEXT(cert->serial), DB_INT(cert->not_before), DB_INT(cert->not_after),
                        DB_BLOB(cert->der.data, cert->der.len),
                        cert->authority[0] ? DB_NULL : DB_BLOB(cert->chain.data, cert->chain.len),
                        DB_INT(cert->created)),
                e);
}

int certificate_revoke(DbConn *c, const CertificateRow *row, uint64_t when, const char *reason,
                       Error *e) {
        int r;

        r = db_exec(c, SQL_CERTIFICATE_REVOKE,
                    DB_ARGS(DB_INT(when), DB_TEXT(reason), DB_TEXT(row->c.id)), e);
        if (r == 0)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "certificate %s was revoked before",
                                 row->c.id);
        if (r < 0 || !row->c.authority[0])
                return r;
        return db_exec(c, SQL_AUTHORITY_STALE_CRL, DB_ARGS(DB_TEXT(row->c.authority)), e);
}
