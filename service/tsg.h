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

/* The top, which has no scope above it: for the service itself. */
int tsg_top(Db *db, Tsg *ret, Error *e);

#define TSG_DEPTH_MAX (PATH_DEPTH_MAX - 1) /* below the top */

/* The TSG itself and those above it, the top first. */
#define TSG_CHAIN_MAX (PATH_DEPTH_MAX + 1)
typedef struct TsgChain {
        size_t n;
        char ids[TSG_CHAIN_MAX][ID_MAX];
} TsgChain;

int tsg_chain(DbConn *c, const char *id, TsgChain *ret, Error *e);

/* Calls fn with up to limit TSGs of the scope, by path, beginning after `after`. */
int tsg_list(Db *db, const char *scope, const char *after, unsigned limit,
             int (*fn)(const Tsg *t, void *userdata), void *userdata, Error *e);

/* A change for an audit job.  -CSIGN_E_ALREADY_EXISTS. */
int tsg_insert(DbConn *c, const Tsg *t, Error *e);

/* Splits "acme/mobile/ci" into its TSG's path and a name; -CSIGN_E_BAD_REQUEST when it names no
 * TSG. */
int path_split(const char *path, char tsg[static PATH_MAX_LEN], char name[static NAME_MAX_LEN + 1],
               Error *e);

/* "acme/mobile" is below "acme", below "" and below itself. */
bool path_is_below(const char *path, const char *ancestor);
