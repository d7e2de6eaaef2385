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

typedef struct User {
        char id[ID_MAX];
        char tsg[ID_MAX];
        char name[NAME_MAX_LEN + 1];
        char path[PATH_MAX_LEN];
        uint64_t created;
} User;

/* ---- changes, for audit jobs ---- */

/* -CSIGN_E_ALREADY_EXISTS. */
int user_insert(DbConn *c, const User *u, Error *e);
int user_api_key_insert(DbConn *c, const char *user_id, const char *name,
                        const uint8_t hash[static SHA256_SIZE], uint64_t created, Error *e);
