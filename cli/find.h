/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Rows of the service that a person names by a path. */

#include "cli/ask-service.h"

/* What can be found so. */
typedef struct Kind {
        const char *word, *url, *array, *prefix; /* "team", "/v1/teams", "teams"; of ids */
} Kind;

extern const Kind kind_user, kind_team, kind_project, kind_role, kind_account;

/* The id of what an id or path names.  -CSIGN_E_NOT_FOUND. */
int find_id(Admin *a, const Kind *kind, const char *name, Buf *ret, Error *e);

/* The same of an account, user or team. */
int find_principal(Admin *a, const char *name, Buf *ret, Error *e);
