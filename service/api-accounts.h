/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the handlers of accounts share: theirs, their keys' and their enrollments'. */

#include "service/accounts.h"
#include "service/request.h"

#define ACCOUNT_DAYS_MAX     3650
#define ACCOUNT_DAYS_DEFAULT 365

/* The account of the path's {id}, if the caller has the right in its TSG. */
int find_account(Request *req, Right right, Account *ret, Error *e);

void write_account_key(JsonOut *o, const AccountKey *k, const uint8_t *current);

/* 'validity_days', or the default for 0.  -CSIGN_E_BAD_REQUEST. */
int check_days(uint32_t *days, Error *e);
