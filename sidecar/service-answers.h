/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The service's answers (docs/openapi.yaml) as structs.  Whatever is wrong with one is the
 * service's fault: -CSIGN_E_BAD_ANSWER.  Fuzzed. */

#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/error.h"
#include "lib/id.h"
#include "lib/sign.h"
#include "sidecar/keys.h"

/* One signature of a batch: what is asked, and what became of it. */
typedef struct SignItem {
        const SignRequest *req; /* with request_id and idempotency_key */
        const char *caller;     /* JSON: the evidence */
        int r;                  /* 0, or how the service refused */
        Buf sig;
        char request_id[ID_MAX]; /* the record's: of the first, if it was asked for before */
        uint64_t record;
        Error e;
} SignItem;

/* 0 when each item has its own result. */
int service_parse_signatures(const void *data, size_t len, SignItem *const items[], size_t n,
                             Error *e);

/* A single one: a refusal is returned. */
int service_parse_signature(const void *data, size_t len, SignItem *item, Error *e);

/* *ret is not in any cache yet. */
int service_parse_key(const void *data, size_t len, Key **ret, Error *e);

typedef struct KeyList {
        Key **keys;
        size_t n;
        char next_cursor[256];
} KeyList;

void key_list_done(KeyList *l);
int service_parse_key_list(const void *data, size_t len, KeyList *ret, Error *e);

/* Whom the service takes us for. */
typedef struct WhoAmI {
        char name[256];
        char scope[PATH_MAX_LEN];
        char key_expires[32]; /* ISO 8601; "": never, or the service does not say */
} WhoAmI;

int service_parse_who(const void *data, size_t len, WhoAmI *ret, Error *e);

/* Into key_expires: when the key ends by which we asked. */
void service_parse_own_keys(const void *data, size_t len, WhoAmI *ret);
