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
#include "service/audit/tally.h"
#include "service/audit/usage.h"
#include "service/db/db.h"
#include "service/digest.h"

typedef struct AuditRecord {
        Buf entry;               /* audit/entry.h writes it */
        char key_id[ID_MAX];     /* "" or what the record is found by */
        char request_id[ID_MAX]; /* likewise, and so are those below */
        char principal[ID_MAX];
        char tsg[ID_MAX];          /* that the record belongs to: whoever audits it, reads it */
        const char *kind, *result; /* constants; NULL: "" */
        uint64_t time;
        bool is_use;                    /* of key_id by principal, to be counted */
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

typedef struct AuditRow {
        uint64_t number;
        const uint8_t *previous,
                *hash; /* SHA256_SIZE bytes each, or the row is damaged and they are NULL */
        const char *entry;
} AuditRow;

/* NULL and 0: any. */
typedef struct AuditFilter {
        const char *key_id, *request_id, *principal, *kind, *result;
        bool refused;      /* all results but "allowed" */
        const char *scope; /* a TSG: what belongs to it and to those below */
        uint64_t from, to; /* times: from <= t < to */
} AuditFilter;

/* Calls fn with the records that pass the filter, in order, behind the number *after; fn returns 1
 * when it wants no more.  *after becomes the last one that was looked at: one call looks at so many
 * records, and not at all of a long log for a few that pass.  Returns 1 if there may be more. */
int audit_list(Db *db, const AuditFilter *filter, uint64_t *after,
               int (*fn)(const AuditRow *row, void *userdata), void *userdata, Error *e);
