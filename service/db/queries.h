/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Every SQL text of the service.  A constant's address is the key of the statement caches.
 *
 * Times are microseconds since 1970; ids are lib/id.h's; hashes are 32 bytes.  What is read on
 * behalf of a principal takes the principal's TSG as `scope` and joins tsg_closure with it: a row
 * out of scope is no row.
 *
 * SQL_*_TOUCH count a change of a row, for revision_bump(): id, the revision wanted or 0 */

#include "service/db/queries-access.h"

/* transactions */
extern const char SQL_SAVEPOINT[], SQL_SAVEPOINT_KEEP[], SQL_SAVEPOINT_UNDO[];

/* schema */
extern const char SQL_SCHEMA_TABLE[], SQL_SCHEMA_VERSION[], SQL_SCHEMA_SET_VERSION[];

/* TSGs.  Columns: id, parent, name, path, created, revision */
extern const char SQL_TSG_INSERT[];         /* id, parent, name, path, created */
extern const char SQL_TSG_CLOSURE_INSERT[]; /* id, id, id, parent */
extern const char SQL_TSG_BY_ID[];          /* scope, id */
extern const char SQL_TSG_BY_PATH[];        /* scope, path */
extern const char SQL_TSG_TOP[];            /* nothing */
extern const char SQL_TSG_LIST[];           /* PATH_RANGE_ARGS, limit */
extern const char SQL_TSG_SETTINGS[];       /* id; separation_of_duties, revision */
extern const char SQL_TSG_SET_DUTIES[];     /* on, off or NULL, id */
extern const char SQL_TSG_PATH[];           /* id; path */
extern const char SQL_TSG_ANCESTORS[]; /* id; ancestors' id, path, separation_of_duties, the top
                                          first */

/* changes of the tree.  *_PATHS_BELOW: the new path, which character the rest begins with, id */
extern const char SQL_TSG_TOUCH[];
extern const char SQL_TSG_AT_REVISION[]; /* id, revision; a row if it is so */
extern const char SQL_TSG_DEPTH_BELOW[]; /* id; how deep the tree below it is */
extern const char SQL_TSG_PLACE[];       /* parent, name, path, id */
extern const char SQL_TSG_PATHS_BELOW[], SQL_KEY_PATHS_BELOW[], SQL_ACCOUNT_PATHS_BELOW[],
        SQL_USER_PATHS_BELOW[], SQL_ROLE_PATHS_BELOW[], SQL_TEAM_PATHS_BELOW[],
        SQL_PROJECT_PATHS_BELOW[];
extern const char SQL_TSG_CLOSURE_CUT[];  /* id, id */
extern const char SQL_TSG_CLOSURE_JOIN[]; /* parent, id */
/* id; a row if the TSG has one */
extern const char SQL_TSG_HAS_TSG[], SQL_TSG_HAS_KEY[], SQL_TSG_HAS_ACCOUNT[], SQL_TSG_HAS_USER[],
        SQL_TSG_HAS_TEAM[], SQL_TSG_HAS_PROJECT[], SQL_TSG_HAS_ROLE[], SQL_TSG_HAS_BINDING[],
        SQL_TSG_HAS_API_KEY[];
extern const char
        SQL_TSG_KEYS_COUNT[]; /* id, limit; how many keys in it and below, at most limit */
extern const char SQL_TSG_CLOSURE_DELETE[], SQL_AUTHORITY_DELETE[], SQL_TSG_DELETE[]; /* id */

/* accounts.  Columns: id, tsg, name, path, state, created, expires, revision, networks, last used
 * INSERT: id, tsg, name, path, created, expires, networks.  BY_ID: scope, id.  LIST:
 * PATH_RANGE_ARGS, limit.  CHANGE: state, expires, networks, id; NULL: as it is.  DELETE: id.
 * LOGIN: account, thumbprint; spki, state, expires, path, tsg, networks, key's expires.  USED:
 * when, id or thumbprint PRINCIPAL_...: account */
extern const char SQL_ACCOUNT_INSERT[], SQL_ACCOUNT_BY_ID[], SQL_ACCOUNT_LIST[],
        SQL_ACCOUNT_TOUCH[], SQL_ACCOUNT_DELETE[], SQL_ACCOUNT_CHANGE[], SQL_ACCOUNT_USED[],
        SQL_ACCOUNT_KEY_USED[], SQL_ACCOUNT_LOGIN[];
extern const char SQL_ACCOUNT_OWNER[];     /* id; team */
extern const char SQL_ACCOUNT_SET_OWNER[]; /* team, id */
extern const char SQL_TEAM_ACCOUNTS[];     /* team, after; id, path, state, tsg */

