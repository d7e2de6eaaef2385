/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a record says: its JSON text, names always in the same order. */

#include "lib/alg.h"
#include "service/audit/audit.h"
#include "service/principal.h"

/* One request for a signature, allowed or refused.  What is not known stays NULL or 0. */
typedef struct SignEvent {
        const char *request_id;
        const Principal *principal;
        const char *address;
        const char *key_id;                             /* as asked for */
        const char *key_path, *key_tsg, *key_algorithm; /* NULL: the principal does not reach such a
                                                           key */
        uint32_t version;
        const char *scheme, *hash;
        const uint8_t *digest;
        size_t digest_len;
        bool is_message;    /* digest is SHA-256 of the message that was signed whole */
        const char *caller; /* JSON */
        const char *rule;   /* what decided */
        int code;           /* 0: allowed */
        const uint8_t *signature;
        size_t signature_len;
} SignEvent;

int audit_entry_sign(AuditRecord *rec, const SignEvent *s);

/* Anything else: kind is "key.create", "account.create" ...; principal NULL: the service itself.
 * Then pairs of strings, what it was about, and NULL; a pair whose value is NULL is left out.  The
 * pair "tsg", an id, says to which TSG the record belongs, if that is not the principal's. */
typedef struct ChangeEvent {
        const char *kind; /* a constant */
        const char *request_id;
        const Principal *principal;
        bool anonymous; /* principal NULL is somebody who was not authenticated */
        const char *address;
        const char *key_id; /* to find the record by, or NULL */
        const char *rule;
        int code;
} ChangeEvent;

int audit_entry_change(AuditRecord *rec, const ChangeEvent *c, ...) __attribute__((sentinel));
