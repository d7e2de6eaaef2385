/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of custom roles and of bindings. */

#include "service/roles.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "service/clock.h"
#include "service/db/queries.h"

/* ---- roles ---- */

typedef struct RoleListing {
        int (*fn)(const Role *role, void *userdata);
        void *userdata;
        Error *e;
} RoleListing;

static int list_role(DbRow *row, void *userdata) {
        RoleListing *l = userdata;
        Role role = {};
        int r;

        snprintf(role.id, sizeof(role.id), "%s", db_row_text(row, 0));
        snprintf(role.tsg, sizeof(role.tsg), "%s", db_row_text(row, 1));
        snprintf(role.name, sizeof(role.name), "%s", db_row_text(row, 2));
        snprintf(role.path, sizeof(role.path), "%s", db_row_text(row, 3));
        r = rights_parse(db_row_text(row, 4), &role.rights, l->e);
        if (r < 0)
                return r;
        role.created = (uint64_t) db_row_int(row, 5);
        role.revision = (uint64_t) db_row_int(row, 6);
        return l->fn(&role, l->userdata);
}

static int copy_role(const Role *role, void *userdata) {
        *(Role *) userdata = *role;
        return 0;
}

int role_by_id(DbConn *c, const char *id, Role *ret, Error *e) {
        const BuiltinRole *builtin = role_builtin(id);
        Role role = {};
        RoleListing l = { copy_role, &role, e };
        int r;

        if (builtin) {
                snprintf(role.id, sizeof(role.id), "%s", id);
                snprintf(role.name, sizeof(role.name), "%s", id);
                snprintf(role.path, sizeof(role.path), "%s", id);
                role.rights = builtin->rights;
                *ret = role;
                return 0;
        }
        r = db_query(c, SQL_ROLE_BY_ID, DB_ARGS(DB_TEXT(id)), list_role, &l, e);
        if (r < 0)
                return r;
        if (r == 0)
                return error_set_rule(e, -CSIGN_E_NOT_FOUND, "scope", "there is no such role");
        *ret = role;
        return 0;
}

int role_list(Db *db, const Root *root, const char *after, unsigned limit,
              int (*fn)(const Role *role, void *userdata), void *userdata, Error *e) {
        RoleListing l = { fn, userdata, e };
        PathRange range;

        path_range(root->id, root->path, after, &range);
        return db_read(db, SQL_ROLE_LIST, DB_ARGS(PATH_RANGE_ARGS(&range), DB_INT(limit)),
                       list_role, &l, e);
}

int role_insert(DbConn *c, const Role *role, Error *e) {
        char pages[RIGHTS_TEXT_MAX];
        int r;

        r = db_exec(c, SQL_ROLE_INSERT,
                    DB_ARGS(DB_TEXT(role->id), DB_TEXT(role->tsg), DB_TEXT(role->name),
                            DB_TEXT(role->path), DB_TEXT(rights_text(&role->rights, pages)),
                            DB_INT(role->created)),
                    e);
        if (r == -EEXIST)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "there is a role '%s' already",
                                 role->path);
        return r;
}

int role_update(DbConn *c, const Role *role, Error *e) {
        char pages[RIGHTS_TEXT_MAX];

        return db_exec(c, SQL_ROLE_UPDATE,
                       DB_ARGS(DB_TEXT(rights_text(&role->rights, pages)), DB_TEXT(role->id)), e);
}

int role_delete(DbConn *c, const char *id, Error *e) {
        int r;

        r = db_exec(c, SQL_ROLE_IS_BOUND, DB_ARGS(DB_TEXT(id)), e);
        if (r > 0)
                return error_set_rule(e, -CSIGN_E_IN_USE, "role-in-use",
                                      "somebody has this role: revoke it first");
        return r < 0 ? r : db_exec(c, SQL_ROLE_DELETE, DB_ARGS(DB_TEXT(id)), e);
}

/* ---- bindings ---- */

typedef struct BindingListing {
        int (*fn)(const RoleBinding *b, void *userdata);
        void *userdata;
} BindingListing;

