/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who is calling: immutable, counted, and cached by authn.c, with all that decisions ask of it. */

#include <stdatomic.h>

#include "lib/id.h"
#include "lib/key-uri.h"
#include "service/cache.h"
#include "service/db/db.h"
#include "service/digest.h"
#include "service/networks.h"
#include "service/rights.h"
#include "service/tsg.h"

typedef enum PrincipalType { PRINCIPAL_ACCOUNT, PRINCIPAL_USER, PRINCIPAL_TEAM } PrincipalType;

/* A role on a TSG, inherited below. */
typedef struct Binding {
        char id[ID_MAX];
        char role[ID_MAX];       /* a built-in one's name, or a custom one's id */
        char principal[ID_MAX];  /* who has it: the principal itself, or a team of its */
        char path[PATH_MAX_LEN]; /* of the TSG */
        TsgChain tsg;            /* the TSG and those above */
        Rights rights;
} Binding;

/* Roles and projects that one principal can have, its teams' counted in, and teams that it can be
 * in.  Granting enforces it. */
#define BINDINGS_MAX 64
#define TEAMS_MAX    32
#define PROJECTS_MAX 256

typedef struct Principal {
        CacheObject object;
        PrincipalType type;
        char id[ID_MAX];
        char name[PATH_MAX_LEN]; /* a user's name, an account's path */

        char home[ID_MAX]; /* the TSG that it belongs to */

        /* The scope: its home, or the TSG below it that its API key is limited to. */
        char tsg[ID_MAX];
        char tsg_path[PATH_MAX_LEN];
        TsgChain above; /* that TSG and those above */

        bool may_sign, may_administer; /* what its API key is for */
        Binding *bindings;
        size_t n_bindings;
        char (*teams)[ID_MAX];
        size_t n_teams;
        bool owns_accounts;       /* one of the teams does */
        char (*projects)[ID_MAX]; /* of which it is an authorized signer; sorted */
        size_t n_projects;

        uint8_t thumbprint[SHA256_SIZE]; /* accounts: of the TLS client key that the token is bound
                                            to */
        uint64_t expires;                /* of the token or API key; 0: never */
        Networks networks;               /* accounts: where the token may be used */

        char api_key[ID_MAX]; /* users: what they came with */
        atomic_uint_fast64_t api_key_used;

        /* Of principal_by_id() alone, since nobody else gets in: it is disabled, or has expired. */
        bool ended;
} Principal;

Principal *principal_new(PrincipalType type); /* NULL: no memory */

/* After id and tsg: fills in tsg_path, above, teams and bindings. */
int principal_load(DbConn *c, Principal *p, Error *e);

/* Any account, user or team, as it would be if it called.  -CSIGN_E_NOT_FOUND. */
int principal_by_id(DbConn *c, const char *id, Principal **ret, Error *e);

/* In an audit job, after what gives it more: -CSIGN_E_TOO_LARGE. */
int principal_check_limits(DbConn *c, const char *id, Error *e);

/* A change for an audit job: it has no roles, and is in no team and no project any more. */
int principal_forget(DbConn *c, const char *id, Error *e);

static inline const char *principal_type_name(const Principal *p) {
        static const char *const names[] = { "account", "user", "team" };

        return names[p->type];
}

static inline void principal_unref(Principal *p) {
        if (p)
                cache_object_unref(&p->object);
}
DEFINE_CLEANUP(Principal, principal_unref)
