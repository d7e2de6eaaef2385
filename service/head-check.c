/* SPDX-License-Identifier: Apache-2.0 */

#include "service/head-check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/buf.h"
#include "lib/macro.h"

#define TOKEN                                                                                      \
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~" /* RFC     \
                                                                                           9110 */

/* Those that the service, or evhttp, goes by: twice, they would mean two things. */
static const char *const single[] = {
        "Host",         "Content-Length",  "Content-Type", "Authorization", "X-Request-Id",
        "Csign-Caller", "Idempotency-Key", "If-Match",     "Expect",        "Transfer-Encoding",
};

enum { SEEN_HOST = 1 << 0 };

/* A line may have had a token. */
void head_check_done(HeadCheck *h) {
        if (h->text)
                erase(h->text, HEAD_LINE_MAX);
        free(h->text);
        h->text = NULL;
}

void head_check_reset(HeadCheck *h) {
        head_check_done(h);
        *h = (HeadCheck){};
}

static int bad(Error *e, const char *what) {
        return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "http", "%s", what);
}

/* ---- the request's line ---- */

static bool is_known_method(const char *s, size_t n) {
        static const char *const methods[] = { "GET",    "POST",    "PATCH", "PUT",    "HEAD",
                                               "DELETE", "OPTIONS", "TRACE", "CONNECT" };

        for (size_t i = 0; i < ELEMENTSOF(methods); i++)
                if (strlen(methods[i]) == n && memcmp(methods[i], s, n) == 0)
                        return true;
        return false;
}

static int check_request_line(const char *line, Error *e) {
        size_t method = strspn(line, TOKEN);
        const char *target = line + method + 1, *version;

        if (method == 0 || line[method] != ' ')
                return bad(e, "the request does not begin with a method");
        version = strchr(target, ' ');
        if (!version || (strcmp(version, " HTTP/1.1") != 0 && strcmp(version, " HTTP/1.0") != 0))
                return bad(e, "the request's first line does not end in HTTP/1.1");
        if (target[0] != '/' || target[1] == '/')
                return bad(e, "the request's target is not a path, as in /v1/keys");
        for (const char *p = target; p < version; p++)
                if (*p <= ' ' || *p > '~' || *p == '#')
                        return bad(e, "the request's target has bytes that a URL may not have");
        if (!is_known_method(line, method))
                return error_set(e, -EOPNOTSUPP, "there is no method %.*s here",
                                 method > 16 ? 16 : (int) method, line);
        return 0;
}

/* ---- headers ---- */

static int take_length(HeadCheck *h, const char *value, Error *e) {
        size_t n = strspn(value, "0123456789");

        if (n == 0 || n > 18 || value[n] != '\0')
                return bad(e, "Content-Length is not a number");
        h->left = strtoull(value, NULL, 10);
        return 0;
}

static int take_single(HeadCheck *h, size_t i, const char *value, Error *e) {
        if (h->seen & (1u << i))
                return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "http",
                                      "the header %s is there twice", single[i]);
        h->seen |= 1u << i;
        if (strcmp(single[i], "Content-Length") == 0)
                return take_length(h, value, e);
        if (strcmp(single[i], "Transfer-Encoding") == 0)
                return bad(e, "a body needs a Content-Length, and no Transfer-Encoding");
        if (strcmp(single[i], "Expect") == 0 && strcasecmp(value, "100-continue") != 0)
                return bad(e, "Expect is 100-continue, or nothing");
        if (strcmp(single[i], "Host") == 0 && (!value[0] || strpbrk(value, " \t,/@?#")))
                return bad(e, "Host is not a host's name");
        return 0;
}

static int check_header(HeadCheck *h, char *line, Error *e) {
        size_t name = strspn(line, TOKEN), end = h->text_len;
        char *value;

        if (line[0] == ' ' || line[0] == '\t')
                return bad(e, "a header's line is folded");
        if (name == 0 || line[name] != ':')
                return bad(e, "a header's line is not a name, a colon and a value");

        line[name] = '\0';
        value = line + name + 1;
        value += strspn(value, " \t");
        while (line + end > value && strchr(" \t", line[end - 1]))
                line[--end] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(single); i++)
                if (strcasecmp(single[i], line) == 0)
                        return take_single(h, i, value, e);
        return 0;
}

/* ---- the walk ---- */

static int end_head(HeadCheck *h, size_t body_max, Error *e) {
        if (!(h->seen & SEEN_HOST))
                return bad(e, "the header Host is missing");
        if (h->left > body_max)
                return error_set_rule(e, -CSIGN_E_TOO_LARGE, "body-unread",
                                      "the body has %llu bytes, and may have %zu at most",
                                      (unsigned long long) h->left, body_max);
        h->state = h->left > 0 ? HEAD_BODY : HEAD_WHOLE;
        head_check_done(h);
        return 0;
}

static int end_line(HeadCheck *h, size_t body_max, Error *e) {
        int r;

        h->text[h->text_len] = '\0';
        if (h->line == 0)
                r = check_request_line(h->text, e);
        else if (h->text_len == 0)
                return end_head(h, body_max, e);
        else
                r = check_header(h, h->text, e);
        h->line++;
        h->text_len = 0;
        return r;
}

static int take_byte(HeadCheck *h, unsigned char c, size_t body_max, Error *e) {
        if (++h->size > HEAD_MAX || h->line > HEAD_LINES_MAX)
                return error_set(e, -CSIGN_E_TOO_LARGE,
                                 "the request's head has more than %d bytes or %d lines", HEAD_MAX,
                                 HEAD_LINES_MAX);
        if (h->cr != (c == '\n'))
                return bad(e, "a line of the request's head does not end in CR LF");
        if (c == '\n') {
                h->cr = false;
                return end_line(h, body_max, e);
        }
        if (c == '\r') {
                h->cr = true;
                return 0;
        }
        if ((c < ' ' && c != '\t') || c == 0x7f)
                return bad(e, "the request's head has control characters");
        if (h->text_len >= HEAD_LINE_MAX - 1)
                return error_set(e, -CSIGN_E_TOO_LARGE,
                                 "a line of the request's head is longer than %d",
                                 HEAD_LINE_MAX - 1);
        h->text[h->text_len++] = (char) c;
        return 0;
}

int head_check_feed(HeadCheck *h, const void *data, size_t len, size_t body_max, Error *e) {
        const unsigned char *p = data, *end = p + len;

        while (p < end) {
                int r;

                if (h->state == HEAD_WHOLE) {
                        h->excess = true;
                        return 0;
                }
                if (h->state == HEAD_BODY) {
                        size_t n = (size_t) (end - p) < h->left ? (size_t) (end - p)
                                                                : (size_t) h->left;

                        h->left -= n;
                        p += n;
                        if (h->left == 0)
                                h->state = HEAD_WHOLE;
                        continue;
                }
                if (!h->text && !(h->text = malloc(HEAD_LINE_MAX)))
                        return -ENOMEM;
                h->state = HEAD_LINE;
                r = take_byte(h, *p++, body_max, e);
                if (r < 0)
                        return r;
        }
        return 0;
}
