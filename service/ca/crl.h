/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Lists of what an authority has revoked (RFC 5280, section 5).  service/revocation.h gives them
 * out. */

#include "service/ca/ca.h"
#include "service/db/db.h"

#define CRL_DAYS 7 /* until the next has to be there; it is made when half of that is over */

typedef struct Crl {
        Buf der;
        uint64_t number; /* of the row when it was made: its own is one more */
        uint64_t renew;  /* 0: it is the row's; else it is new: store it before it is given out */
} Crl;

/* The list that is kept if it is of use yet, else a new one. */

int crl_get(Db *db, Keystore *ks, const Authority *a, Crl *ret, Error *e);
void crl_done(Crl *c);

/* For an audit job.  -CSIGN_E_ALREADY_EXISTS: something was revoked, or a list stored, since it was
 * made. */
int crl_store(DbConn *c, const char *authority_id, const Crl *crl, Error *e);

/* The words of RFC 5280's reasons, as "key_compromise"; NULL past the last, and -1 if unknown. */
const char *revocation_reason_at(size_t i);
int revocation_reason_code(const char *name);
