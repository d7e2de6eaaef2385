/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The audit log, and with it every write to the database: one thread commits what waits as one
 * durable transaction, so that a change and its record are one commit, and a crowd shares one sync.
 *
 * Record n is (number, previous, hash, entry): hash = SHA-256(previous || entry), and the first
 * previous is 32 zero bytes.  The entry is the exact JSON text that was hashed. */

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/error.h"
#include "lib/id.h"
#include "service/audit/idempotency.h"
#include "service/audit/usage.h"
#include "service/db/db.h"
#include "service/digest.h"

typedef struct AuditRecord {
        Buf entry;                      /* audit/entry.h writes it */
        char key_id[ID_MAX];            /* "" or what the record is found by */
        char request_id[ID_MAX];        /* likewise */
        const Idempotency *idempotency; /* NULL, or the answer to keep with it */
        const UsageLimit *limit;        /* NULL, or the limit that it counts for */

        /* Set by audit_commit(). */
        bool repeated; /* the idempotency key was used before: the record was not written */
        bool limited;  /* it would have been one too many: likewise */
        uint64_t number;
        uint8_t hash[SHA256_SIZE];
} AuditRecord;

void audit_record_done(AuditRecord *rec);

typedef struct AuditJob {
        /* NULL, or what to change in the same transaction.  A failure undoes this job alone, and
         * its records are not written; -CSIGN_E_* reaches the caller unchanged.  -EALREADY: a
         * record's idempotency key was used before.  Runs on the writer's thread. */
        int (*change)(DbConn *c, void *userdata, Error *e);
        void *userdata;
        AuditRecord *records;
        size_t n_records;
        Error *e; /* may be NULL */

        /* Private to audit.c. */
        struct AuditJob *next;
        sem_t done;
        int r;
} AuditJob;

typedef struct Audit Audit;

/* Checks that the log's head is well formed, and starts the thread.  The database must outlive it.
 */
int audit_open(Audit **ret, Db *db, Error *e);
void audit_close(Audit *a); /* after what waits was committed */
DEFINE_CLEANUP(Audit, audit_close)

/* Returns 0 when the job is durable; only then may anything that it records leave the service. Else
 * nothing of it is in the database: the change's own failure, or -CSIGN_E_AUDIT_UNAVAILABLE. */
int audit_commit(Audit *a, AuditJob *job);

typedef struct AuditHead {
        uint64_t number; /* 0: the log is empty */
        uint8_t hash[SHA256_SIZE];
} AuditHead;

int audit_head(Db *db, AuditHead *ret, Error *e);

/* Up to limit records after a number, in order; key_id or request_id NULL: of all. */
typedef struct AuditRow {
        uint64_t number;
        const uint8_t *previous,
                *hash; /* SHA256_SIZE bytes each, or the row is damaged and they are NULL */
        const char *entry;
} AuditRow;

int audit_list(Db *db, uint64_t after, unsigned limit, const char *key_id, const char *request_id,
               int (*fn)(const AuditRow *row, void *userdata), void *userdata, Error *e);
