/* SPDX-License-Identifier: Apache-2.0 */
/* Times and their text. */

#include "service/clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
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

/* Whether text has the pattern's form: 0 stands for a digit, anything else for itself. */
static bool has_form(const char *text, const char *pattern) {
        for (; *pattern; text++, pattern++)
                if (*pattern == '0' ? !isdigit((unsigned char) *text) : *text != *pattern)
                        return false;
        return true;
}

static int number(const char *text) {
        return (text[0] - '0') * 10 + text[1] - '0';
}

/* "Z" or "+01:00": seconds that the local time is ahead. */
static int parse_offset(const char *text, int *ret) {
        if (strcmp(text, "Z") == 0) {
                *ret = 0;
                return 0;
        }
        if (!has_form(text + (text[0] == '+' || text[0] == '-'), "00:00") || isdigit(text[0]) ||
            strlen(text) != 6 || number(text + 1) > 23 || number(text + 4) > 59)
                return -EINVAL;
        *ret = (number(text + 1) * 60 + number(text + 4)) * (text[0] == '-' ? -60 : 60);
        return 0;
}

int clock_parse(const char *text, uint64_t *ret) {
        struct tm tm, back;
        int ahead;
        time_t t;

        if (!has_form(text, "0000-00-00T00:00:00"))
                return -EINVAL;
        tm = (struct tm){
                .tm_year = number(text) * 100 + number(text + 2) - 1900,
                .tm_mon = number(text + 5) - 1,
                .tm_mday = number(text + 8),
                .tm_hour = number(text + 11),
                .tm_min = number(text + 14),
                .tm_sec = number(text + 17),
        };
        text += strlen("0000-00-00T00:00:00");
        if (text[0] == '.' && isdigit((unsigned char) text[1]))
                text += 1 + strspn(text + 1, "0123456789");
        if (tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59 || parse_offset(text, &ahead) < 0)
                return -EINVAL;

        back = tm;
        t = timegm(&back); /* which makes the 1st of March of the 30th of February */
        if (back.tm_mday != tm.tm_mday || back.tm_mon != tm.tm_mon || t - ahead < 0)
                return -EINVAL;
        *ret = (uint64_t) (t - ahead) * USEC_PER_SEC;
        return 0;
}
