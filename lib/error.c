/* SPDX-License-Identifier: Apache-2.0 */
/* The error vocabulary: setting, looking up, and the one line that travels. */

#include "lib/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const ErrorInfo table[] = {
#define X(name, wire, http, exit, title, advice)                                                   \
        { CSIGN_E_##name, wire, http, exit, title, advice },
        CSIGN_ERROR_LIST(X)
#undef X
};

static void copy_text(char *to, size_t size, const char *from) {
        size_t n = strnlen(from, size - 1);

        memcpy(to, from, n);
        to[n] = '\0';

        /* What a person reads is one line, and a terminal must not obey it. */
        for (char *p = to; *p; p++)
                if ((unsigned char) *p < 0x20 || *p == 0x7f)
                        *p = '?';
}

static void set_detail(Error *e, const char *fmt, va_list ap) {
        char text[sizeof(e->detail)];

        if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
                text[0] = '\0';
        copy_text(e->detail, sizeof(e->detail), text);
}

int error_set(Error *e, int code, const char *fmt, ...) {
        va_list ap;

        if (!e)
                return code;

        e->code = code;
        va_start(ap, fmt);
        set_detail(e, fmt, ap);
        va_end(ap);
        return code;
}

int error_set_rule(Error *e, int code, const char *rule, const char *fmt, ...) {
        va_list ap;

        if (!e)
                return code;

        e->code = code;
        copy_text(e->rule, sizeof(e->rule), rule);
        va_start(ap, fmt);
        set_detail(e, fmt, ap);
        va_end(ap);
        return code;
}

void error_set_request_id(Error *e, const char *request_id) {
        if (e)
                copy_text(e->request_id, sizeof(e->request_id), request_id ? request_id : "");
}

int error_public_code(int code) {
        int n = code < 0 ? code : -code; /* negative has no overflow */

        return n < -CSIGN_E_BEGIN_ && n > -CSIGN_E_END_ ? n : -CSIGN_E_INTERNAL;
}

const ErrorInfo *error_info(int code) {
        return &table[-error_public_code(code) - CSIGN_E_BEGIN_ - 1];
}

const ErrorInfo *error_info_at(size_t i) {
        return i < ELEMENTSOF(table) ? &table[i] : NULL;
}

static const char *skip_prefix(const char *s, const char *prefix) {
        size_t n = strlen(prefix);

        return strncmp(s, prefix, n) == 0 ? s + n : s;
}

int error_from_name(const char *name) {
        name = skip_prefix(skip_prefix(name, ERROR_DBUS_PREFIX), ERROR_URN_PREFIX);

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(table[i].name, name) == 0)
                        return -table[i].code;
        return -CSIGN_E_INTERNAL;
}

char *error_text(const Error *e, char buf[static ERROR_TEXT_MAX]) {
        const char *detail = e->detail[0] ? e->detail : error_info(e->code)->title;

        if (e->rule[0] && e->request_id[0])
                snprintf(buf, ERROR_TEXT_MAX, "%s (rule %s, request %s)", detail, e->rule,
                         e->request_id);
        else if (e->rule[0])
                snprintf(buf, ERROR_TEXT_MAX, "%s (rule %s)", detail, e->rule);
        else if (e->request_id[0])
                snprintf(buf, ERROR_TEXT_MAX, "%s (request %s)", detail, e->request_id);
        else
                snprintf(buf, ERROR_TEXT_MAX, "%s", detail);
        return buf;
}

/* Copies the word between from and to if it has no blank and fits. */
static bool take_word(char *out, size_t size, const char *from, const char *to) {
        size_t n = to > from ? (size_t) (to - from) : 0;

        if (n == 0 || n >= size || memchr(from, ' ', n))
                return false;
        memcpy(out, from, n);
        out[n] = '\0';
        return true;
}

/* Splits "… (rule R, request Q)" at its last parenthesis; false if the text has no such end. */
static bool split_suffix(const char *text, size_t *ret_len, Error *e) {
        size_t len = strlen(text);
        const char *open, *p, *end, *comma;
        Error found = {};

        if (len < 4 || text[len - 1] != ')')
                return false;

        open = strrchr(text, '(');
        if (!open || open < text + 2 || open[-1] != ' ')
                return false;

        p = open + 1;
        end = text + len - 1;
        if (strncmp(p, "rule ", 5) == 0) {
                comma = strstr(p, ", request ");
                if (!take_word(found.rule, sizeof(found.rule), p + 5, comma ? comma : end))
                        return false;
                p = comma ? comma + 2 : end;
        }
        if (strncmp(p, "request ", 8) == 0) {
                if (!take_word(found.request_id, sizeof(found.request_id), p + 8, end))
                        return false;
                p = end;
        }
        if (p != end)
                return false;

        copy_text(e->rule, sizeof(e->rule), found.rule);
        copy_text(e->request_id, sizeof(e->request_id), found.request_id);
        *ret_len = (size_t) (open - 1 - text);
        return true;
}

void error_from_text(Error *e, int code, const char *text) {
        size_t len;

        if (!e)
                return;

        *e = (Error){ .code = code };
        if (split_suffix(text, &len, e)) {
                if (len >= sizeof(e->detail))
                        len = sizeof(e->detail) - 1;
                copy_text(e->detail, len + 1, text);
        } else
                copy_text(e->detail, sizeof(e->detail), text);
}
