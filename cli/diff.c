/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/diff.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT 3

typedef struct Line {
        const char *text;
        size_t len; /* with its newline; the last line may have none */
} Line;

typedef struct Lines {
        Line *lines;
        size_t n;
} Lines;

static void lines_done(Lines *l) {
        free(l->lines);
}

static int split(const Buf *text, Lines *ret) {
        const char *p = buf_str(text), *end = p + text->len;
        size_t n = 1;

        for (const char *q = p; q < end; q++)
                n += *q == '\n';
        ret->lines = calloc(n, sizeof(Line));
        if (!ret->lines)
                return -ENOMEM;
        while (p < end) {
                const char *newline = memchr(p, '\n', (size_t) (end - p));
                const char *next = newline ? newline + 1 : end;

                ret->lines[ret->n++] = (Line){ p, (size_t) (next - p) };
                p = next;
        }
        return 0;
}

static bool same(Line a, Line b) {
        return a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}

static int put(Buf *ret, char mark, const Lines *l, size_t from, size_t to) {
        int r = 0;

        for (size_t i = from; i < to && r >= 0; i++) {
                Line line = l->lines[i];

                r = buf_append(ret, &mark, 1);
                if (r >= 0)
                        r = buf_append(ret, line.text, line.len);
                if (r >= 0 && line.text[line.len - 1] != '\n')
                        r = buf_append_str(ret, "\n\\ No newline at end of file\n");
        }
        return r;
}

/* An empty side is "0,0" by convention. */
static int put_range(Buf *ret, char mark, size_t first, size_t n) {
        return buf_printf(ret, " %c%zu,%zu", mark, n > 0 ? first + 1 : first, n);
}

static int put_hunk(Buf *ret, const Lines *a, const Lines *b, size_t head, size_t tail) {
        size_t before = head < CONTEXT ? head : CONTEXT, after = tail < CONTEXT ? tail : CONTEXT;
        size_t first = head - before;
        int r;

        r = buf_append_str(ret, "@@");
        if (r >= 0)
                r = put_range(ret, '-', first, a->n - tail + after - first);
        if (r >= 0)
                r = put_range(ret, '+', first, b->n - tail + after - first);
        if (r >= 0)
                r = buf_append_str(ret, " @@\n");
        if (r >= 0)
                r = put(ret, ' ', a, first, head);
        if (r >= 0)
                r = put(ret, '-', a, head, a->n - tail);
        if (r >= 0)
                r = put(ret, '+', b, head, b->n - tail);
        return r < 0 ? r : put(ret, ' ', a, a->n - tail, a->n - tail + after);
}

int diff_append(Buf *ret, const char *from_name, const Buf *from, const char *to_name,
                const Buf *to) {
        _cleanup_(lines_done) Lines a = {}, b = {};
        size_t head = 0, tail = 0;
        int r;

        r = split(from, &a);
        if (r >= 0)
                r = split(to, &b);
        if (r < 0)
                return r;
        while (head < a.n && head < b.n && same(a.lines[head], b.lines[head]))
                head++;
        if (head == a.n && head == b.n)
                return 0;
        while (tail < a.n - head && tail < b.n - head &&
               same(a.lines[a.n - tail - 1], b.lines[b.n - tail - 1]))
                tail++;

        r = buf_printf(ret, "--- %s\n+++ %s\n", from_name, to_name);
        return r < 0 ? r : put_hunk(ret, &a, &b, head, tail);
}
