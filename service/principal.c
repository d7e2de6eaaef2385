/* SPDX-License-Identifier: Apache-2.0 */
/* What a principal has: its place in the tree, its teams, and its roles with those of its teams. */

#include "service/principal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/clock.h"
#include "service/db/queries.h"

static void principal_free(CacheObject *o) {
        Principal *p = container_of(o, Principal, object);

        free(p->bindings);
        free(p->teams);
        free(p->projects);
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

static int take_id(DbRow *row, char (**ids)[ID_MAX], size_t *n, size_t max) {
        void *more;

        if (*n >= max)
                return -E2BIG;
        more = reallocarray(*ids, *n + 1, sizeof(**ids));
        if (!more)
                return -ENOMEM;
        *ids = more;
        snprintf((*ids)[(*n)++], ID_MAX, "%s", db_row_text(row, 0));
        return 0;
}

static int take_team(DbRow *row, void *userdata) {
        Principal *p = userdata;

        return take_id(row, &p->teams, &p->n_teams, TEAMS_MAX);
}

static int take_project(DbRow *row, void *userdata) {
        Principal *p = userdata;

        return take_id(row, &p->projects, &p->n_projects, PROJECTS_MAX);
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
        p->expires = (uint64_t) db_row_int(row, 3);
        p->ended = strcmp(db_row_text(row, 2), "enabled") != 0 ||
                   (p->expires && p->expires <= clock_now());
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

static int read_belongings(DbConn *c, Principal *p, Error *e) {
        int r;

        r = db_query(c, SQL_TEAMS_OF, DB_ARGS(DB_TEXT(p->id)), take_team, p, e);
        if (r >= 0)
                r = db_query(c, SQL_PROJECTS_OF, DB_ARGS(DB_TEXT(p->id), DB_TEXT(p->id)),
                             take_project, p, e);
        if (r < 0 || p->n_teams == 0)
                return r;
        r = db_exec(c, SQL_OWNS_ACCOUNTS, DB_ARGS(DB_TEXT(p->id)), e);
        p->owns_accounts = r > 0;
        return r;
}

int principal_load(DbConn *c, Principal *p, Error *e) {
        int r;

        r = db_query(c, SQL_TSG_PATH, DB_ARGS(DB_TEXT(p->tsg)), take_path, p, e);
        if (r >= 0)
                r = read_belongings(c, p, e);
        if (r >= 0)
                r = db_query(c, SQL_BINDINGS_OF, DB_ARGS(DB_TEXT(p->id), DB_TEXT(p->id)),
                             take_binding, p, e);
        if (r >= 0)
                r = read_chains(c, p, e);
        if (r == -E2BIG)
                return error_set(e, r,
                                 "'%s' has more roles, teams or projects than a principal can have",
                                 p->id);
        return r < 0 ? r : 0;
}

static int take_number(DbRow *row, void *userdata) {
        *(int64_t *) userdata = db_row_int(row, 0);
        return 0;
}

static int count(DbConn *c, const char *sql, const char *id, int64_t *ret, Error *e) {
        if (sql == SQL_TEAMS_COUNT)
                return db_query(c, sql, DB_ARGS(DB_TEXT(id)), take_number, ret, e);
        return db_query(c, sql, DB_ARGS(DB_TEXT(id), DB_TEXT(id)), take_number, ret, e);
}

int principal_check_limits(DbConn *c, const char *id, Error *e) {
        static const struct {
                const char *sql, *words;
                int64_t max;
        } limits[] = {
                { SQL_BINDINGS_COUNT, "roles", BINDINGS_MAX },
                { SQL_TEAMS_COUNT, "teams", TEAMS_MAX },
                { SQL_PROJECTS_COUNT, "projects", PROJECTS_MAX },
        };

        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                int64_t n = 0;
                int r = count(c, limits[i].sql, id, &n, e);

                if (r < 0)
                        return r;
                if (n > limits[i].max)
                        return error_set(e, -CSIGN_E_TOO_LARGE,
                                         "somebody would have %lld %s, those of teams counted in; "
                                         "at most %lld",
                                         (long long) n, limits[i].words, (long long) limits[i].max);
        }
        return 0;
}

int principal_forget(DbConn *c, const char *id, Error *e) {
        static const char *const texts[] = { SQL_FORGET_ROLES, SQL_FORGET_TEAMS,
                                             SQL_FORGET_PROJECTS };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(texts); i++)
                r = db_exec(c, texts[i], DB_ARGS(DB_TEXT(id)), e);
        return r;
}
