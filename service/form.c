/* SPDX-License-Identifier: Apache-2.0 */
/* URL-encoded names and values. */

#include "service/form.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static int hex_digit(char c) {
        const char *digits = "0123456789abcdef", *p;

        if (c >= 'A' && c <= 'F')
                c = (char) (c - 'A' + 'a');
        p = c ? strchr(digits, c) : NULL;
        return p ? (int) (p - digits) : -1;
}

/* Appends the decoded text and a NUL. */
static int decode(const char *s, size_t len, Buf *b) {
        for (size_t i = 0; i < len; i++) {
                int high, low;
                char c = s[i] == '+' ? ' ' : s[i];

                if (c == '%') {
                        high = i + 2 < len ? hex_digit(s[i + 1]) : -1;
                        low = i + 2 < len ? hex_digit(s[i + 2]) : -1;
                        if (high < 0 || low < 0)
                                return -EBADMSG;
                        c = (char) (high << 4 | low);
                        i += 2;
                }
                if ((unsigned char) c < 0x20 || c == 0x7f)
                        return -EBADMSG;
                if (buf_append(b, &c, 1) < 0)
                        return -ENOMEM;
        }
        return buf_append(b, "", 1);
}

/* The pieces' offsets first, and pointers at the end: the text moves while it grows. */
static int add_item(Form *f, const char *s, size_t len, size_t offsets[static 2], Error *e) {
        const char *equals = memchr(s, '=', len);
        size_t name_len = equals ? (size_t) (equals - s) : len;
        int r;

        offsets[0] = f->text.len;
        r = decode(s, name_len, &f->text);
        offsets[1] = f->text.len;
        if (r >= 0)
                r = equals ? decode(equals + 1, len - name_len - 1, &f->text)
                           : buf_append(&f->text, "", 1);
        if (r == -EBADMSG || name_len == 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "a name or value is not URL-encoded text");
        return r;
}

static int check_unique(const Form *f, Error *e) {
        for (size_t i = 0; i < f->n; i++)
                for (size_t k = 0; k < i; k++)
                        if (strcmp(f->items[i].name, f->items[k].name) == 0)
                                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%.64s' is there twice",
                                                 f->items[i].name);
        return 0;
}

static int split(Form *f, const char *text, size_t len, Error *e) {
        size_t offsets[FORM_ITEMS_MAX][2];
        int r;

        for (size_t at = 0; at < len;) {
                const char *end = memchr(text + at, '&', len - at);
                size_t n = end ? (size_t) (end - text) - at : len - at;

                if (f->n >= FORM_ITEMS_MAX)
                        return error_set(e, -CSIGN_E_BAD_REQUEST, "more than %d names",
                                         FORM_ITEMS_MAX);
                r = add_item(f, text + at, n, offsets[f->n], e);
                if (r < 0)
                        return r;
                f->n++;
                at += n + 1;
        }

        for (size_t i = 0; i < f->n; i++) {
                f->items[i].name = (const char *) f->text.data + offsets[i][0];
                f->items[i].value = (const char *) f->text.data + offsets[i][1];
        }
        return check_unique(f, e);
}

int form_parse(const char *text, size_t len, Form *ret, Error *e) {
        Form f = { .text = BUF_MAX(len + 2 * FORM_ITEMS_MAX + 1) };
        int r;

        /* Room for all at once, so that no copy of a secret stays behind. */
        r = buf_reserve(&f.text, len + 2 * FORM_ITEMS_MAX);
        if (r >= 0)
                r = split(&f, text, len, e);
        if (r < 0) {
                form_done(&f);
                return r;
        }
        *ret = f;
        return 0;
}

void form_done(Form *f) {
        if (f->text.data)
                erase(f->text.data, f->text.len);
        buf_done(&f->text);
        f->n = 0;
}

const char *form_get(const Form *f, const char *name) {
        for (size_t i = 0; i < f->n; i++)
                if (strcmp(f->items[i].name, name) == 0)
                        return f->items[i].value;
        return NULL;
}

static bool is_among(const char *name, const char *names) {
        size_t len = strlen(name);

        for (const char *p = names; *p; p += strspn(p, " ")) {
                size_t n = strcspn(p, " ");

                if (n == len && memcmp(p, name, n) == 0)
                        return true;
                p += n;
        }
        return false;
}

int form_check_names(const Form *f, const char *names, Error *e) {
        for (size_t i = 0; i < f->n; i++)
                if (!is_among(f->items[i].name, names))
                        return error_set(e, -CSIGN_E_BAD_REQUEST, "unknown name '%.64s'",
                                         f->items[i].name);
        return 0;
}