/* keys of accounts.  Columns: id, thumbprint, algorithm, created, expires, last used
 * INSERT: id, account, thumbprint, spki, algorithm, created, expires.  END: when, account, id, when
 * DELETE: account, id.  EXPIRE: account, now.  The others: account */
extern const char SQL_ACCOUNT_KEY_INSERT[], SQL_ACCOUNT_KEY_END[], SQL_ACCOUNT_KEY_DELETE[],
        SQL_ACCOUNT_KEYS_EXPIRE[], SQL_ACCOUNT_KEYS[], SQL_ACCOUNT_KEYS_COUNT[],
        SQL_ACCOUNT_KEYS_DROP[];

/* enrollments: their values are in service/enrollments.c */
extern const char SQL_ENROLLMENT_INSERT[], SQL_ENROLLMENT_LIST[], SQL_ENROLLMENT_FIND[],
        SQL_ENROLLMENT_USE[], SQL_ENROLLMENT_GUESSED[], SQL_ENROLLMENT_DELETE[],
        SQL_ENROLLMENT_EXPIRE[], SQL_ENROLLMENT_DROP[], SQL_ENROLLMENT_COUNT[];

/* tokens, and assertions that were used */
extern const char SQL_TOKEN_INSERT[];   /* hash, account, thumbprint, issued, expires */
extern const char SQL_TOKEN_BY_HASH[];  /* hash; account id, path, tsg, thumbprint, expires, state,
                                           account's expires, key's expires,
                                           networks */
extern const char SQL_TOKEN_EXPIRE[];   /* now */
extern const char SQL_TOKEN_DROP[];     /* account */
extern const char SQL_TOKEN_DROP_KEY[]; /* account, account, key's id */
extern const char SQL_ASSERTION_INSERT[]; /* account, jti, expires */
extern const char SQL_ASSERTION_EXPIRE[]; /* now */
extern const char SQL_ASSERTION_DROP[];   /* account */

/* keys.  Columns: see the constant KEY_COLUMNS in queries.c */
extern const char SQL_KEY_INSERT[]; /* id, tsg, name, path, algorithm, description, created, not
                                       before, not after, made schemes, schemes, hashes, per hour,
                                       per day */
extern const char SQL_KEY_VERSION_INSERT[]; /* key, version, spki, sealed, created */
extern const char SQL_KEY_BY_ID[];          /* version or 0, id */
extern const char SQL_KEY_BY_PATH[];        /* version or 0, path */
extern const char SQL_KEY_LIST[];           /* PATH_RANGE_ARGS, limit */
extern const char SQL_KEY_LIST_BY_STATE[];  /* ... state, ends from, ends to, limit */
extern const char SQL_KEY_LIST_BY_LABEL[];  /* ... name, value, limit */
extern const char SQL_KEY_VERSIONS[];       /* id, below version, limit */
extern const char SQL_KEY_TOUCH[];
extern const char SQL_KEY_UPDATE[]; /* state, description, not before, not after, schemes, hashes,
                                       per hour, per day, id */
extern const char SQL_KEY_MOVE[];   /* tsg, name, tsg, name, id */
extern const char SQL_KEY_JOIN[];   /* project, id */
extern const char SQL_KEY_LEAVE[];  /* project */
extern const char SQL_KEY_SET_PRIMARY[];       /* version, id, version that it was */
extern const char SQL_KEY_VERSION_SET_STATE[]; /* state, key, version */
extern const char SQL_KEY_LABELS[];            /* path; name, value */
extern const char SQL_KEY_LABEL_SET[];         /* path, name, value */
extern const char SQL_KEY_LABEL_DROP[];        /* path, name */
extern const char SQL_KEY_DESTROY_AT[];        /* when, id */
extern const char SQL_KEY_KEEP[];              /* id */
extern const char SQL_KEY_DUE[];               /* now; id, path */
extern const char SQL_KEY_DESTROY[];           /* now, id, now */
extern const char SQL_KEY_ERASE[];             /* nothing, as a blob; key */
extern const char SQL_PATH_TAKEN_BY_KEY[];     /* path */
extern const char SQL_PATH_TAKEN_BY_TSG[];     /* path */

/* certificates.  Columns: see the constant CERTIFICATE_COLUMNS in queries.c.  A page is: after not
 * after, after id, limit */
extern const char SQL_CERTIFICATE_INSERT[];    /* id, key, version, authority or NULL, serial, not
                                                  before, not after, der, chain or NULL, created */
extern const char SQL_CERTIFICATE_SUPERSEDE[]; /* key, version */
extern const char SQL_CERTIFICATES[]; /* key, version; the current one: certificate, those above,
                                         not after, revoked, the built-in root */
