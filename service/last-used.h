/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* When API keys were last used, to the minute: told by requests, written beside them by a thread,
 * at most once a minute for each. */

#include <stdint.h>

#include "service/audit/audit.h"
#include "service/principal.h"

typedef struct LastUsed LastUsed;

/* audit must outlive it. */
int last_used_start(LastUsed **ret, Audit *audit, Error *e);
void last_used_stop(LastUsed *l); /* NULL is fine */

/* p was authenticated by its API key just now.  Never waits for the database.  When more are new
 * than there is room for, some are only written with their next use. */
void last_used_note(LastUsed *l, Principal *p, uint64_t now);
