/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The thread that destroys keys whose time has come: the sealed blobs of all their versions are
 * written over, in the database and in its log, the key store forgets what it has opened of them,
 * and that is recorded.  The row stays. */

#include "service/audit/audit.h"
#include "service/cache.h"
#include "service/db/db.h"
#include "service/keystore/keystore.h"

typedef struct Destroyer Destroyer;

/* What it is given must outlive it; keys is emptied after each destruction. */
int destroyer_start(Destroyer **ret, Db *db, Audit *audit, Keystore *ks, Cache *keys, Error *e);
void destroyer_stop(Destroyer *d); /* NULL is fine */
