/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The part of queries.h on who may do what. */

/* users and their API keys */
extern const char SQL_USER_INSERT[];     /* id, tsg, name, path, created */
extern const char SQL_USER_BY_ID[];      /* id; id, tsg, name, path, state, created, revision */
extern const char SQL_USER_LIST[];       /* path range, limit; the same */
extern const char SQL_USER_TOUCH[];      /* id, revision or 0 */
extern const char SQL_USER_SET_STATE[];  /* state, id */
extern const char SQL_USER_DELETE[];     /* id */
extern const char SQL_API_KEY_INSERT[];  /* id, user, hash, name, tsg, purpose, created, expires */
extern const char SQL_API_KEYS[];        /* user; id, user, name, tsg, its path, purpose, created,
                                            expires, last used */
extern const char SQL_API_KEY_BY_ID[];   /* user, id; the same */
extern const char SQL_API_KEY_USED[];    /* when, id, when */
extern const char SQL_API_KEY_DELETE[];  /* id */
extern const char SQL_API_KEYS_DROP[];   /* user */
extern const char SQL_USER_BY_API_KEY[]; /* hash; user id, path, home TSG, TSG it is limited to,
                                            expires, purpose, API key's id, last used */

/* roles, and who has them.  Columns of a role: id, tsg, name, path, pages, created, revision; of a
 * binding: id, role, principal, tsg, its path, created, revision */
extern const char SQL_BINDINGS_OF[]; /* principal, principal; id, role, principal or its team, tsg,
                                        its path, a custom role's pages */
extern const char SQL_USER_HOME[], SQL_ACCOUNT_HOME[],
        SQL_TEAM_HOME[]; /* id; tsg, path, state, expires */
extern const char SQL_FORGET_ROLES[], SQL_FORGET_TEAMS[], SQL_FORGET_PROJECTS[]; /* principal */
extern const char SQL_PRINCIPALS_ABOVE[]; /* TSG, TSG, after, limit; id */
extern const char SQL_TEAMS_COUNT[];      /* member */
extern const char SQL_PROJECTS_COUNT[];   /* principal, principal */
extern const char SQL_PROJECTS_OF[];      /* principal, principal; project */
extern const char SQL_OWNS_ACCOUNTS[];    /* member */
extern const char SQL_TEAMS_OF[];         /* member; team */
extern const char SQL_ROLE_INSERT[];      /* id, tsg, name, path, pages, created */
extern const char SQL_ROLE_BY_ID[];       /* id */
extern const char SQL_ROLE_LIST[];        /* PATH_RANGE_ARGS, limit */
extern const char SQL_ROLE_TOUCH[];
extern const char SQL_ROLE_UPDATE[];     /* pages, id */
extern const char SQL_ROLE_IS_BOUND[];   /* id; a row or none */
extern const char SQL_ROLE_DELETE[];     /* id */
extern const char SQL_BINDING_INSERT[];  /* id, role, principal, tsg, created */
extern const char SQL_BINDING_BY_ID[];   /* id */
extern const char SQL_BINDING_LIST[];    /* first path, path to end before, subtree, the same with
                                            "/", TSG, path and id that the page before ended with,
                                            limit */
extern const char SQL_BINDING_LIST_OF[]; /* principal */
extern const char SQL_BINDING_TOUCH[];
extern const char SQL_BINDING_DELETE[]; /* id */
extern const char SQL_BINDINGS_COUNT[]; /* principal, principal; the most that one then has */
extern const char SQL_OWNER_EXISTS[];   /* role, now; a row or none */

/* teams and projects, whose statements are alike: service/groups.h has them by kind */
#define GROUP_DECLARATIONS(NAME)                                                                   \
        extern const char SQL_##NAME##_INSERT[];   /* id, tsg, name, path, description, created */ \
        extern const char SQL_##NAME##_BY_ID[];    /* id; the same and revision */                 \
        extern const char SQL_##NAME##_LIST[];     /* path range, limit; the same */               \
        extern const char SQL_##NAME##_TOUCH[];    /* id, revision or 0 */                         \
        extern const char SQL_##NAME##_DESCRIBE[]; /* description, id */                           \
        extern const char SQL_##NAME##_DELETE[];   /* id */                                        \
        extern const char SQL_##NAME##_IN_USE[];   /* id */                                        \
        extern const char SQL_##NAME##_MEMBER_INSERT[]; /* group, member */                        \
        extern const char SQL_##NAME##_MEMBER_DELETE[]; /* group, member */                        \
        extern const char SQL_##NAME##_MEMBER_LIST[];   /* group, after, limit; member, path */    \
        extern const char SQL_##NAME##_MEMBERS_DROP[]   /* group */

GROUP_DECLARATIONS(TEAM);
GROUP_DECLARATIONS(PROJECT);
