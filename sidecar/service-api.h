/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How to ask the service (docs/openapi.yaml), as one account: a stack of warm connections and the
 * token that they share.  Any thread may call; a call blocks. */

#include <stdatomic.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/credential.h"
#include "lib/error.h"
#include "lib/id.h"
#include "lib/sign.h"
#include "sidecar/config.h"
#include "sidecar/keys.h"

#define SIGN_BATCH_MAX 64

typedef struct ServiceApi ServiceApi;

/* Keeps references to both: they must outlive it.  Does not connect. */
int service_api_new(ServiceApi **ret, const SidecarConfig *config, const Credential *credential,
                    Error *e);
void service_api_free(ServiceApi *s);
DEFINE_CLEANUP(ServiceApi, service_api_free)

/* Failures of all that follow: every code that the service names, -CSIGN_E_SERVICE_UNAVAILABLE,
 * -CSIGN_E_TIMEOUT, -CSIGN_E_BAD_ANSWER.  A 401 is answered with one new token and one more try. */

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

/* Returns 0 when each item has its own result.  An answer that is lost is asked for again, with the
 * same idempotency keys, until the time is over or *stop. */
int service_sign(ServiceApi *s, SignItem *const items[], size_t n, uint64_t timeout_usec,
                 const atomic_bool *stop, Error *e);

/* A whole message (item->req->digest), in a request of its own.  item->r and e are not used. */
int service_sign_message(ServiceApi *s, SignItem *item, uint64_t timeout_usec,
                         const atomic_bool *stop, Error *e);

/* path, or id: the other is NULL.  *ret is not in any cache yet. */
int service_get_key(ServiceApi *s, const char *path, const char *id, uint32_t version,
                    const char *request_id, uint64_t timeout_usec, Key **ret, Error *e);

typedef struct KeyList {
        Key **keys;
        size_t n;
        char next_cursor[256];
} KeyList;

void key_list_done(KeyList *l);
int service_list_keys(ServiceApi *s, const char *prefix, const char *cursor, uint32_t limit,
                      const char *request_id, uint64_t timeout_usec, KeyList *ret, Error *e);

/* Whom the service takes us for. */
typedef struct WhoAmI {
        char name[256];
        char scope[PATH_MAX_LEN];
} WhoAmI;

int service_whoami(ServiceApi *s, uint64_t timeout_usec, WhoAmI *ret, Error *e);

/* Unix time, 0: there is no token. */
int64_t service_token_expires(ServiceApi *s);

/* ---- the answers' parsers; fuzzed ---- */

int service_parse_key(const void *data, size_t len, Key **ret, Error *e);
int service_parse_key_list(const void *data, size_t len, KeyList *ret, Error *e);
int service_parse_signature(const void *data, size_t len, SignItem *item, Error *e);
int service_parse_signatures(const void *data, size_t len, SignItem *const items[], size_t n,
                             Error *e);
