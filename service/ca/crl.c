/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of what an authority has revoked.  The last one is kept beside the authority, and made anew
 * when half of its life is over, or something was revoked: crl_number is counted up by both, and so
 * tells whether a list that was just made has missed something. */

#include <errno.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "lib/ossl.h"
#include "service/ca/ca-impl.h"
#include "service/ca/crl.h"
#include "service/clock.h"
#include "service/db/queries.h"

DEFINE_CLEANUP(X509_CRL, X509_CRL_free)
DEFINE_CLEANUP(X509_REVOKED, X509_REVOKED_free)

#define CRL_MAX ((size_t) 8 * 1024 * 1024)

/* certificateHold is left out: a list of signatures' keys has no use for a maybe. */
static const struct {
        const char *name;
        int code;
} reasons[] = {
        { "unspecified", CRL_REASON_UNSPECIFIED },
        { "key_compromise", CRL_REASON_KEY_COMPROMISE },
        { "ca_compromise", CRL_REASON_CA_COMPROMISE },
        { "affiliation_changed", CRL_REASON_AFFILIATION_CHANGED },
        { "superseded", CRL_REASON_SUPERSEDED },
        { "cessation_of_operation", CRL_REASON_CESSATION_OF_OPERATION },
        { "privilege_withdrawn", CRL_REASON_PRIVILEGE_WITHDRAWN },
};

const char *revocation_reason_at(size_t i) {
        return i < ELEMENTSOF(reasons) ? reasons[i].name : NULL;
}

int revocation_reason_code(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(reasons); i++)
                if (strcmp(reasons[i].name, name) == 0)
                        return reasons[i].code;
        return -1;
}

void crl_done(Crl *c) {
        buf_done(&c->der);
}

/* ---- making one ---- */

static bool set_reason(X509_REVOKED *entry, int code) {
        ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();
        bool ok;

        /* RFC 5280 5.3.1: unspecified is said by saying nothing. */
        ok = code == CRL_REASON_UNSPECIFIED ||
             (reason && ASN1_ENUMERATED_set(reason, code) == 1 &&
              X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, reason, 0, 0) == 1);
        ASN1_ENUMERATED_free(reason);
        return ok;
}

static bool set_entry(X509_REVOKED *entry, const char *serial, uint64_t when, int code) {
        ASN1_INTEGER *number = NULL;
        ASN1_TIME *time = ASN1_TIME_set(NULL, (time_t) (when / USEC_PER_SEC));
        BIGNUM *bn = NULL;
        bool ok;

        ok = BN_hex2bn(&bn, serial) > 0 && (number = BN_to_ASN1_INTEGER(bn, NULL)) && time &&
             X509_REVOKED_set_serialNumber(entry, number) == 1 &&
             X509_REVOKED_set_revocationDate(entry, time) == 1 && set_reason(entry, code);
        ASN1_INTEGER_free(number);
        ASN1_TIME_free(time);
        BN_free(bn);
        return ok;
}

static int add_revoked(DbRow *row, void *userdata) {
        _cleanup_(X509_REVOKED_freep) X509_REVOKED *entry = X509_REVOKED_new();
        int code = revocation_reason_code(db_row_text(row, 2));

        if (!entry ||
            !set_entry(entry, db_row_text(row, 0), (uint64_t) db_row_int(row, 1),
                       code < 0 ? CRL_REASON_UNSPECIFIED : code) ||
            X509_CRL_add0_revoked(userdata, entry) != 1)
                return -ENOMEM;
        entry = NULL;
        return 0;
}

static bool add_extensions(X509_CRL *crl, X509 *issuer, uint64_t number) {
        X509_EXTENSION *ext = NULL;
        ASN1_INTEGER *n = ASN1_INTEGER_new();
        X509V3_CTX ctx;
        bool ok;

        X509V3_set_ctx_nodb(&ctx);
        X509V3_set_ctx(&ctx, issuer, NULL, NULL, crl, 0);
        ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always");
        ok = ext && X509_CRL_add_ext(crl, ext, -1) == 1 && n &&
             ASN1_INTEGER_set_uint64(n, number) == 1 &&
             X509_CRL_add1_ext_i2d(crl, NID_crl_number, n, 0, 0) == 1;
        X509_EXTENSION_free(ext);
        ASN1_INTEGER_free(n);
        return ok;
}

