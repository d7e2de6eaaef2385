/* SPDX-License-Identifier: Apache-2.0 */
/* Authorities: what all of them check, and their rows. */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "service/ca/ca-impl.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/tsg.h"

void authority_done(Authority *a) {
        buf_done(&a->spki);
        buf_done(&a->sealed);
        buf_done(&a->certificate);
}

void certificate_done(Certificate *c) {
        buf_done(&c->der);
}

static int check_common_name(const char *name, Error *e) {
        size_t len = strlen(name);

        if (len == 0 || len > COMMON_NAME_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "a certificate's common name has 1 to %d bytes, not %zu",
                                 COMMON_NAME_MAX, len);
        for (size_t i = 0; i < len; i++)
                if ((unsigned char) name[i] < 0x20 || name[i] == 0x7f)
                        return error_set(
                                e, -CSIGN_E_BAD_REQUEST,
                                "a certificate's common name cannot hold control characters");
        return 0;
}

int ca_create(Keystore *ks, const char *tsg, const char *common_name, Authority *ret, Error *e) {
        Authority a = { .created = clock_now() };
        int r;

        r = check_common_name(common_name, e);
        if (r >= 0)
                r = id_new(a.id, "key");
        if (r < 0)
                return r;
        snprintf(a.tsg, sizeof(a.tsg), "%s", tsg);
        snprintf(a.subject, sizeof(a.subject), "%s", common_name);

        r = ca_builtin.create(ks, &a, e);
        if (r < 0) {
                authority_done(&a);
                return r;
        }
        *ret = a;
        return 0;
}

int ca_issue(Keystore *ks, const Authority *a, const CertRequest *req, Certificate *ret, Error *e) {
        uint64_t now = clock_now();
        Certificate c = {};
        int r;

        r = check_common_name(req->common_name, e);
        if (r < 0)
                return r;
        if (req->days == 0 || req->days > CERT_DAYS_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "a certificate is valid for 1 to %d days, not %u", CERT_DAYS_MAX,
                                 req->days);
        r = id_new(c.id, "crt");
        if (r < 0)
                return r;

        /* Backdated for clocks that are behind; the whole life stays within the limit. */
        c.not_before = now - CERT_BACKDATE_SEC * USEC_PER_SEC;
        c.not_after = c.not_before + req->days * USEC_PER_DAY - USEC_PER_SEC;
        r = ca_builtin.issue(ks, a, req, &c, e);
        if (r < 0) {
                certificate_done(&c);
                return r;
        }
        *ret = c;
        return 0;
}

/* ---- rows ---- */

static int copy_blob(DbRow *row, int column, Buf *b) {
        size_t len;
        const uint8_t *p = db_row_blob(row, column, &len);

        return buf_append(b, p, len);
}

static int take_authority(DbRow *row, void *userdata) {
        Authority *a = userdata;
        int r;

        snprintf(a->id, sizeof(a->id), "%s", db_row_text(row, 0));
        r = copy_blob(row, 1, &a->spki);
        if (r >= 0)
                r = copy_blob(row, 2, &a->sealed);
        if (r >= 0)
                r = copy_blob(row, 3, &a->certificate);
        return r;
}

int authority_by_tsg(Db *db, const char *tsg, Authority *ret, Error *e) {
        Authority a = {};
        int r;

        snprintf(a.tsg, sizeof(a.tsg), "%s", tsg);
        r = db_read(db, SQL_AUTHORITY_BY_TSG, DB_ARGS(DB_TEXT(tsg)), take_authority, &a, e);
        if (r <= 0) {
                authority_done(&a);
                return r < 0 ? r : error_set(e, -CSIGN_E_NOT_FOUND, "the TSG has no authority");
        }
        *ret = a;
        return 0;
}

int authority_above(Db *db, const char *tsg, Authority *ret, Error *e) {
        TsgChain chain = {};
        DbConn *c;
        int r;

        r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        r = tsg_chain(c, tsg, &chain, e);
        db_release(db, c);
        if (r < 0)
                return r;
        /* The chain begins with the top, and the root TSG is below it. */
        return authority_by_tsg(db, chain.ids[chain.n > 1 ? 1 : 0], ret, e);
}

int authority_insert(DbConn *c, const Authority *a, Error *e) {
        return db_exec(
                c, SQL_AUTHORITY_INSERT,
                DB_ARGS(DB_TEXT(a->id), DB_TEXT(a->tsg), DB_TEXT(a->subject),
                        DB_BLOB(a->spki.data, a->spki.len), DB_BLOB(a->sealed.data, a->sealed.len),
                        DB_BLOB(a->certificate.data, a->certificate.len), DB_INT(a->created)),
                e);
}

int certificate_insert(DbConn *c, const Certificate *cert, const char *key_id, uint32_t version,
                       const char *authority_id, Error *e) {
        return db_exec(c, SQL_CERTIFICATE_INSERT,
                       DB_ARGS(DB_TEXT(cert->id), DB_TEXT(key_id), DB_INT(version),
                               DB_TEXT(authority_id), DB_TEXT(cert->serial),
                               DB_INT(cert->not_before), DB_INT(cert->not_after),
                               DB_BLOB(cert->der.data, cert->der.len)),
                       e);
}
