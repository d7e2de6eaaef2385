/* SPDX-License-Identifier: Apache-2.0 */
/* Times and their text. */

#include "service/clock.h"

#include <stdio.h>
#include <time.h>

uint64_t clock_now(void) {
        struct timespec t;

        clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

static char *write_text(uint64_t usec, const char *fraction, char buf[static CLOCK_TEXT_MAX]) {
        time_t sec = (time_t) (usec / USEC_PER_SEC);
        struct tm tm;

        gmtime_r(&sec, &tm);
        snprintf(buf, CLOCK_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, fraction);
        return buf;
}

char *clock_text(uint64_t usec, char buf[static CLOCK_TEXT_MAX]) {
        char fraction[16];

        snprintf(fraction, sizeof(fraction), ".%06u", (unsigned) (usec % USEC_PER_SEC));
        return write_text(usec, fraction, buf);
}

char *clock_text_seconds(uint64_t usec, char buf[static CLOCK_TEXT_MAX]) {
        return write_text(usec, "", buf);
}
