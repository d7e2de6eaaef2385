/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Teams, which have members, and projects, which have signers: the same rows twice. */

#include <stdint.h>

#include "lib/id.h"
#include "lib/key-uri.h"
#include "service/db/db.h"
#include "service/rights.h"
#include "service/tsg.h"

#define GROUP_DESCRIPTION_MAX 1024

typedef struct GroupKind {
        const char *name, *plural, *prefix; /* "team", "teams"; of ids */
        const char *member, *members;       /* "signer", "signers" */
        Right view, write;
        bool of_teams; /* a team can be a member */
        const char *in_use, *in_use_rule, *in_use_words;
        /* SQL; db/queries.h says what each takes. */
        const char *insert, *by_id, *list, *touch, *describe, *remove;
        const char *member_insert, *member_remove, *member_list, *members_drop;
} GroupKind;

extern const GroupKind group_team, group_project;

typedef struct Group {
        char id[ID_MAX];
        char tsg[ID_MAX];
        char name[NAME_MAX_LEN + 1];
        char path[PATH_MAX_LEN];
        const char *description; /* of a listed or read one: as long as the row */
        uint64_t created, revision;
} Group;

typedef int (*GroupFn)(const Group *g, void *userdata);
typedef int (*GroupMemberFn)(const char *id, const char *path, void *userdata);

/* -CSIGN_E_NOT_FOUND.  These do not decide whether the caller may see it. */
int group_by_id(DbConn *c, const GroupKind *kind, const char *id, GroupFn fn, void *userdata,
                Error *e);
int group_list(Db *db, const GroupKind *kind, const Root *root, const char *after, unsigned limit,
               GroupFn fn, void *userdata, Error *e);
int group_members(Db *db, const GroupKind *kind, const char *id, const char *after, unsigned limit,
                  GroupMemberFn fn, void *userdata, Error *e);

/* ---- changes, for audit jobs ---- */

int group_insert(DbConn *c, const GroupKind *kind, const Group *g,
                 Error *e); /* -CSIGN_E_ALREADY_EXISTS */
int group_describe(DbConn *c, const GroupKind *kind, const char *id, const char *description,
                   Error *e);
/* With its members.  -CSIGN_E_IN_USE. */
int group_delete(DbConn *c, const GroupKind *kind, const char *id, Error *e);

/* -CSIGN_E_ALREADY_EXISTS, and -CSIGN_E_TOO_LARGE: somebody would have too much (principal.h). */
int group_member_insert(DbConn *c, const GroupKind *kind, const char *id, const char *member,
                        Error *e);
/* -CSIGN_E_NOT_FOUND, and -CSIGN_E_IN_USE with rule "last-owner". */
int group_member_delete(DbConn *c, const GroupKind *kind, const char *id, const char *member,
                        Error *e);
