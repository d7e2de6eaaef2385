/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Custom roles, and who has which role where.  A role can be used in the TSG that defines it and
 * below; the built-in ones (rights.h) everywhere. */

#include <stdint.h>

#include "lib/id.h"
#include "lib/key-uri.h"
#include "service/principal.h"
#include "service/rights.h"
#include "service/tsg.h"

typedef struct Role {
        char id[ID_MAX]; /* of a built-in one: its name */
        char tsg[ID_MAX];
        char name[NAME_MAX_LEN + 1];
        char path[PATH_MAX_LEN];
        Rights rights;
        uint64_t created, revision;
} Role;

typedef struct RoleBinding {
        char id[ID_MAX];
        char role[ID_MAX];
        char principal[ID_MAX];
        char tsg[ID_MAX];
        char path[PATH_MAX_LEN]; /* of the TSG */
        uint64_t created, revision;
} RoleBinding;

/* -CSIGN_E_NOT_FOUND.  These do not decide whether the caller may see it. */
int role_by_id(DbConn *c, const char *id, Role *ret, Error *e);
int role_list(Db *db, const Root *root, const char *after, unsigned limit,
              int (*fn)(const Role *role, void *userdata), void *userdata, Error *e);

int role_binding_by_id(DbConn *c, const char *id, RoleBinding *ret, Error *e);

/* By TSG and id; `after` is the TSG's path, "/" and the id that the page before ended with. */
int role_binding_list(Db *db, const Root *root, const char *after, unsigned limit,
                      int (*fn)(const RoleBinding *b, void *userdata), void *userdata, Error *e);

/* All that one principal has, without those of its teams. */
int role_binding_list_of(DbConn *c, const char *principal,
                         int (*fn)(const RoleBinding *b, void *userdata), void *userdata, Error *e);

/* ---- changes, for audit jobs ---- */

int role_insert(DbConn *c, const Role *role, Error *e); /* -CSIGN_E_ALREADY_EXISTS */
int role_update(DbConn *c, const Role *role, Error *e); /* its rights */
int role_delete(DbConn *c, const char *id, Error *e);   /* -CSIGN_E_IN_USE */

/* -CSIGN_E_ALREADY_EXISTS, and -CSIGN_E_TOO_LARGE when somebody would have more than BINDINGS_MAX.
 */
int role_binding_insert(DbConn *c, const RoleBinding *b, Error *e);
/* -CSIGN_E_IN_USE with rule "last-owner". */
int role_binding_delete(DbConn *c, const char *id, Error *e);

/* After a change that could have taken it: somebody must be left who owns the top, or nobody could
 * give roles any more.  -CSIGN_E_IN_USE with rule "last-owner". */
int role_check_last_owner(DbConn *c, Error *e);
