/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the handlers of users and of their API keys share. */

#include "service/request.h"
#include "service/users.h"

/* The user of the path's first id; RIGHT_SELF: that the caller is, or may see.
 * -CSIGN_E_NOT_FOUND. */
int user_find(Request *req, Right right, User *ret, Error *e);

/* In a transaction: whether p holds all that the user's roles give by then. */
int user_check_over(const Principal *p, DbConn *c, const char *id, Error *e);
