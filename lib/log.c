/* SPDX-License-Identifier: Apache-2.0 */
/* The daemons' log: plain lines on stderr, with the journal's priority prefix where stderr is the
 * journal. */

#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"

static struct {
        const char *program;
        int level;
        bool journal;
} log_state = { "csign", LOG_DETAIL, false };

static const char *const level_names[] = {
        [LOG_ERROR] = "error",   [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
        [LOG_DETAIL] = "detail", [LOG_TRACE] = "trace",
};

void log_open(const char *program, int level) {
        log_state.program = program;
        log_state.level = level;
        log_state.journal = getenv("JOURNAL_STREAM") != NULL;
}

int log_level_by_name(const char *name) {
        for (int i = LOG_ERROR; i < (int) ELEMENTSOF(level_names); i++)
                if (strcmp(level_names[i], name) == 0)
                        return i;
        return -EINVAL;
}

static void append_time(Buf *b) {
        struct timespec now;
        struct tm tm;
        char text[32];

        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &tm);
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
        buf_printf(b, "%s.%03ldZ ", text, now.tv_nsec / 1000000);
}

/* Escapes what would end the line or what a terminal would obey, and each character of also. */
static void append_escaped(Buf *b, const char *text, const char *also) {
        for (const unsigned char *p = (const unsigned char *) text; *p; p++) {
                if (*p < 0x20 || *p == 0x7f)
                        buf_printf(b, "\\x%02x", *p);
                else if (strchr(also, *p))
                        buf_printf(b, "\\%c", *p);
                else
                        buf_append(b, p, 1);
        }
}

/* Quotes a value that has blanks. */
static void append_value(Buf *b, const char *value) {
        bool quote = value[strcspn(value, " \"=")] != '\0';

        if (quote)
                buf_append_str(b, "\"");
        append_escaped(b, value, "\"\\");
        if (quote)
                buf_append_str(b, "\"");
}

static void write_line(Buf *b) {
        const uint8_t *p = b->data;
        size_t left = b->len;

        /* One write() a line, so that the lines of several threads do not mix. */
        while (left > 0) {
                ssize_t n = write(STDERR_FILENO, p, left);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return;
                p += n;
                left -= (size_t) n;
        }
}

void log_line(int level, const char *message, ...) {
        _cleanup_(buf_done) Buf b = BUF_MAX(16 * 1024);
        va_list ap;

        if (level > log_state.level)
                return;

        if (log_state.journal)
                buf_printf(&b, "<%d>", level);
        else {
                append_time(&b);
                buf_printf(&b, "%s %s: ", log_state.program, level_names[level]);
        }
        append_escaped(&b, message, "");

        va_start(ap, message);
        for (const char *name; (name = va_arg(ap, const char *));) {
                const char *value = va_arg(ap, const char *);

                if (!value || !value[0])
                        continue;
                buf_printf(&b, " %s=", name);
                append_value(&b, value);
        }
        va_end(ap);

        if (buf_append_str(&b, "\n") >= 0)
                write_line(&b);
}

void log_failure(int level, const char *message, const Error *e) {
        log_line(level, message, "ERROR", error_info(e->code)->name, "DETAIL", e->detail, "RULE",
                 e->rule, "REQUEST_ID", e->request_id, NULL);
}
