/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Certificate authorities: one for each root TSG, and one of the system for the service's own TLS.
 * An authority's private key is in the key store like any other, with a usage that only
 * certificates have. Certificates are made from policy; nothing in them but the key and the
 * subject's words comes from a request. */

#include <stdint.h>

#include "lib/buf.h"
#include "lib/error.h"
#include "lib/id.h"
#include "service/db/db.h"
#include "service/keystore/keystore.h"

#define CERT_DAYS_MAX     460
#define COMMON_NAME_MAX   64 /* RFC 5280: ub-common-name */
#define CERT_BACKDATE_SEC 300

typedef struct Authority {
        char id[ID_MAX];
        char tsg[ID_MAX];
        char subject[COMMON_NAME_MAX + 1]; /* its common name */
        uint64_t created;
        Buf spki, sealed, certificate;
} Authority;

void authority_done(Authority *a);

typedef enum CertProfile {
        CERT_CODE_SIGNING, /* digitalSignature, codeSigning; at most 460 days (CA/Browser Forum
                              CSC-31) */
        CERT_TLS_SERVER,   /* digitalSignature, serverAuth, names */
} CertProfile;

typedef struct CertRequest {
        CertProfile profile;
        const char *common_name; /* 1 to 64 bytes of UTF-8, no control characters */
        const Buf *spki;
        unsigned days;
        const char *names; /* TLS_SERVER: "DNS:localhost,IP:127.0.0.1" */
} CertRequest;

typedef struct Certificate {
        char id[ID_MAX];
        char serial[41]; /* hex */
        uint64_t not_before, not_after;
        Buf der;
} Certificate;

void certificate_done(Certificate *c);

/* Makes a key in the key store and a certificate for it, signed by itself.  Stores nothing. */
int ca_create(Keystore *ks, const char *tsg, const char *common_name, Authority *ret, Error *e);

/* Issues a certificate, and verifies it before it is given out.  Stores nothing.
 * -CSIGN_E_BAD_REQUEST, and the key store's failures. */
int ca_issue(Keystore *ks, const Authority *a, const CertRequest *req, Certificate *ret, Error *e);

/* What a certificate was issued with, to issue another one alike: its common name, and the days of
 * its life. */
int certificate_terms(const Buf *der, char common_name[static COMMON_NAME_MAX + 1],
                      unsigned *ret_days, Error *e);

/* -CSIGN_E_NOT_FOUND when the TSG has none. */
int authority_by_tsg(Db *db, const char *tsg, Authority *ret, Error *e);

/* That of the root TSG above a TSG, or the system's for the top. */
int authority_above(Db *db, const char *tsg, Authority *ret, Error *e);

/* ---- changes, for audit jobs ---- */

int authority_insert(DbConn *c, const Authority *a, Error *e);
int certificate_insert(DbConn *c, const Certificate *cert, const char *key_id, uint32_t version,
                       const char *authority_id, Error *e);
