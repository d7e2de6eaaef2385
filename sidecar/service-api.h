/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How to ask the service (docs/openapi.yaml), as one account: by the way that is open (way.h), with
 * the token that all connections share.  Any thread may call; a call blocks. */

#include <stdint.h>

#include "lib/credential.h"
#include "lib/error.h"
#include "sidecar/config.h"
#include "sidecar/service-answers.h"
#include "sidecar/token.h"
#include "sidecar/way.h"

#define SIGN_BATCH_MAX 64

typedef struct ServiceApi ServiceApi;

/* Keeps references to both: they must outlive it.  Does not connect. */
int service_api_new(ServiceApi **ret, const SidecarConfig *config, const Credential *credential,
                    Error *e);
void service_api_free(ServiceApi *s);
DEFINE_CLEANUP(ServiceApi, service_api_free)

/* Failures of all that follow: every code that the service names, -CSIGN_E_SERVICE_UNAVAILABLE,
 * -CSIGN_E_TIMEOUT, -CSIGN_E_BAD_ANSWER.  A 401 is answered with one new token and one more try. */

/* Returns 0 when each item has its own result.  An answer that is lost is asked for again, with the
 * same idempotency keys, until the time is over or all have given up. */
int service_sign(ServiceApi *s, SignItem *const items[], size_t n, const Wish *wish, Error *e);

/* A whole message (item->req->digest), in a request of its own.  item->r and e are not used. */
int service_sign_message(ServiceApi *s, SignItem *item, const Wish *wish, Error *e);

/* path, or id: the other is NULL.  *ret is not in any cache yet. */
int service_get_key(ServiceApi *s, const char *path, const char *id, uint32_t version,
                    const char *request_id, const Wish *wish, Key **ret, Error *e);

int service_list_keys(ServiceApi *s, const char *prefix, const char *cursor, uint32_t limit,
                      const char *request_id, const Wish *wish, KeyList *ret, Error *e);

int service_whoami(ServiceApi *s, const Wish *wish, WhoAmI *ret, Error *e);

/* The address that is asked now. */
const char *service_address(ServiceApi *s);

void service_token_facts(ServiceApi *s, TokenFacts *ret);
