/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The way to the service for who holds an account's key: enroll and rotate.  Signing goes by the
 * sidecar. */

#include <jansson.h>

#include "lib/credential.h"
#include "lib/error.h"

typedef struct AccountClient AccountClient;

/* Gets a token, which proves the key.  ca_file may be NULL. */
int account_client_open(AccountClient **ret, const char *service, const char *ca_file,
                        const Credential *c, const char *client_id, Error *e);
void account_client_close(AccountClient *a);
DEFINE_CLEANUP(AccountClient, account_client_close)

int account_client_call(AccountClient *a, const char *method, const char *path, const json_t *body,
                        json_t **ret, Error *e);

/* POST /v1/enrollments: the one request that needs no token.  *ret: client_id, account, ... */
int account_enroll(const char *service, const char *ca_file, EVP_PKEY *key, const char *code,
                   json_t **ret, Error *e);
