/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The audit log's hash chain, as an outsider computes it: hash = SHA-256(the hash before || the
 * entry's bytes), the first one after 32 zero bytes.  Records come in pages; anchors are points
 * that it must pass. */

#include <stdint.h>

#include <jansson.h>

#include "lib/error.h"

#define CHAIN_HASH_SIZE 32
#define CHAIN_HEX_SIZE  (2 * CHAIN_HASH_SIZE + 1)

/* number 0: none. */
typedef struct Anchor {
        uint64_t number;
        char hash[CHAIN_HEX_SIZE];
} Anchor;

/* "17:<64 hex digits>"; -CSIGN_E_BAD_REQUEST. */
int anchor_parse(const char *text, Anchor *ret, Error *e);

/* Zero-initialise, then give it the anchors. */
typedef struct Chain {
        uint64_t number; /* of the last good record */
        uint64_t first;  /* of the first that it went over */
        uint8_t hash[CHAIN_HASH_SIZE];
        Anchor head;  /* what the service said before the first page */
        Anchor noted; /* what somebody wrote down earlier */
} Chain;

/* Begins in the middle: takes the record's word for what was before it.  -CSIGN_E_AUDIT_BROKEN. */
int chain_begin(Chain *c, const json_t *record, Error *e);

/* Goes over an array of records {number, hash, previous, entry}.  -CSIGN_E_AUDIT_BROKEN names the
 * first bad one; the chain then stands before it. */
int chain_add(Chain *c, const json_t *records, Error *e);

/* After the last page: whether both anchors were reached.  -CSIGN_E_AUDIT_BROKEN. */
int chain_end(const Chain *c, Error *e);

void chain_hex(const Chain *c, char ret[static CHAIN_HEX_SIZE]);
