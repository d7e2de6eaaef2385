/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A service's database in a folder of its own, with a small tree of TSGs:
 *
 *     "" (top) - acme - acme/mobile - acme/mobile/ios
 *              |      ` acme/web
 *              ` other
 */

#include "service/audit/audit.h"
#include "service/db/db.h"
#include "service/tsg.h"

typedef struct State {
        char folder[64];
        Db *db;
        Audit *audit;
        Tsg top, acme, mobile, ios, web, other;
} State;

int state_setup(void **state); /* for cmocka_unit_test_setup_teardown() */
int state_teardown(void **state);

/* The folder alone, without a database. */
int folder_setup(void **state);
int folder_teardown(void **state);
