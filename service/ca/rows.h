/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Rows of authorities and of certificates. */

#include "service/ca/ca.h"
#include "service/db/db.h"

/* -CSIGN_E_NOT_FOUND. */
int authority_by_id(Db *db, const char *id, Authority *ret, Error *e);

/* The newest that issues for the TSG itself.  -CSIGN_E_NOT_FOUND when the TSG has none. */
int authority_by_tsg(Db *db, const char *tsg, Authority *ret, Error *e);

/* What stands above the certificates that it issues, DER one after the other: its own certificate,
 * and its root's. */
int authority_chain(Db *db, const Authority *a, Buf *ret, Error *e);

/* That of the root TSG above a TSG, or the system's for the top; and the id of that root TSG. */
int authority_above(Db *db, const char *tsg, Authority *ret, Error *e);
int authority_tsg_above(Db *db, const char *tsg, char ret[static ID_MAX], Error *e);

/* All of a TSG, the newest first. */
int authority_list(Db *db, const char *tsg, int (*fn)(const Authority *a, void *userdata),
                   void *userdata, Error *e);

/* A certificate as it is listed. */
typedef struct CertificateRow {
        Certificate c;
        char key_id[ID_MAX], key_path[PATH_MAX_LEN], tsg[ID_MAX];
        uint32_t version;
        bool current;     /* the one that its version of the key goes by */
        uint64_t revoked; /* 0: it is not */
        char reason[32];  /* of the revocation */
        uint64_t revision;
} CertificateRow;

void certificate_row_done(CertificateRow *row);

/* -CSIGN_E_NOT_FOUND. */
int certificate_by_id(Db *db, const char *scope, const char *id, CertificateRow *ret, Error *e);

typedef struct CertificateFilter {
        const char *key_id;   /* NULL: of all keys */
        uint64_t ends_before; /* 0: whenever; else only current ones that are not revoked */
        uint64_t after_end;   /* the end and id of the last one before */
        const char *after_id;
        unsigned limit;
        bool few_keys; /* in scope: which way is quicker */
} CertificateFilter;

/* Those that end first come first. */
int certificate_list(Db *db, const char *scope, const CertificateFilter *f,
                     int (*fn)(const CertificateRow *row, void *userdata), void *userdata,
                     Error *e);

/* How many current certificates end within 60, 30, 14 and 7 days, those that have ended included.
 */
#define CERT_WARN_DAYS 60, 30, 14, 7
#define CERT_WARNINGS  4
int certificate_count_expiring(Db *db, uint64_t now, uint64_t ret[static CERT_WARNINGS], Error *e);

/* ---- changes, for audit jobs ---- */

int authority_insert(DbConn *c, const Authority *a, Error *e);
int hierarchy_insert(DbConn *c, const Hierarchy *h, Error *e);
int authority_set_policy(DbConn *c, const char *id, const CertPolicy *p, Error *e);

/* Becomes the current one of that version of the key. */
int certificate_insert(DbConn *c, const Certificate *cert, const char *key_id, uint32_t version,
                       Error *e);

/* And the authority's list is made anew before it is given out again.  -CSIGN_E_ALREADY_EXISTS. */
int certificate_revoke(DbConn *c, const CertificateRow *row, uint64_t when, const char *reason,
                       Error *e);
