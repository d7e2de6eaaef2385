/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The daemons' log: one line a fact on stderr, with fields behind the words.  Where stderr is the
 * journal, they are fields of the entry too: REQUEST_ID as it is, each other NAME as CSIGN_NAME.
 * lib never logs; provider and pkcs11 never do.  A failure is logged once, where the request ends.
 */

#include "lib/error.h"

enum { LOG_ERROR = 3, LOG_WARNING = 4, LOG_NOTICE = 5, LOG_DETAIL = 6, LOG_TRACE = 7 };

void log_open(const char *program, int level); /* lines above the level are dropped */
int log_level_by_name(const char *name);       /* "error" … "trace"; -EINVAL */

/* log_line(LOG_NOTICE, "signed", "REQUEST_ID", id, "KEY", key, NULL): pairs of strings, then NULL;
 * a pair whose value is NULL or "" is left out.  Control characters are escaped. */
void log_line(int level, const char *message, ...) __attribute__((sentinel));

/* With an Error's detail, rule and request id as fields. */
void log_failure(int level, const char *message, const Error *e);
