/* SPDX-License-Identifier: Apache-2.0 */
/* What a principal has: its place in the tree, its teams, and its roles with those of its teams. */

#include "service/principal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/db/queries.h"

static void principal_free(CacheObject *o) {
        Principal *p = container_of(o, Principal, object);

        free(p->bindings);
        free(p->teams);
        free(p);
}

Principal *principal_new(PrincipalType type) {
        Principal *p = calloc(1, sizeof(*p));

        if (!p)
                return NULL;
        cache_object_init(&p->object, principal_free);
        p->type = type;
        p->may_sign = p->may_administer = true;
        return p;
}

static int take_team(DbRow *row, void *userdata) {
        Principal *p = userdata;
        void *teams;

        if (p->n_teams >= TEAMS_MAX)
                return -E2BIG;
        teams = reallocarray(p->teams, p->n_teams + 1, sizeof(*p->teams));
        if (!teams)
                return -ENOMEM;
        p->teams = teams;
        snprintf(p->teams[p->n_teams++], ID_MAX, "%s", db_row_text(row, 0));
        return 0;
}

/* Columns of SQL_BINDINGS_OF.  A role that is not known (any more) gives nothing. */
static int take_binding(DbRow *row, void *userdata) {
        const BuiltinRole *builtin = role_builtin(db_row_text(row, 1));
        Principal *p = userdata;
        Binding *b;

        if (p->n_bindings >= BINDINGS_MAX)
                return -E2BIG;
        b = reallocarray(p->bindings, p->n_bindings + 1, sizeof(*b));
        if (!b)
                return -ENOMEM;
        p->bindings = b;
        b = &p->bindings[p->n_bindings++];

        *b = (Binding){};
        snprintf(b->id, sizeof(b->id), "%s", db_row_text(row, 0));
        snprintf(b->role, sizeof(b->role), "%s", db_row_text(row, 1));
        snprintf(b->principal, sizeof(b->principal), "%s", db_row_text(row, 2));
        snprintf(b->path, sizeof(b->path), "%s", db_row_text(row, 4));
        /* The chain is read when this query has ended; until then its last is the TSG alone. */
        snprintf(b->tsg.ids[0], ID_MAX, "%s", db_row_text(row, 3));
        if (builtin)
                b->rights = builtin->rights;
        else
                (void) rights_parse(db_row_text(row, 5), &b->rights, NULL);
        return 0;
}

static int read_chains(DbConn *c, Principal *p, Error *e) {
        char tsg[ID_MAX];
        int r;

        for (size_t i = 0; i < p->n_bindings; i++) {
                Binding *b = &p->bindings[i];

                memcpy(tsg, b->tsg.ids[0], sizeof(tsg));
                r = tsg_chain(c, tsg, &b->tsg, e);
                if (r < 0)
                        return r;
        }
        return tsg_chain(c, p->tsg, &p->above, e);
}

static int take_home(DbRow *row, void *userdata) {
        Principal *p = userdata;

        snprintf(p->home, sizeof(p->home), "%s", db_row_text(row, 0));
        snprintf(p->tsg, sizeof(p->tsg), "%s", db_row_text(row, 0));
        snprintf(p->name, sizeof(p->name), "%s", db_row_text(row, 1));
        return 0;
}

int principal_by_id(DbConn *c, const char *id, Principal **ret, Error *e) {
        static const struct {
                const char *prefix, *sql;
        } types[] = {
                [PRINCIPAL_ACCOUNT] = { "acc", SQL_ACCOUNT_HOME },
                [PRINCIPAL_USER] = { "usr", SQL_USER_HOME },
                [PRINCIPAL_TEAM] = { "team", SQL_TEAM_HOME },
        };
        _cleanup_(principal_unrefp) Principal *p = NULL;
        size_t type = 0;
        int r;

        while (type < ELEMENTSOF(types) && !id_is_valid(id, types[type].prefix))
                type++;
        if (type == ELEMENTSOF(types))
                return error_set_rule(e, -CSIGN_E_NOT_FOUND, "scope",
                                      "'%.39s' is not an id of an account, user or team", id);
        p = principal_new((PrincipalType) type);
        if (!p)
                return -ENOMEM;

        snprintf(p->id, sizeof(p->id), "%s", id);
        r = db_query(c, types[type].sql, DB_ARGS(DB_TEXT(id)), take_home, p, e);
        if (r == 0)
                return error_set_rule(e, -CSIGN_E_NOT_FOUND, "scope", "there is no such %s",
                                      principal_type_name(p));
        if (r >= 0)
                r = principal_load(c, p, e);
        if (r < 0)
                return r;
        *ret = TAKE(p);
        return 0;
}

static int take_path(DbRow *row, void *userdata) {
        Principal *p = userdata;

        snprintf(p->tsg_path, sizeof(p->tsg_path), "%s", db_row_text(row, 0));
        return 0;
}

int principal_load(DbConn *c, Principal *p, Error *e) {
        int r;

        r = db_query(c, SQL_TSG_PATH, DB_ARGS(DB_TEXT(p->tsg)), take_path, p, e);
        if (r >= 0)
                r = db_query(c, SQL_TEAMS_OF, DB_ARGS(DB_TEXT(p->id)), take_team, p, e);
        if (r >= 0)
                r = db_query(c, SQL_BINDINGS_OF, DB_ARGS(DB_TEXT(p->id), DB_TEXT(p->id)),
                             take_binding, p, e);
        if (r >= 0)
                r = read_chains(c, p, e);
        if (r == -E2BIG)
                return error_set(e, r, "'%s' has more roles or teams than a principal can have",
                                 p->id);
        return r < 0 ? r : 0;
}
