/* SPDX-License-Identifier: Apache-2.0 */
/* The daemons' log: plain lines on stderr, or entries with fields where stderr is the journal. */

#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

static struct {
        const char *program;
        int level;
        bool journal;   /* stderr is the journal's stream */
        int journal_fd; /* to its socket, for entries with fields; -1: it is not to be had */
} log_state = { "csign", LOG_DETAIL, false, -1 };

static const char *const level_names[] = {
        [LOG_ERROR] = "error",   [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
        [LOG_DETAIL] = "detail", [LOG_TRACE] = "trace",
};

/* $JOURNAL_STREAM names the file that is the journal's: whoever redirected stderr meant the other
 * file. */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        char text[64];
        struct stat st;

        if (!stream || fstat(STDERR_FILENO, &st) < 0)
                return false;
        snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
        return strcmp(stream, text) == 0;
}

static int journal_connect(void) {
        static const struct sockaddr_un address = { AF_UNIX, JOURNAL_SOCKET };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd >= 0 && connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0) {
                close(fd);
                return -1;
        }
        return fd;
}

void log_open(const char *program, int level) {
        log_state.program = program;
        log_state.level = level;
        log_state.journal = stderr_is_journal();
        log_state.journal_fd = log_state.journal ? journal_connect() : -1;
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

static void append_text(Buf *b, const char *message, va_list ap) {
        append_escaped(b, message, "");
        for (const char *name; (name = va_arg(ap, const char *));) {
                const char *value = va_arg(ap, const char *);

                if (!value || !value[0])
                        continue;
                buf_printf(b, " %s=", name);
                append_value(b, value);
        }
}

/* REQUEST_ID is named alike in all that a request passes; the other names are csign's own. */
static int append_fields(Buf *b, va_list ap) {
        int r = 0;

        for (const char *name; r >= 0 && (name = va_arg(ap, const char *));) {
                const char *value = va_arg(ap, const char *);

                if (!value || !value[0])
                        continue;
                r = buf_printf(b, "%s%s=", strcmp(name, "REQUEST_ID") == 0 ? "" : "CSIGN_", name);
                append_escaped(b, value, "");
                if (r >= 0)
                        r = buf_append_str(b, "\n");
        }
        return r;
}

/* The journal's own protocol: one datagram, a field a line, and no newline in any of them. */
static bool write_entry(int level, const char *message, va_list ap) {
        _cleanup_(buf_done) Buf b = BUF_MAX(32 * 1024);
        va_list again;
        int r;

        va_copy(again, ap);
        buf_printf(&b, "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nMESSAGE=", level, log_state.program);
        append_text(&b, message, ap);
        r = buf_append_str(&b, "\n");
        if (r >= 0)
                r = append_fields(&b, again);
        va_end(again);
        return r >= 0 && send(log_state.journal_fd, b.data, b.len, MSG_NOSIGNAL) == (ssize_t) b.len;
}

static void write_text(int level, const char *message, va_list ap) {
        _cleanup_(buf_done) Buf b = BUF_MAX(16 * 1024);

        if (log_state.journal)
                buf_printf(&b, "<%d>", level);
        else {
                append_time(&b);
                buf_printf(&b, "%s %s: ", log_state.program, level_names[level]);
        }
        append_text(&b, message, ap);
        if (buf_append_str(&b, "\n") >= 0)
                write_line(&b);
}

void log_line(int level, const char *message, ...) {
        bool written = false;
        va_list ap;

        if (level > log_state.level)
                return;

        if (log_state.journal_fd >= 0) {
                va_start(ap, message);
                written = write_entry(level, message, ap);
                va_end(ap);
        }
        if (!written) {
                va_start(ap, message);
                write_text(level, message, ap);
                va_end(ap);
        }
}

void log_failure(int level, const char *message, const Error *e) {
        log_line(level, message, "ERROR", error_info(e->code)->name, "DETAIL", e->detail, "RULE",
                 e->rule, "REQUEST_ID", e->request_id, NULL);
}
