/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Times that only go forward, also while the machine sleeps: a token's life does not stop then. */

#include <stdint.h>
#include <time.h>

#define USEC_PER_SEC ((uint64_t) 1000000)

/* Since 1970: for records, and for nothing that is compared. */
static inline uint64_t unix_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

static inline uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_BOOTTIME, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}
