/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One request for a signature, as it stands in a body (SignItem in docs/openapi.yaml). */

#include "lib/json.h"
#include "lib/sign.h"
#include "service/audit/idempotency.h"
#include "service/audit/usage.h"
#include "service/keys.h"

#define CALLER_MAX 2048 /* bytes of evidence */

typedef struct SignItem {
        /* As asked; strings point into the body's JSON.  NULL: not there, or not read because of an
         * error. */
        const char *asked_id, *idempotency_key, *key_id, *scheme, *hash, *mgf1_hash;
        uint32_t version, salt_len;
        Buf digest;
        bool is_message; /* digest is all of the message */
        const json_t *caller;

        char request_id[ID_MAX]; /* asked_id, or a new one */
        Buf caller_text;         /* the evidence as JSON; empty: none */
        SignRequest req;         /* its version is the key's, once that is known */

        /* What api-sign.c finds out. */
        Key *key;         /* NULL: there is none */
        bool reaches;     /* the principal does: only then may the record tell of the key */
        const char *rule; /* what allowed it */
        Buf signature;
        Idempotency idempotency; /* what is kept of it, if it has a key */
        UsageLimit limit;        /* key_id NULL: its key has none */
        bool repeated;           /* request_id and signature are the first answer's */
        Error e;                 /* code 0: allowed */
} SignItem;

/* Reads it; key_id NULL: the item names its key.  A failure is in it->e: -CSIGN_E_BAD_REQUEST,
 * -CSIGN_E_UNSUPPORTED_SCHEME; request_id is set even then. */
int sign_item_read(SignItem *it, const json_t *json, const char *key_id);
/* The same for a message, from the parts of its request: takes *message; caller is base64 of JSON,
 * or empty. */
int sign_item_read_message(SignItem *it, const char *key_id, uint32_t version, const char *scheme,
                           const char *request_id, Buf *message, const Buf *caller);

/* After it was read: what its idempotency key stands for, which is all but the request's id. */
void sign_item_hash(const SignItem *it, uint8_t ret[static SHA256_SIZE]);

void sign_item_done(SignItem *it);