static int list_binding(DbRow *row, void *userdata) {
        BindingListing *l = userdata;
        RoleBinding b = {};

        snprintf(b.id, sizeof(b.id), "%s", db_row_text(row, 0));
        snprintf(b.role, sizeof(b.role), "%s", db_row_text(row, 1));
        snprintf(b.principal, sizeof(b.principal), "%s", db_row_text(row, 2));
        snprintf(b.tsg, sizeof(b.tsg), "%s", db_row_text(row, 3));
        snprintf(b.path, sizeof(b.path), "%s", db_row_text(row, 4));
        b.created = (uint64_t) db_row_int(row, 5);
        b.revision = (uint64_t) db_row_int(row, 6);
        return l->fn(&b, l->userdata);
}

static int copy_binding(const RoleBinding *b, void *userdata) {
        *(RoleBinding *) userdata = *b;
        return 0;
}

int role_binding_by_id(DbConn *c, const char *id, RoleBinding *ret, Error *e) {
        RoleBinding b = {};
        BindingListing l = { copy_binding, &b };
        int r;

        r = db_query(c, SQL_BINDING_BY_ID, DB_ARGS(DB_TEXT(id)), list_binding, &l, e);
        if (r < 0)
                return r;
        if (r == 0)
                return error_set_rule(e, -CSIGN_E_NOT_FOUND, "scope", "there is no such binding");
        *ret = b;
        return 0;
}

int role_binding_list(Db *db, const Root *root, const char *after, unsigned limit,
                      int (*fn)(const RoleBinding *b, void *userdata), void *userdata, Error *e) {
        BindingListing l = { fn, userdata };
        char tsg[PATH_MAX_LEN] = "";
        const char *id = strrchr(after, '/');
        PathRange range;

        if (id)
                snprintf(tsg, sizeof(tsg), "%.*s", (int) (id++ - after), after);
        else
                id = after;
        path_range(root->id, root->path, tsg, &range);
        return db_read(db, SQL_BINDING_LIST,
                       DB_ARGS(DB_TEXT(range.begin), DB_TEXT(range.end), DB_TEXT(range.path),
                               DB_TEXT(range.below), DB_TEXT(root->id), DB_TEXT(tsg), DB_TEXT(id),
                               DB_INT(limit)),
                       list_binding, &l, e);
}

int role_binding_list_of(DbConn *c, const char *principal,
                         int (*fn)(const RoleBinding *b, void *userdata), void *userdata,
                         Error *e) {
        BindingListing l = { fn, userdata };

        return db_query(c, SQL_BINDING_LIST_OF, DB_ARGS(DB_TEXT(principal)), list_binding, &l, e);
}

int role_binding_insert(DbConn *c, const RoleBinding *b, Error *e) {
        int r;

        r = db_exec(c, SQL_BINDING_INSERT,
                    DB_ARGS(DB_TEXT(b->id), DB_TEXT(b->role), DB_TEXT(b->principal),
                            DB_TEXT(b->tsg), DB_INT(b->created)),
                    e);
        if (r == -EEXIST)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "'%s' has this role on '%s' already",
                                 b->principal, b->path);
        return r < 0 ? r : principal_check_limits(c, b->principal, e);
}

int role_binding_delete(DbConn *c, const char *id, Error *e) {
        int r;

        r = db_exec(c, SQL_BINDING_DELETE, DB_ARGS(DB_TEXT(id)), e);
        return r < 0 ? r : role_check_last_owner(c, e);
}

int role_check_last_owner(DbConn *c, Error *e) {
        int r;

        r = db_exec(c, SQL_OWNER_EXISTS, DB_ARGS(DB_TEXT(ROLE_OWNER), DB_INT(clock_now())), e);
        if (r == 0)
                return error_set_rule(e, -CSIGN_E_IN_USE, "last-owner",
                                      "after this no user with an API key would own the top TSG: "
                                      "give another one the role first");
        return r < 0 ? r : 0;
}
