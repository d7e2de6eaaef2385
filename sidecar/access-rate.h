/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* "100/minute": how often each user may do what a rule allows.  A bucket of that size for each uid
 * fills evenly, so that what was used comes back one by one. */

#include <stdint.h>
#include <sys/types.h>

#include "lib/error.h"

typedef struct RateLimit RateLimit;

/* "N/second", "/minute", "/hour" or "/day", N from 1 to 1000000. */
int rate_limit_parse(const char *text, RateLimit **ret, Error *e);
void rate_limit_free(RateLimit *l);

/* Uses one up.  0, or the microseconds until there is one again.  Any thread. */
uint64_t rate_limit_take(RateLimit *l, uid_t uid, uint64_t now_usec);

const char *rate_limit_text(const RateLimit *l); /* as it was written */
