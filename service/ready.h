/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether requests would succeed now: the database, the key store and the audit writer are asked,
 * by a thread of its own, so that whoever wants to know waits no longer than READY_SECONDS.  What
 * was found holds for a second: a crowd of questions costs no more than one. */

#include "lib/error.h"
#include "lib/macro.h"
#include "service/audit/audit.h"
#include "service/db/db.h"
#include "service/keystore/keystore.h"

#define READY_SECONDS 3

typedef struct Ready Ready;

/* Starts the thread; what it asks must outlive it. */
int ready_new(Ready **ret, Db *db, Keystore *keystore, Audit *audit, Error *e);
void ready_free(Ready *y);
DEFINE_CLEANUP(Ready, ready_free)

/* -CSIGN_E_SERVICE_UNAVAILABLE, -CSIGN_E_KEYSTORE_UNAVAILABLE, -CSIGN_E_AUDIT_UNAVAILABLE: which of
 * them fails, or has not answered in time. */
int ready_check(Ready *y, Error *e);
