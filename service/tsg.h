/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The tree of tenant security groups.  Rows are found only within a scope: the TSG of the principal
 * who asks, which reaches itself and all below.  Without a row: -CSIGN_E_NOT_FOUND. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/id.h"
#include "lib/key-uri.h"
#include "service/db/db.h"

typedef struct Tsg {
        char id[ID_MAX];
        char parent[ID_MAX]; /* "" at the top */
        char name[NAME_MAX_LEN + 1];
        char path[PATH_MAX_LEN]; /* "" at the top */
        uint64_t created;
        uint64_t revision;
} Tsg;

int tsg_by_id(Db *db, const char *scope, const char *id, Tsg *ret, Error *e);
int tsg_by_path(Db *db, const char *scope, const char *path, Tsg *ret, Error *e);

/* Whether so few keys are in a TSG and below it that a listing in an order other than that of paths
 * is quicker if it begins with them. */
int tsg_has_few_keys(Db *db, const char *id, bool *ret, Error *e);

/* The top, which has no scope above it: for the service itself. */
int tsg_top(Db *db, Tsg *ret, Error *e);

#define TSG_DEPTH_MAX (PATH_DEPTH_MAX - 1) /* below the top */

/* The TSG itself and those above it, the top first, with what they say together. */
#define TSG_CHAIN_MAX (PATH_DEPTH_MAX + 1)
typedef struct TsgChain {
        size_t n;
        char ids[TSG_CHAIN_MAX][ID_MAX];
        bool separation_of_duties; /* the nearest that is set; nowhere: true */
} TsgChain;

int tsg_chain(DbConn *c, const char *id, TsgChain *ret, Error *e);
int tsg_chain_read(Db *db, const char *id, TsgChain *ret, Error *e);

/* Whether the TSG is in the chain: then what the chain ends in is the TSG or below it. */
bool tsg_chain_has(const TsgChain *chain, const char *tsg);

/* A TSG whose rows a listing shows, with all below it. */
typedef struct Root {
        const char *id, *path;
} Root;

/* The same as a range of paths, so that an index finds what the closure table then decides on: the
 * arguments of IN_ROOT in db/queries.c. */
typedef struct PathRange {
        const char *root, *after;
        char begin[PATH_MAX_LEN]; /* where to look from: the first path, or `after` */
        char path[PATH_MAX_LEN], below[PATH_MAX_LEN + 1], end[PATH_MAX_LEN + 1];
} PathRange;

#define PATH_RANGE_ARGS(r)                                                                         \
        DB_TEXT((r)->begin), DB_TEXT((r)->after), DB_TEXT((r)->end), DB_TEXT((r)->path),           \
                DB_TEXT((r)->below), DB_TEXT((r)->root)

/* What is at and below a path, after `after`. */
void path_range(const char *root, const char *path, const char *after, PathRange *ret);

/* Calls fn with up to limit TSGs, by path, beginning after `after`. */
int tsg_list(Db *db, const Root *root, const char *after, unsigned limit,
             int (*fn)(const Tsg *t, void *userdata), void *userdata, Error *e);

/* A change for an audit job.  -CSIGN_E_ALREADY_EXISTS. */
int tsg_insert(DbConn *c, const Tsg *t, Error *e);

/* Splits "acme/mobile/ci" into its TSG's path and a name; -CSIGN_E_BAD_REQUEST when it names no
 * TSG. */
int path_split(const char *path, char tsg[static PATH_MAX_LEN], char name[static NAME_MAX_LEN + 1],
               Error *e);

/* "acme/mobile" is below "acme", below "" and below itself. */
bool path_is_below(const char *path, const char *ancestor);
