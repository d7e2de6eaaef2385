/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Authentications that fail are in the log, and a stranger cannot fill the disk with them: of each
 * address the first in a minute has a record of its own, and how many came after it is a record at
 * the minute's end.  Addresses beyond FAILURE_ADDRESSES are counted together. */

#include <stdbool.h>

#include "lib/error.h"
#include "lib/macro.h"
#include "service/audit/audit.h"

#define FAILURE_ADDRESSES 64
#define FAILURE_SECONDS   60

typedef struct Failures Failures;

/* Starts a thread; the log must outlive it. */
int failures_new(Failures **ret, Audit *audit, Error *e);
void failures_free(Failures *f); /* writes what was counted */
DEFINE_CLEANUP(Failures, failures_free)

/* Whether this one is the caller's to record; if not, it was counted. */
bool failures_note(Failures *f, const char *address);

#define FAILURE_KIND "authentication.refused"
