/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/process-text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/macro.h"

#define CUT        "…"
#define MASK       "***"
#define HEX_DIGITS "0123456789abcdef"

/* ---- the command line ---- */

/* An option that takes a secret, as --password, -passin or PIN=; not "--passthrough-x". */
static bool names_secret(const char *arg, size_t len) {
        static const char *const words[] = {
                "pass",   "passin", "passout", "password", "passphrase", "pin",
                "secret", "token",  "api-key", "apikey",   "credential", "auth",
        };

        while (len > 0 && *arg == '-') {
                arg++;
                len--;
        }
        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                size_t n = strlen(words[i]);

                if (len >= n && strncasecmp(arg + len - n, words[i], n) == 0 &&
                    (len == n || arg[len - n - 1] == '-' || arg[len - n - 1] == '_'))
                        return true;
        }
        return false;
}

/* How much of the argument may be shown; the rest is a secret. */
static size_t plain_part(const char *arg, size_t len, bool after_secret_name) {
        const char *equals = memchr(arg, '=', len);

        if (len > 5 && strncmp(arg, "pass:", 5) == 0)
                return 5;
        if (equals && names_secret(arg, (size_t) (equals - arg)))
                return (size_t) (equals - arg) + 1;
        return after_secret_name && *arg != '-' ? 0 : len;
}

static bool append(char *buf, size_t *used, const char *text, size_t len) {
        size_t room = COMMAND_LINE_MAX - sizeof(CUT) - *used;
        bool fits = len <= room;

        if (!fits)
                len = room;
        memcpy(buf + *used, text, len);
        *used += len;
        if (!fits) {
                memcpy(buf + *used, CUT, sizeof(CUT) - 1);
                *used += sizeof(CUT) - 1;
        }
        buf[*used] = '\0';
        return fits;
}

static bool append_argument(char *buf, size_t *used, const char *arg, size_t len, bool secret) {
        size_t plain = len > 0 ? plain_part(arg, len, secret) : 0;

        if (*used > 0 && !append(buf, used, " ", 1))
                return false;
        if (!append(buf, used, arg, plain))
                return false;
        return plain == len || append(buf, used, MASK, strlen(MASK));
}

void command_line_text(const char *raw, size_t len, char buf[static COMMAND_LINE_MAX]) {
        bool secret = false;
        size_t used = 0;

        buf[0] = '\0';
        for (size_t i = 0; i < len;) {
                size_t n = strnlen(raw + i, len - i);

                if (!append_argument(buf, &used, raw + i, n, secret))
                        return;
                secret = raw[i] == '-' && !memchr(raw + i, '=', n) && names_secret(raw + i, n);
                i += n + 1;
        }
}

/* ---- the container ---- */

static bool is_container_id(const char *s, size_t len) {
        return len == 64 && strspn(s, HEX_DIGITS) >= 64;
}

/* Of "docker-<id>.scope", "libpod-<id>", "<id>": the id; NULL: none. */
static const char *id_in_segment(const char *s, size_t len) {
        const char *dash = memrchr(s, '-', len);
        const char *id = dash ? dash + 1 : s;
        size_t n = len - (size_t) (id - s);
        const char *dot = memchr(id, '.', n);

        return is_container_id(id, dot ? (size_t) (dot - id) : n) ? id : NULL;
}

/* A name that follows one of these, up to the next '.' or '/'. */
static bool copy_after(const char *cgroup, const char *prefix, char buf[static CONTAINER_MAX]) {
        const char *p = strstr(cgroup, prefix);

        if (!p)
                return false;
        p += strlen(prefix);
        snprintf(buf, CONTAINER_MAX, "%.*s", (int) strcspn(p, "./"), p);
        return buf[0] != '\0';
}

void container_of_cgroup(const char *cgroup, char buf[static CONTAINER_MAX]) {
        buf[0] = '\0';
        for (const char *s = cgroup; *s; s += *s == '/') {
                size_t len = strcspn(s, "/");
                const char *id = id_in_segment(s, len);

                if (id)
                        snprintf(buf, CONTAINER_MAX, "%.64s", id); /* the innermost one holds */
                s += len;
        }
        if (buf[0] == '\0' && !copy_after(cgroup, "/machine-", buf) &&
            !copy_after(cgroup, "/systemd-nspawn@", buf) &&
            !copy_after(cgroup, "/lxc.payload", buf))
                (void) copy_after(cgroup, "/lxc/", buf);
}
