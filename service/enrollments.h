/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Enrollment codes: who has one may register one key for an account, once and soon.  A code is
 * "enr_<26>.<26>": an id by which the row is found, and a secret of 128 bits of which the row has
 * the hash. */

#include "lib/buf.h"
#include "lib/error.h"
#include "lib/id.h"
#include "service/accounts.h"
#include "service/db/db.h"
#include "service/digest.h"

#define ENROLLMENTS_MAX     8 /* open ones of one account */
#define ENROLLMENT_ATTEMPTS 10
#define ENROLLMENT_CODE_LEN 57

typedef struct Enrollment {
        char id[ID_MAX];
        uint8_t hash[SHA256_SIZE]; /* of the whole code */
        uint64_t created, expires;
        uint32_t key_days; /* how long the key that it brings will be good */
} Enrollment;

/* Fills in id and hash; *ret_code is the only copy of the code. */
int enrollment_new(Enrollment *en, Secret *ret_code, Error *e);

/* Whether text has a code's form; then id is its id. */
bool enrollment_code_parse(const char *text, char id[static ID_MAX]);

/* What a code is for. */
typedef struct EnrollmentUse {
        char id[ID_MAX];
        uint32_t key_days;
        Account account; /* id, path, tsg, networks, enabled, expires */
        bool wrong;      /* the id is known, and the secret is not the code's */
} EnrollmentUse;

/* -CSIGN_E_UNAUTHENTICATED with rule "enrollment-code", and in the same words, whether the code is
 * unknown, used, too old or wrong. */
int enrollment_find(Db *db, const char *code, uint64_t now, EnrollmentUse *ret, Error *e);

int enrollment_list(Db *db, const char *account, uint64_t now,
                    int (*fn)(const Enrollment *en, void *userdata), void *userdata, Error *e);

/* ---- changes, for audit jobs ---- */

/* -CSIGN_E_BAD_REQUEST: ENROLLMENTS_MAX are open. */
int enrollment_insert(DbConn *c, const char *account, const Enrollment *en, Error *e);
int enrollment_delete(DbConn *c, const char *account, const char *id, Error *e);

/* A wrong secret: after ENROLLMENT_ATTEMPTS the code is dead. */
int enrollment_guessed(DbConn *c, const char *id, Error *e);

/* Uses the code up.  -CSIGN_E_UNAUTHENTICATED: somebody else was quicker. */
int enrollment_use(DbConn *c, const char *id, uint64_t now, Error *e);
