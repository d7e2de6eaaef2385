/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What all requests share.  Everything in it is either immutable or locks inside. */

#include "service/audit/audit.h"
#include "service/authn.h"
#include "service/config.h"
#include "service/db/db.h"
#include "service/destroyer.h"
#include "service/failures.h"
#include "service/keys.h"
#include "service/keystore/keystore.h"
#include "service/last-used.h"
#include "service/rates.h"
#include "service/ready.h"

typedef struct Service {
        Config config;
        Db *db;
        Audit *audit;
        Keystore *keystore;
        Cache *key_cache, *principal_cache;
        KeyStorage keys;
        Authn authn;
        Destroyer *destroyer;
        Failures *failures;
        LastUsed *last_used;
        Ready *ready;
        Rates *rates;
} Service;

/* Takes over config, also on failure.  The database must be there: -ENOENT says to run init. */
int service_open(Service *s, Config *config, Error *e);
void service_close(Service *s);

/* A file of the state directory: "tls.key". */
int service_file(const Config *c, const char *name, char *buf, size_t size, Error *e);
