/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Users: humans and what acts for them, with API keys.  A key's text is handed out once; the
 * database has its SHA-256. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/id.h"
#include "lib/key-uri.h"
#include "service/db/db.h"
#include "service/digest.h"
#include "service/tsg.h"

#define USER_API_KEYS_MAX 32

typedef struct User {
        char id[ID_MAX];
        char tsg[ID_MAX];
        char name[NAME_MAX_LEN + 1];
        char path[PATH_MAX_LEN];
        bool enabled;
        uint64_t created, revision;
} User;

typedef enum ApiKeyPurpose { API_KEY_ANY, API_KEY_SIGN, API_KEY_ADMINISTER } ApiKeyPurpose;

typedef struct ApiKey {
        char id[ID_MAX];
        char user[ID_MAX];
        char name[NAME_MAX_LEN + 1];
        char tsg[ID_MAX]; /* that it is limited to; "": its user's own */
        char tsg_path[PATH_MAX_LEN];
        ApiKeyPurpose purpose;
        uint64_t created, expires, last_used; /* 0: never */
} ApiKey;

const char *api_key_purpose_name(ApiKeyPurpose purpose);
int api_key_purpose_by_name(const char *name); /* -ENOENT */

/* -CSIGN_E_NOT_FOUND.  These do not decide whether the caller may see it. */
int user_by_id(DbConn *c, const char *id, User *ret, Error *e);
int user_list(Db *db, const Root *root, const char *after, unsigned limit,
              int (*fn)(const User *u, void *userdata), void *userdata, Error *e);

/* All of one user, by name; or the one with that id. */
int user_api_keys(DbConn *c, const char *user_id, int (*fn)(const ApiKey *k, void *userdata),
                  void *userdata, Error *e);
int user_api_key_by_id(DbConn *c, const char *user_id, const char *id, ApiKey *ret, Error *e);

/* ---- changes, for audit jobs ---- */

/* -CSIGN_E_ALREADY_EXISTS. */
int user_insert(DbConn *c, const User *u, Error *e);

/* -CSIGN_E_IN_USE with rule "last-owner". */
int user_set_enabled(DbConn *c, const char *id, bool enabled, Error *e);

/* With its API keys, roles and memberships.  -CSIGN_E_IN_USE with rule "last-owner". */
int user_delete(DbConn *c, const char *id, Error *e);

/* -CSIGN_E_ALREADY_EXISTS: of this name.  -CSIGN_E_TOO_LARGE: more than USER_API_KEYS_MAX. */
int user_api_key_insert(DbConn *c, const ApiKey *k, const uint8_t hash[static SHA256_SIZE],
                        Error *e);
/* -CSIGN_E_IN_USE with rule "last-owner". */
int user_api_key_delete(DbConn *c, const char *id, Error *e);
