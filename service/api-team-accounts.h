/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Accounts that teams own. */

#include "service/request.h"

/* Whether the caller may do this with an account of that TSG: by a role there, or as a member of
 * the team that owns it. */
int account_allow(const Request *req, Right right, const char *id, const char *tsg, Error *e);