static bool set_times(X509_CRL *crl, uint64_t now) {
        ASN1_TIME *last = ASN1_TIME_set(NULL, (time_t) (now / USEC_PER_SEC));
        ASN1_TIME *next = ASN1_TIME_set(NULL, (time_t) (now / USEC_PER_SEC) + CRL_DAYS * 86400);
        bool ok;

        ok = last && next && X509_CRL_set1_lastUpdate(crl, last) == 1 &&
             X509_CRL_set1_nextUpdate(crl, next) == 1;
        ASN1_TIME_free(last);
        ASN1_TIME_free(next);
        return ok;
}

static int sign_list(Keystore *ks, const Authority *a, X509_CRL *crl, Buf *der, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = throw_away_key();
        _cleanup_(buf_done) Buf sig = BUF_MAX(SIGNATURE_MAX), tbs = BUF_MAX(CRL_MAX);
        const ASN1_BIT_STRING *bits;
        unsigned char *p = NULL;
        int len, r;

        if (!key || X509_CRL_sort(crl) != 1 || X509_CRL_sign(crl, key, EVP_sha256()) <= 0)
                return openssl_fail(e, "cannot prepare the list's signature");
        len = i2d_re_X509_CRL_tbs(crl, &p);
        r = take_der(&tbs, p, len, e);
        if (r >= 0)
                r = authority_sign(ks, a, tbs.data, tbs.len, &sig, e);
        X509_CRL_get0_signature(crl, &bits, NULL);
        if (r >= 0)
                r = put_signature(bits, &sig, e);
        if (r < 0)
                return r;
        p = NULL;
        len = i2d_X509_CRL(crl, &p);
        return take_der(der, p, len, e);
}

/* As with certificates: what leaves is read from its bytes. */
static int verify_list(const Buf *der, X509 *issuer, Error *e) {
        const unsigned char *p = der->data;
        _cleanup_(X509_CRL_freep) X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long) der->len);

        if (!crl || X509_CRL_verify(crl, X509_get0_pubkey(issuer)) != 1)
                return openssl_fail(e, "the new list does not verify");
        return 0;
}

static int make(Db *db, Keystore *ks, const Authority *a, uint64_t now, Crl *ret, Error *e) {
        const unsigned char *p = a->certificate.data;
        _cleanup_(X509_freep) X509 *issuer = d2i_X509(NULL, &p, (long) a->certificate.len);
        _cleanup_(X509_CRL_freep) X509_CRL *crl = X509_CRL_new();
        int r;

        if (!issuer || !crl || X509_CRL_set_version(crl, X509_CRL_VERSION_2) != 1 ||
            X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer)) != 1 ||
            !set_times(crl, now) || !add_extensions(crl, issuer, ret->number + 1))
                return openssl_fail(e, "cannot make the list");
        r = db_read(db, SQL_CERTIFICATE_REVOKED, DB_ARGS(DB_TEXT(a->id)), add_revoked, crl, e);
        if (r >= 0)
                r = sign_list(ks, a, crl, &ret->der, e);
        if (r >= 0)
                r = verify_list(&ret->der, issuer, e);
        ret->renew = now + CRL_DAYS * USEC_PER_DAY / 2;
        return r;
}

/* ---- the kept one ---- */

static int take_crl(DbRow *row, void *userdata) {
        Crl *crl = userdata;
        size_t len;
        const uint8_t *p = db_row_blob(row, 0, &len);

        crl->number = (uint64_t) db_row_int(row, 1);
        crl->renew = (uint64_t) db_row_int(row, 2);
        return buf_append(&crl->der, p, len);
}

int crl_get(Db *db, Keystore *ks, const Authority *a, Crl *ret, Error *e) {
        Crl crl = { .der = BUF_MAX(CRL_MAX) };
        uint64_t now = clock_now();
        int r;

        r = db_read(db, SQL_AUTHORITY_CRL, DB_ARGS(DB_TEXT(a->id)), take_crl, &crl, e);
        if (r >= 0 && crl.der.len > 0 && now < crl.renew)
                crl.renew = 0;
        else if (r >= 0)
                r = make(db, ks, a, now, &crl, e);
        if (r < 0) {
                crl_done(&crl);
                return r;
        }
        *ret = crl;
        return 0;
}

int crl_store(DbConn *c, const char *authority_id, const Crl *crl, Error *e) {
        int r;

        r = db_exec(c, SQL_AUTHORITY_SET_CRL,
                    DB_ARGS(DB_BLOB(crl->der.data, crl->der.len), DB_INT(crl->renew),
                            DB_TEXT(authority_id), DB_INT(crl->number)),
                    e);
        return r == 0 ? error_set(e, -CSIGN_E_ALREADY_EXISTS, "a newer list is there") : r;
}
