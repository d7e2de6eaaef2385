/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of teams and projects. */

#include "service/groups.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "service/db/queries.h"
#include "service/principal.h"
#include "service/roles.h"

const GroupKind group_team = {
        .name = "team",
        .plural = "teams",
        .prefix = "team",
        .member = "member",
        .members = "members",
        .view = RIGHT_VIEW(PEOPLE),
        .write = RIGHT_WRITE(PEOPLE),
        .in_use = SQL_TEAM_IN_USE,
        .in_use_rule = "team-in-use",
        .in_use_words = "this team has roles, owns accounts or signs for a project: take these "
                        "away first",
        .insert = SQL_TEAM_INSERT,
        .by_id = SQL_TEAM_BY_ID,
        .list = SQL_TEAM_LIST,
        .touch = SQL_TEAM_TOUCH,
        .describe = SQL_TEAM_DESCRIBE,
        .remove = SQL_TEAM_DELETE,
        .member_insert = SQL_TEAM_MEMBER_INSERT,
        .member_remove = SQL_TEAM_MEMBER_DELETE,
        .member_list = SQL_TEAM_MEMBER_LIST,
        .members_drop = SQL_TEAM_MEMBERS_DROP,
};

const GroupKind group_project = {
        .name = "project",
        .plural = "projects",
        .prefix = "prj",
        .member = "signer",
        .members = "signers",
        .view = RIGHT_VIEW(PROJECTS),
        .write = RIGHT_WRITE(PROJECTS),
        .of_teams = true,
        .in_use = SQL_PROJECT_IN_USE,
        .in_use_rule = "project-in-use",
        .in_use_words = "this project has keys: move them out of it first",
        .insert = SQL_PROJECT_INSERT,
        .by_id = SQL_PROJECT_BY_ID,
        .list = SQL_PROJECT_LIST,
        .touch = SQL_PROJECT_TOUCH,
        .describe = SQL_PROJECT_DESCRIBE,
        .remove = SQL_PROJECT_DELETE,
        .member_insert = SQL_PROJECT_MEMBER_INSERT,
        .member_remove = SQL_PROJECT_MEMBER_DELETE,
        .member_list = SQL_PROJECT_MEMBER_LIST,
        .members_drop = SQL_PROJECT_MEMBERS_DROP,
};

/* ---- reading ---- */

typedef struct GroupListing {
        GroupFn fn;
        void *userdata;
} GroupListing;

static int list_group(DbRow *row, void *userdata) {
        const GroupListing *l = userdata;
        Group g = {};

        snprintf(g.id, sizeof(g.id), "%s", db_row_text(row, 0));
        snprintf(g.tsg, sizeof(g.tsg), "%s", db_row_text(row, 1));
        snprintf(g.name, sizeof(g.name), "%s", db_row_text(row, 2));
        snprintf(g.path, sizeof(g.path), "%s", db_row_text(row, 3));
        g.description = db_row_text(row, 4);
        g.created = (uint64_t) db_row_int(row, 5);
        g.revision = (uint64_t) db_row_int(row, 6);
        return l->fn(&g, l->userdata);
}

int group_by_id(DbConn *c, const GroupKind *kind, const char *id, GroupFn fn, void *userdata,
                Error *e) {
        GroupListing l = { fn, userdata };
        int r;

        r = db_query(c, kind->by_id, DB_ARGS(DB_TEXT(id)), list_group, &l, e);
        if (r == 0)
                return error_set_rule(e, -CSIGN_E_NOT_FOUND, "scope", "there is no such %s",
                                      kind->name);
        return r < 0 ? r : 0;
}

int group_list(Db *db, const GroupKind *kind, const Root *root, const char *after, unsigned limit,
               GroupFn fn, void *userdata, Error *e) {
        GroupListing l = { fn, userdata };
        PathRange range;

        path_range(root->id, root->path, after, &range);
        return db_read(db, kind->list, DB_ARGS(PATH_RANGE_ARGS(&range), DB_INT(limit)), list_group,
                       &l, e);
}

typedef struct MemberListing {
        GroupMemberFn fn;
        void *userdata;
} MemberListing;

static int list_member(DbRow *row, void *userdata) {
        const MemberListing *l = userdata;

        return l->fn(db_row_text(row, 0), db_row_text(row, 1), l->userdata);
}

int group_members(Db *db, const GroupKind *kind, const char *id, const char *after, unsigned limit,
                  GroupMemberFn fn, void *userdata, Error *e) {
        MemberListing l = { fn, userdata };

        return db_read(db, kind->member_list, DB_ARGS(DB_TEXT(id), DB_TEXT(after), DB_INT(limit)),
                       list_member, &l, e);
}

/* ---- changes ---- */

int group_insert(DbConn *c, const GroupKind *kind, const Group *g, Error *e) {
        int r;

        r = db_exec(c, kind->insert,
                    DB_ARGS(DB_TEXT(g->id), DB_TEXT(g->tsg), DB_TEXT(g->name), DB_TEXT(g->path),
                            DB_TEXT(g->description), DB_INT(g->created)),
                    e);
        if (r == -EEXIST)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "there is a %s '%s' already",
                                 kind->name, g->path);
        return r;
}

int group_describe(DbConn *c, const GroupKind *kind, const char *id, const char *description,
                   Error *e) {
        return db_exec(c, kind->describe, DB_ARGS(DB_TEXT(description), DB_TEXT(id)), e);
}

int group_delete(DbConn *c, const GroupKind *kind, const char *id, Error *e) {
        int r;

        r = db_exec(c, kind->in_use, DB_ARGS(DB_TEXT(id)), e);
        if (r > 0)
                return error_set_rule(e, -CSIGN_E_IN_USE, kind->in_use_rule, "%s",
                                      kind->in_use_words);
        /* Of a project: those that are destroyed. */
        if (r >= 0)
                r = db_exec(c, SQL_KEY_LEAVE, DB_ARGS(DB_TEXT(id)), e);
        if (r >= 0)
                r = db_exec(c, kind->members_drop, DB_ARGS(DB_TEXT(id)), e);
        if (r >= 0)
                r = db_exec(c, kind->remove, DB_ARGS(DB_TEXT(id)), e);
        return r < 0 ? r : role_check_last_owner(c, e);
}

int group_member_insert(DbConn *c, const GroupKind *kind, const char *id, const char *member,
                        Error *e) {
        int r;

        r = db_exec(c, kind->member_insert, DB_ARGS(DB_TEXT(id), DB_TEXT(member)), e);
        if (r == -EEXIST)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "'%s' is a %s of it already", member,
                                 kind->member);
        return r < 0 ? r : principal_check_limits(c, member, e);
}

int group_member_delete(DbConn *c, const GroupKind *kind, const char *id, const char *member,
                        Error *e) {
        int r;

        r = db_exec(c, kind->member_remove, DB_ARGS(DB_TEXT(id), DB_TEXT(member)), e);
        if (r == 0)
                return error_set(e, -CSIGN_E_NOT_FOUND, "'%s' is no %s of it", member,
                                 kind->member);
        return r < 0 ? r : role_check_last_owner(c, e);
}
