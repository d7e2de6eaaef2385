/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Changes of the tree, for audit jobs.  Ids stay; the paths of all that lies below are written anew
 * in the same transaction, and the closure with them.  None is of the top, which has neither name
 * nor place. */

#include "service/tsg.h"

typedef struct TsgMove {
        Tsg before;        /* as it was when the caller's rights were looked at */
        uint64_t if_match; /* as in revision.h */
        Tsg parent;        /* the new one, or the old */
        char name[NAME_MAX_LEN + 1];
        char path[PATH_MAX_LEN]; /* set by tsg_move() */
} TsgMove;

/* Gives the TSG another name or another parent, or both.  -CSIGN_E_ALREADY_EXISTS: a TSG or key has
 * that path.  -CSIGN_E_BAD_REQUEST, rules "tree-root" (a move from one root TSG to
 * another, whose authority certifies all keys below it), "tree-cycle", "tree-depth".
 * -CSIGN_E_PRECONDITION_FAILED: the TSG or the parent was changed after it was looked at. */
int tsg_move(DbConn *c, TsgMove *m, Error *e);

/* -CSIGN_E_IN_USE, rule "tree-empty": something belongs to it. */
int tsg_delete(DbConn *c, const Tsg *t, uint64_t if_match, Error *e);
