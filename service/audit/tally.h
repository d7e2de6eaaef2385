/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How often a key was used by whom, and how often that was refused, day by day (UTC).  The audit
 * writer counts the records of a transaction here, and writes the sums with it. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/id.h"
#include "service/db/db.h"

#define TALLY_MAX 64

typedef struct Tally {
        struct {
                char key_id[ID_MAX], principal[ID_MAX];
                uint64_t day, signatures, refused;
        } sums[TALLY_MAX];
        size_t n;
} Tally;

/* Writes the sums when there is no room for another. */
int tally_add(Tally *t, DbConn *c, const char *key_id, const char *principal, uint64_t time,
              bool signed_it, Error *e);

/* Writes the sums, and empties it. */
int tally_write(Tally *t, DbConn *c, Error *e);
