/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of users and their API keys. */

#include "service/users.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "service/db/queries.h"
#include "service/principal.h"
#include "service/roles.h"

static const char *const purposes[] = {
        [API_KEY_ANY] = "any",
        [API_KEY_SIGN] = "sign",
        [API_KEY_ADMINISTER] = "administer",
};

const char *api_key_purpose_name(ApiKeyPurpose purpose) {
        return purposes[purpose];
}

int api_key_purpose_by_name(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(purposes); i++)
                if (strcmp(purposes[i], name) == 0)
                        return (int) i;
        return -ENOENT;
}

/* ---- users ---- */

typedef struct UserListing {
        int (*fn)(const User *u, void *userdata);
        void *userdata;
} UserListing;

static int list_user(DbRow *row, void *userdata) {
        const UserListing *l = userdata;
        User u = {};

        snprintf(u.id, sizeof(u.id), "%s", db_row_text(row, 0));
        snprintf(u.tsg, sizeof(u.tsg), "%s", db_row_text(row, 1));
        snprintf(u.name, sizeof(u.name), "%s", db_row_text(row, 2));
        snprintf(u.path, sizeof(u.path), "%s", db_row_text(row, 3));
        u.enabled = strcmp(db_row_text(row, 4), "enabled") == 0;
        u.created = (uint64_t) db_row_int(row, 5);
        u.revision = (uint64_t) db_row_int(row, 6);
        return l->fn(&u, l->userdata);
}

static int copy_user(const User *u, void *userdata) {
        *(User *) userdata = *u;
        return 0;
}

int user_by_id(DbConn *c, const char *id, User *ret, Error *e) {
        UserListing l = { copy_user, ret };
        int r;

        r = db_query(c, SQL_USER_BY_ID, DB_ARGS(DB_TEXT(id)), list_user, &l, e);
        if (r == 0)
                return error_set_rule(e, -CSIGN_E_NOT_FOUND, "scope", "there is no such user");
        return r < 0 ? r : 0;
}

int user_list(Db *db, const Root *root, const char *after, unsigned limit,
              int (*fn)(const User *u, void *userdata), void *userdata, Error *e) {
        UserListing l = { fn, userdata };
        PathRange range;

        path_range(root->id, root->path, after, &range);
        return db_read(db, SQL_USER_LIST, DB_ARGS(PATH_RANGE_ARGS(&range), DB_INT(limit)),
                       list_user, &l, e);
}

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

int user_set_enabled(DbConn *c, const char *id, bool enabled, Error *e) {
        int r;

        r = db_exec(c, SQL_USER_SET_STATE,
                    DB_ARGS(DB_TEXT(enabled ? "enabled" : "disabled"), DB_TEXT(id)), e);
        return r < 0 || enabled ? r : role_check_last_owner(c, e);
}

int user_delete(DbConn *c, const char *id, Error *e) {
        int r;

        r = principal_forget(c, id, e);
        if (r >= 0)
                r = db_exec(c, SQL_API_KEYS_DROP, DB_ARGS(DB_TEXT(id)), e);
        if (r >= 0)
                r = db_exec(c, SQL_USER_DELETE, DB_ARGS(DB_TEXT(id)), e);
        return r < 0 ? r : role_check_last_owner(c, e);
}

/* ---- API keys ---- */

typedef struct ApiKeyListing {
        int (*fn)(const ApiKey *k, void *userdata);
        void *userdata;
} ApiKeyListing;

static int list_api_key(DbRow *row, void *userdata) {
        int purpose = api_key_purpose_by_name(db_row_text(row, 5));
        const ApiKeyListing *l = userdata;
        ApiKey k = {};

        if (purpose < 0)
                return -EBADMSG;
        snprintf(k.id, sizeof(k.id), "%s", db_row_text(row, 0));
        snprintf(k.user, sizeof(k.user), "%s", db_row_text(row, 1));
        snprintf(k.name, sizeof(k.name), "%s", db_row_text(row, 2));
        snprintf(k.tsg, sizeof(k.tsg), "%s", db_row_text(row, 3));
        snprintf(k.tsg_path, sizeof(k.tsg_path), "%s", db_row_text(row, 4));
        k.purpose = (ApiKeyPurpose) purpose;
        k.created = (uint64_t) db_row_int(row, 6);
        k.expires = (uint64_t) db_row_int(row, 7);
        k.last_used = (uint64_t) db_row_int(row, 8);
        return l->fn(&k, l->userdata);
}

static int copy_api_key(const ApiKey *k, void *userdata) {
        *(ApiKey *) userdata = *k;
        return 0;
}

int user_api_keys(DbConn *c, const char *user_id, int (*fn)(const ApiKey *k, void *userdata),
                  void *userdata, Error *e) {
        ApiKeyListing l = { fn, userdata };

        return db_query(c, SQL_API_KEYS, DB_ARGS(DB_TEXT(user_id)), list_api_key, &l, e);
}

int user_api_key_by_id(DbConn *c, const char *user_id, const char *id, ApiKey *ret, Error *e) {
        ApiKeyListing l = { copy_api_key, ret };
        int r;

        r = db_query(c, SQL_API_KEY_BY_ID, DB_ARGS(DB_TEXT(user_id), DB_TEXT(id)), list_api_key, &l,
                     e);
        if (r == 0)
                return error_set(e, -CSIGN_E_NOT_FOUND, "this user has no such API key");
        return r < 0 ? r : 0;
}

int user_api_key_insert(DbConn *c, const ApiKey *k, const uint8_t hash[static SHA256_SIZE],
                        Error *e) {
        int r;

        r = db_exec(c, SQL_API_KEY_INSERT,
                    DB_ARGS(DB_TEXT(k->id), DB_TEXT(k->user), DB_BLOB(hash, SHA256_SIZE),
                            DB_TEXT(k->name), k->tsg[0] ? DB_TEXT(k->tsg) : DB_NULL,
                            DB_TEXT(purposes[k->purpose]), DB_INT(k->created), DB_INT(k->expires)),
                    e);
        if (r == -EEXIST)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS,
                                 "this user has an API key '%s' already", k->name);
        if (r >= 0)
                r = db_exec(c, SQL_API_KEYS, DB_ARGS(DB_TEXT(k->user)), e);
        if (r > USER_API_KEYS_MAX)
                return error_set(e, -CSIGN_E_TOO_LARGE,
                                 "a user has at most %d API keys: revoke one first",
                                 USER_API_KEYS_MAX);
        return r;
}

int user_api_key_delete(DbConn *c, const char *id, Error *e) {
        int r;

        r = db_exec(c, SQL_API_KEY_DELETE, DB_ARGS(DB_TEXT(id)), e);
        return r < 0 ? r : role_check_last_owner(c, e);
}
