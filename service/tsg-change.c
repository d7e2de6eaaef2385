/* SPDX-License-Identifier: Apache-2.0 */
/* Renaming, moving and deleting TSGs. */

#include "service/tsg-change.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "service/db/queries.h"
#include "service/revision.h"

/* ---- what was decided on must still be so: a change of it counts its revision up ---- */

static int changed(const Tsg *t, Error *e) {
        return error_set_rule(e, -CSIGN_E_PRECONDITION_FAILED, "if-match",
                              "TSG '%s' was changed at the same time", t->path);
}

static int bump(DbConn *c, const Tsg *t, uint64_t if_match, Error *e) {
        int r;

        r = revision_bump(c, SQL_TSG_TOUCH, "TSG", t->id, if_match ? if_match : t->revision, e);
        return r >= 0 && if_match != 0 && if_match != t->revision ? changed(t, e) : r;
}

/* ---- what may not be ---- */

/* The root TSG is the second of a chain: the first is the top. */
static int check_root(const TsgMove *m, const TsgChain *from, const TsgChain *to, Error *e) {
        const char *root = from->n > 1 ? from->ids[1] : "", *new_root = to->n > 1 ? to->ids[1] : "";

        if (strcmp(root, new_root) == 0)
                return 0;
        return error_set_rule(
                e, -CSIGN_E_BAD_REQUEST, "tree-root",
                "TSG '%s' cannot move to '%s': it would be below another root TSG, or become one, "
                "and a root TSG's authority certifies all keys below it",
                m->before.path, m->parent.path);
}

static int take_int(DbRow *row, void *userdata) {
        *(int64_t *) userdata = db_row_int(row, 0);
        return 0;
}

static int check_depth(DbConn *c, const TsgMove *m, const TsgChain *to, Error *e) {
        int64_t below = 0;
        int r;

        r = db_query(c, SQL_TSG_DEPTH_BELOW, DB_ARGS(DB_TEXT(m->before.id)), take_int, &below, e);
        if (r < 0)
                return r;
        /* The top, which is in the chain, counts for nothing; the TSG itself for one. */
        if (to->n + (size_t) below <= TSG_DEPTH_MAX)
                return 0;
        return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "tree-depth",
                              "below '%s' the tree would be deeper than %d TSGs", m->parent.path,
                              TSG_DEPTH_MAX);
}

static int check_place(DbConn *c, const TsgMove *m, Error *e) {
        TsgChain from, to;
        int r;

        r = tsg_chain(c, m->before.parent, &from, e);
        if (r >= 0)
                r = tsg_chain(c, m->parent.id, &to, e);
        if (r < 0)
                return r;
        if (tsg_chain_has(&to, m->before.id))
                return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "tree-cycle",
                                      "TSG '%s' cannot move below itself", m->before.path);
        r = check_root(m, &from, &to, e);
        return r < 0 ? r : check_depth(c, m, &to, e);
}

/* ---- moving ---- */

/* Moves the closure's rows that lead into the TSG from above. */
static int move_closure(DbConn *c, const TsgMove *m, Error *e) {
        int r;

        r = db_exec(c, SQL_TSG_CLOSURE_CUT, DB_ARGS(DB_TEXT(m->before.id), DB_TEXT(m->before.id)),
                    e);
        if (r >= 0)
                r = db_exec(c, SQL_TSG_CLOSURE_JOIN,
                            DB_ARGS(DB_TEXT(m->parent.id), DB_TEXT(m->before.id)), e);
        return r;
}

/* What is below keeps the part of its path that is behind the TSG's own. */
static int rewrite_paths(DbConn *c, const TsgMove *m, Error *e) {
        static const char *const below[] = {
                SQL_TSG_PATHS_BELOW,     SQL_KEY_PATHS_BELOW,  SQL_ACCOUNT_PATHS_BELOW,
                SQL_USER_PATHS_BELOW,    SQL_ROLE_PATHS_BELOW, SQL_TEAM_PATHS_BELOW,
                SQL_PROJECT_PATHS_BELOW,
        };
        size_t rest = strlen(m->before.path) + 1;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(below); i++)
                r = db_exec(c, below[i],
                            DB_ARGS(DB_TEXT(m->path), DB_INT(rest), DB_TEXT(m->before.id)), e);
        return r;
}

