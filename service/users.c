/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of users and their API keys. */

#include "service/users.h"

#include <errno.h>

#include "service/db/queries.h"

int user_insert(DbConn *c, const User *u, Error *e) {
        int r;

        r = db_exec(c, SQL_USER_INSERT,
                    DB_ARGS(DB_TEXT(u->id), DB_TEXT(u->tsg), DB_TEXT(u->name), DB_TEXT(u->path),
                            DB_INT(u->created)),
                    e);
        if (r == -EEXIST)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "there is a user '%s' already",
                                 u->path);
        return r;
}

int user_api_key_insert(DbConn *c, const char *user_id, const char *name,
                        const uint8_t hash[static SHA256_SIZE], uint64_t created, Error *e) {
        char id[ID_MAX];
        int r;

        r = id_new(id, "ak");
        if (r < 0)
                return r;
        return db_exec(c, SQL_API_KEY_INSERT,
                       DB_ARGS(DB_TEXT(id), DB_TEXT(user_id), DB_BLOB(hash, SHA256_SIZE),
                               DB_TEXT(name), DB_INT(created)),
                       e);
}
