/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Wall-clock time as the service keeps it: microseconds since 1970, UTC. */

#include <stdint.h>

#define USEC_PER_SEC ((uint64_t) 1000000)
#define USEC_PER_DAY (86400 * USEC_PER_SEC)

uint64_t clock_now(void);

/* RFC 3339: "2026-11-21T10:50:00.123456Z", or without the fraction. */
#define CLOCK_TEXT_MAX 40
char *clock_text(uint64_t usec, char buf[static CLOCK_TEXT_MAX]);
char *clock_text_seconds(uint64_t usec, char buf[static CLOCK_TEXT_MAX]);

/* The way back, from the years 1970 to 9999, with any offset; a fraction is dropped.  -EINVAL. */
int clock_parse(const char *text, uint64_t *ret);