extern const char SQL_CERTIFICATE_BY_ID[];         /* scope, id */
extern const char SQL_CERTIFICATE_LIST[];          /* scope, page */
extern const char SQL_CERTIFICATE_LIST_BY_KEY[];   /* scope, key, page */
extern const char SQL_CERTIFICATE_LIST_EXPIRING[]; /* scope, not after, page */
/* the same for scopes with few keys (SQL_TSG_KEYS_COUNT) */
extern const char SQL_CERTIFICATE_LIST_OF_FEW[], SQL_CERTIFICATE_LIST_EXPIRING_OF_FEW[];
extern const char SQL_CERTIFICATE_COUNT_EXPIRING[]; /* four times, and the latest of them again;
                                                       four counts */
extern const char SQL_CERTIFICATE_REVOKE[]; /* time, reason, id; changes nothing a second time */
extern const char SQL_CERTIFICATE_TOUCH[];
extern const char SQL_CERTIFICATE_REVOKED[]; /* authority; serial, time, reason */

/* authorities.  Columns: see the constant AUTHORITY_COLUMNS in queries.c */
extern const char SQL_AUTHORITY_INSERT[];  /* id, tsg, kind, issuer or NULL, subject, spki, sealed,
                                              certificate, created */
extern const char SQL_AUTHORITY_BY_ID[];   /* id */
extern const char SQL_AUTHORITY_ISSUING[]; /* tsg; its newest that issues */
extern const char SQL_AUTHORITY_LIST[];    /* tsg, limit; the newest first, a root before what it
                                              issued */
extern const char SQL_AUTHORITY_SET_POLICY[]; /* organization, country, alternative name, extended
                                                 key usage, id */
extern const char SQL_AUTHORITY_TOUCH[];
extern const char SQL_AUTHORITY_CRL[];       /* id; list, number, when to renew it */
extern const char SQL_AUTHORITY_SET_CRL[];   /* list, when to renew it, id, number that it was */
extern const char SQL_AUTHORITY_STALE_CRL[]; /* id */

/* what is sealed.  _LIST: the id and version to begin behind, the KEK's id to leave out, limit; id,
 * version, blob.  _RESEAL: new blob, id, version, old blob */
extern const char SQL_KEK_COUNT[]; /* KEK's id, blobs */
extern const char SQL_SEALED_KEY_LIST[];
extern const char SQL_SEALED_KEY_RESEAL[];
extern const char SQL_SEALED_AUTHORITY_LIST[];
extern const char SQL_SEALED_AUTHORITY_RESEAL[];

/* the audit log */
extern const char SQL_AUDIT_INSERT[]; /* number, previous, hash, entry, key, request id, principal,
                                         tsg, kind, result, time */
extern const char SQL_AUDIT_HEAD[];   /* number, hash */
extern const char SQL_AUDIT_FROM[], SQL_AUDIT_TO[]; /* time; the first number from it on, the last
                                                       before it */
/* key, principal, kind, result or NULL; a result that it is not; from, to; "all" or "" and a scope;
 * what the name says; after, up to, limit.  Gives number, whether it passes, previous, hash, entry
 */
extern const char SQL_AUDIT_LIST[], SQL_AUDIT_LIST_BY_KEY[], SQL_AUDIT_LIST_BY_PRINCIPAL[],
        SQL_AUDIT_LIST_BY_REQUEST[];

extern const char SQL_READY_SET[]; /* time: a write to see whether one succeeds */

/* use of keys by day */
extern const char SQL_USE_ADD[];  /* key, principal, day, signatures, refused */
extern const char SQL_USE_LIST[]; /* scope; after key, principal, day; up to key; principal or NULL;
                                     from day, to day; limit.  Gives key, its path, principal, its
                                     path, day, signatures, refused */
extern const char SQL_USE_LIST_OF_FEW[]; /* the same for scopes with few keys */

/* signatures of keys with a limit.  hour and day: numbers of them since 1970 */
extern const char SQL_USAGE_TAKE[]; /* key, hour, day, per hour, per day; changes nothing if one
                                       more would be too many */
extern const char SQL_USAGE[];      /* key; hour, in it, day, in it */

/* answers that are kept for who asks again */
extern const char SQL_IDEMPOTENCY_INSERT[]; /* record, principal, key, request, status, answer,
                                               expires; changes nothing if the key was used */
extern const char SQL_IDEMPOTENCY_FIND[];   /* principal, key; request, record, status, answer,
                                               record's hash, record's request id */
extern const char SQL_IDEMPOTENCY_EXPIRE[]; /* how many of the oldest to look at, now */
extern const char SQL_IDEMPOTENCY_OLDEST[]; /* expires */
extern const char SQL_IDEMPOTENCY_DROP[];   /* record */
