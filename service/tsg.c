/* SPDX-License-Identifier: Apache-2.0 */
/* The tree: rows, its closure table, and paths as words. */

#include "service/tsg.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "service/db/queries.h"

static void copy_column(DbRow *row, int column, char *buf, size_t size) {
        snprintf(buf, size, "%s", db_row_text(row, column));
}

static void tsg_from_row(DbRow *row, Tsg *t) {
        copy_column(row, 0, t->id, sizeof(t->id));
        copy_column(row, 1, t->parent, sizeof(t->parent));
        copy_column(row, 2, t->name, sizeof(t->name));
        copy_column(row, 3, t->path, sizeof(t->path));
        t->created = (uint64_t) db_row_int(row, 4);
        t->revision = (uint64_t) db_row_int(row, 5);
}

static int take_tsg(DbRow *row, void *userdata) {
        tsg_from_row(row, userdata);
        return 0;
}

static int find(Db *db, const char *sql, const char *scope, const char *what, Tsg *ret, Error *e) {
        Tsg t = {};
        int r;

        r = db_read(db, sql, DB_ARGS(DB_TEXT(scope), DB_TEXT(what)), take_tsg, &t, e);
        if (r < 0)
                return r;
        if (r == 0)
                return error_set_rule(e, -CSIGN_E_NOT_FOUND, "scope", "there is no TSG '%s'", what);
        *ret = t;
        return 0;
}

int tsg_by_id(Db *db, const char *scope, const char *id, Tsg *ret, Error *e) {
        return find(db, SQL_TSG_BY_ID, scope, id, ret, e);
}

int tsg_by_path(Db *db, const char *scope, const char *path, Tsg *ret, Error *e) {
        return find(db, SQL_TSG_BY_PATH, scope, path, ret, e);
}

/* Above this, walking over everything in the listing's order finds a page's rows as soon. */
#define FEW_KEYS 2000

static int take_few(DbRow *row, void *userdata) {
        *(bool *) userdata = db_row_int(row, 0) <= FEW_KEYS;
        return 0;
}

int tsg_has_few_keys(Db *db, const char *id, bool *ret, Error *e) {
        int r;

        r = db_read(db, SQL_TSG_KEYS_COUNT, DB_ARGS(DB_TEXT(id), DB_INT(FEW_KEYS + 1)), take_few,
                    ret, e);
        return r < 0 ? r : 0;
}

int tsg_top(Db *db, Tsg *ret, Error *e) {
        int r;

        r = db_read(db, SQL_TSG_TOP, DB_NO_ARGS, take_tsg, ret, e);
        return r == 0 ? error_set(e, -ENOENT, "the database has no top TSG") : r < 0 ? r : 0;
}

static int take_ancestor(DbRow *row, void *userdata) {
        TsgChain *chain = userdata;

        if (chain->n >= TSG_CHAIN_MAX)
                return -E2BIG;
        copy_column(row, 0, chain->ids[chain->n++], ID_MAX);
        if (db_row_text(row, 2)[0])
                chain->separation_of_duties = strcmp(db_row_text(row, 2), "off") != 0;
        return 0;
}

int tsg_chain(DbConn *c, const char *id, TsgChain *ret, Error *e) {
        TsgChain chain = { .separation_of_duties = true };
        int r;

        r = db_query(c, SQL_TSG_ANCESTORS, DB_ARGS(DB_TEXT(id)), take_ancestor, &chain, e);
        if (r < 0)
                return r;
        *ret = chain;
        return 0;
}

int tsg_chain_read(Db *db, const char *id, TsgChain *ret, Error *e) {
        DbConn *c;
        int r;

        r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        r = tsg_chain(c, id, ret, e);
        db_release(db, c);
        return r;
}

bool tsg_chain_has(const TsgChain *chain, const char *tsg) {
        for (size_t i = 0; i < chain->n; i++)
                if (strcmp(chain->ids[i], tsg) == 0)
                        return true;
        return false;
}

/* '0' is the character after '/', and '{' is after all that names are made of. */
void path_range(const char *root, const char *path, const char *after, PathRange *ret) {
        bool all = path[0] == '\0';

        ret->root = root;
        ret->after = after;
        snprintf(ret->begin, sizeof(ret->begin), "%s", strcmp(after, path) > 0 ? after : path);
        snprintf(ret->path, sizeof(ret->path), "%s", path);
        snprintf(ret->below, sizeof(ret->below), "%s%s", path, all ? "" : "/");
        snprintf(ret->end, sizeof(ret->end), "%s%s", path, all ? "{" : "0");
}

typedef struct Listing {
        int (*fn)(const Tsg *t, void *userdata);
        void *userdata;
} Listing;

static int list_row(DbRow *row, void *userdata) {
        Listing *l = userdata;
        Tsg t = {};

        tsg_from_row(row, &t);
        return l->fn(&t, l->userdata);
}

int tsg_list(Db *db, const Root *root, const char *after, unsigned limit,
             int (*fn)(const Tsg *t, void *userdata), void *userdata, Error *e) {
        Listing l = { fn, userdata };
        PathRange range;

        path_range(root->id, root->path, after, &range);
        return db_read(db, SQL_TSG_LIST, DB_ARGS(PATH_RANGE_ARGS(&range), DB_INT(limit)), list_row,
                       &l, e);
}

static int check_free(DbConn *c, const char *path, Error *e) {
        int r;

        r = db_exec(c, SQL_PATH_TAKEN_BY_KEY, DB_ARGS(DB_TEXT(path)), e);
        if (r > 0)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "a key has the name '%s'", path);
        return r;
}

static int check_depth(const Tsg *t, Error *e) {
        unsigned depth = t->path[0] ? 1 : 0;

        for (const char *p = t->path; *p; p++)
                depth += *p == '/';
        if (depth <= TSG_DEPTH_MAX)
                return 0;
        return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "tree-depth",
                              "'%s' would be TSG %u on its path, and at most %d are allowed",
                              t->name, depth, TSG_DEPTH_MAX);
}

int tsg_insert(DbConn *c, const Tsg *t, Error *e) {
        int r;

        r = check_depth(t, e);
        if (r >= 0)
                r = check_free(c, t->path, e);
        if (r < 0)
                return r;

        r = db_exec(c, SQL_TSG_INSERT,
                    DB_ARGS(DB_TEXT(t->id), DB_TEXT(t->parent[0] ? t->parent : NULL),
                            DB_TEXT(t->name), DB_TEXT(t->path), DB_INT(t->created)),
                    e);
        if (r == -EEXIST)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "there is a TSG '%s' already",
                                 t->path);
        if (r < 0)
                return r;

        return db_exec(c, SQL_TSG_CLOSURE_INSERT,
                       DB_ARGS(DB_TEXT(t->id), DB_TEXT(t->id), DB_TEXT(t->id), DB_TEXT(t->parent)),
                       e);
}

int path_split(const char *path, char tsg[static PATH_MAX_LEN], char name[static NAME_MAX_LEN + 1],
               Error *e) {
        const char *slash = strrchr(path, '/');

        if (!slash)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'%s' names no TSG: it wants the form TSG/name, as in acme/%s",
                                 path, path);
        snprintf(tsg, PATH_MAX_LEN, "%.*s", (int) (slash - path), path);
        snprintf(name, NAME_MAX_LEN + 1, "%s", slash + 1);
        return 0;
}

bool path_is_below(const char *path, const char *ancestor) {
        size_t n = strlen(ancestor);

        return n == 0 || (strncmp(path, ancestor, n) == 0 && (path[n] == '/' || path[n] == '\0'));
}