static int write_place(DbConn *c, const TsgMove *m, Error *e) {
        int r;

        r = db_exec(c, SQL_PATH_TAKEN_BY_KEY, DB_ARGS(DB_TEXT(m->path)), e);
        if (r > 0)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "a key has the name '%s'", m->path);
        if (r >= 0)
                r = db_exec(c, SQL_TSG_PLACE,
                            DB_ARGS(DB_TEXT(m->parent.id), DB_TEXT(m->name), DB_TEXT(m->path),
                                    DB_TEXT(m->before.id)),
                            e);
        if (r == -EEXIST)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "there is a TSG '%s' already",
                                 m->path);
        return r;
}

/* The parent first: it may be the TSG itself, which is refused for that later. */
static int check_unchanged(DbConn *c, const TsgMove *m, Error *e) {
        int r;

        r = db_exec(c, SQL_TSG_AT_REVISION,
                    DB_ARGS(DB_TEXT(m->parent.id), DB_INT(m->parent.revision)), e);
        if (r == 0)
                return changed(&m->parent, e);
        return r < 0 ? r : bump(c, &m->before, m->if_match, e);
}

int tsg_move(DbConn *c, TsgMove *m, Error *e) {
        bool same_parent = strcmp(m->parent.id, m->before.parent) == 0;
        int r;

        r = check_unchanged(c, m, e);
        if (r >= 0 && !same_parent)
                r = check_place(c, m, e);
        if (r < 0)
                return r;

        /* Both parts are within their limits, and so is the whole after check_place(). */
        (void) snprintf(m->path, sizeof(m->path), "%.*s%s%.*s", PATH_MAX_LEN - NAME_MAX_LEN - 2,
                        m->parent.path, m->parent.path[0] ? "/" : "", NAME_MAX_LEN, m->name);
        r = write_place(c, m, e);
        if (r >= 0)
                r = rewrite_paths(c, m, e);
        if (r >= 0 && !same_parent)
                r = move_closure(c, m, e);
        return r < 0 ? r : 0;
}

/* ---- deleting ---- */

static int in_use(const Tsg *t, const char *what, Error *e) {
        return error_set_rule(e, -CSIGN_E_IN_USE, "tree-empty", "TSG '%s' still has %s", t->path,
                              what);
}

static int check_empty(DbConn *c, const Tsg *t, Error *e) {
        static const struct {
                const char *sql, *what;
        } holds[] = {
                { SQL_TSG_HAS_TSG, "TSGs" },
                { SQL_TSG_HAS_KEY, "keys" },
                { SQL_TSG_HAS_ACCOUNT, "accounts" },
                { SQL_TSG_HAS_USER, "users" },
                { SQL_TSG_HAS_TEAM, "teams" },
                { SQL_TSG_HAS_PROJECT, "projects" },
                { SQL_TSG_HAS_ROLE, "roles" },
                { SQL_TSG_HAS_BINDING, "role bindings" },
                { SQL_TSG_HAS_API_KEY, "API keys that are limited to it" },
        };

        for (size_t i = 0; i < ELEMENTSOF(holds); i++) {
                int r = db_exec(c, holds[i].sql, DB_ARGS(DB_TEXT(t->id)), e);

                if (r != 0)
                        return r < 0 ? r : in_use(t, holds[i].what, e);
        }
        return 0;
}

int tsg_delete(DbConn *c, const Tsg *t, uint64_t if_match, Error *e) {
        static const char *const rows[] = { SQL_AUTHORITY_DELETE, SQL_TSG_CLOSURE_DELETE,
                                            SQL_TSG_DELETE };
        int r;

        r = bump(c, t, if_match, e);
        if (r >= 0)
                r = check_empty(c, t, e);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(rows); i++)
                r = db_exec(c, rows[i], DB_ARGS(DB_TEXT(t->id)), e);
        /* A row of another table refers to it. */
        if (r == -EINVAL)
                return in_use(t, "something that belongs to it", e);
        return r < 0 ? r : 0;
}
