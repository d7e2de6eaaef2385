/* SPDX-License-Identifier: Apache-2.0 */

/* Text and JSON, from one source. */

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "lib/buf.h"

#define COLUMNS_MAX 16

static bool colours_on(FILE *stream) {
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

        if (no_color && no_color[0])
                return false;
        return isatty(fileno(stream)) && term && strcmp(term, "dumb") != 0;
}

/* ---- values as text ---- */

static const json_t *value_at(const json_t *object, const char *path) {
        const char *dot;

        while ((dot = strchr(path, '.'))) {
                char name[64];

                (void) snprintf(name, sizeof(name), "%.*s", (int) (dot - path), path);
                object = json_object_get(object, name);
                path = dot + 1;
        }
        return json_object_get(object, path);
}

const char *json_text_at(const json_t *object, const char *path) {
        const char *text = json_string_value(value_at(object, path));

        return text ? text : "";
}

/* Appends text without what could move a terminal's cursor: C0, DEL and C1 (in UTF-8: C2 80..9F).
 */
static void append_safe(Buf *b, const char *text) {
        for (const uint8_t *p = (const uint8_t *) text; *p; p++) {
                bool c1 = p[0] == 0xC2 && p[1] >= 0x80 && p[1] <= 0x9F;

                (void) buf_append(b, *p < 0x20 || *p == 0x7F || c1 ? (const uint8_t *) "?" : p, 1);
                p += c1;
        }
}

static void append_value(Buf *b, const json_t *v) {
        const char *name;
        size_t i;
        json_t *item;

        switch (v ? json_typeof(v) : JSON_NULL) {
        case JSON_STRING:
                append_safe(b, json_string_value(v));
                return;
        case JSON_INTEGER:
                (void) buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
                return;
        case JSON_REAL:
                (void) buf_printf(b, "%g", json_real_value(v));
                return;
        case JSON_TRUE:
                (void) buf_append_str(b, "yes");
                return;
        case JSON_FALSE:
                (void) buf_append_str(b, "no");
                return;
        case JSON_ARRAY:
                json_array_foreach(v, i, item) {
                        if (i > 0)
                                (void) buf_append_str(b, ", ");
                        append_value(b, item);
                }
                return;
        case JSON_OBJECT:
                json_object_foreach((json_t *) v, name, item) {
                        (void) buf_printf(b, "%s%s=", b->len > 0 ? ", " : "", name);
                        append_value(b, item);
                }
                return;
        case JSON_NULL:
                return;
        }
}

/* Characters on the screen, near enough: bytes that do not continue a UTF-8 sequence. */
static size_t text_width(const Buf *b) {
        size_t n = 0;

        for (size_t i = 0; i < b->len; i++)
                n += (b->data[i] & 0xC0) != 0x80;
        return n;
}

static const char *state_colour(const char *word) {
        static const struct {
                const char *word, *colour;
        } colours[] = {
                { "OK", "\033[32m" },
                { "enabled", "\033[32m" },
                { "allowed", "\033[32m" },
                { "WARN", "\033[33m" },
                { "disabled", "\033[33m" },
                { "expired", "\033[33m" },
                { "pending-destruction", "\033[31m" },
                { "destroyed", "\033[31m" },
                { "FAIL", "\033[1;31m" },
        };

        for (size_t i = 0; i < ELEMENTSOF(colours); i++)
                if (strcmp(colours[i].word, word) == 0)
                        return colours[i].colour;
        return NULL;
}

/* A cell and the blanks up to the next column. */
static void print_cell(const Buf *text, ColumnStyle style, size_t width, bool last, bool colours) {
        const char *shown = text->len > 0 ? buf_str(text) : "-";
        size_t used = text->len > 0 ? text_width(text) : 1;
        const char *colour = colours && style == COLUMN_STATE ? state_colour(shown) : NULL;
        int pad = width > used ? (int) (width - used) : 0;

        if (style == COLUMN_NUMBER)
                (void) printf("%*s", pad, "");
        (void) printf("%s%s%s", colour ? colour : "", shown, colour ? "\033[0m" : "");
        if (style != COLUMN_NUMBER && !last)
                (void) printf("%*s", pad, "");
        (void) fputs(last ? "\n" : "  ", stdout);
}

static void print_json(const json_t *v) {
        (void) json_dumpf(v, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
        (void) fputc('\n', stdout);
}

/* ---- lists and objects ---- */

static void column_widths(const json_t *rows, const Column columns[], size_t n, size_t widths[]) {
        size_t i;
        json_t *row;

        for (size_t c = 0; c < n; c++)
                widths[c] = strlen(columns[c].title);
        json_array_foreach(rows, i, row) {
                for (size_t c = 0; c < n; c++) {
                        _cleanup_(buf_done) Buf text = {};

                        append_value(&text, value_at(row, columns[c].path));
                        if (text_width(&text) > widths[c])
                                widths[c] = text_width(&text);
                }
        }
}

static void print_head(const Column columns[], size_t n, const size_t widths[], bool colours) {
        (void) fputs(colours ? "\033[1m" : "", stdout);
        for (size_t c = 0; c < n; c++) {
                _cleanup_(buf_done) Buf title = {};

                (void) buf_append_str(&title, columns[c].title);
                print_cell(&title, columns[c].style, widths[c], c + 1 == n, false);
        }
        (void) fputs(colours ? "\033[0m" : "", stdout);
}

static void print_row(const json_t *row, const Column columns[], size_t n, const size_t widths[],
                      bool colours) {
        for (size_t c = 0; c < n; c++) {
                _cleanup_(buf_done) Buf text = {};

                append_value(&text, value_at(row, columns[c].path));
                print_cell(&text, columns[c].style, widths[c], c + 1 == n, colours);
        }
}

void output_list(const json_t *rows, const Column columns[], size_t n, const char *none) {
        size_t widths[COLUMNS_MAX] = {}, i;
        bool colours = colours_on(stdout);
        json_t *row;

        if (arg_json) {
                print_json(rows);
                return;
        }
        if (json_array_size(rows) == 0) {
                output_note("%s", none);
                return;
        }

        column_widths(rows, columns, n, widths);
        print_head(columns, n, widths, colours);
        json_array_foreach(rows, i, row) print_row(row, columns, n, widths, colours);
}

void output_object(const json_t *object, const Column fields[], size_t n) {
        bool colours = colours_on(stdout);
        size_t width = 0;

        if (arg_json) {
                print_json(object);
                return;
        }

        for (size_t i = 0; i < n; i++)
                if (strlen(fields[i].title) > width)
                        width = strlen(fields[i].title);
        for (size_t i = 0; i < n; i++) {
                const json_t *v = value_at(object, fields[i].path);
                _cleanup_(buf_done) Buf text = {};

                if (!v)
                        continue;
                append_value(&text, v);
                (void) printf("%-*s  ", (int) width, fields[i].title);
                print_cell(&text, fields[i].style == COLUMN_NUMBER ? COLUMN_PLAIN : fields[i].style,
                           0, true, colours);
        }
}

void output_findings(const json_t *findings) {
        static const Column columns[] = {
                { "RESULT", "result", COLUMN_STATE },
                { "CHECK", "check" },
                { "FINDING", "finding" },
        };
        size_t widths[COLUMNS_MAX] = {}, i;
        bool colours = colours_on(stdout);
        json_t *row;

        if (arg_json) {
                print_json(findings);
                return;
        }
        column_widths(findings, columns, ELEMENTSOF(columns), widths);
        json_array_foreach(findings, i, row) {
                print_row(row, columns, ELEMENTSOF(columns), widths, colours);
                if (json_object_get(row, "advice"))
                        (void) printf("%*s%s\n", (int) (widths[0] + widths[1] + 4), "",
                                      json_text_at(row, "advice"));
        }
}

/* ---- sentences ---- */

static void print_sentence(FILE *stream, const char *fmt, va_list ap) {
        _cleanup_(buf_done) Buf text = {}, safe = {};

        (void) buf_vprintf(&text, fmt, ap);
        append_safe(&safe, buf_str(&text));
        (void) fprintf(stream, "%s\n", buf_str(&safe));
}

void output_result(const json_t *object, const char *fmt, ...) {
        va_list ap;

        if (arg_json) {
                print_json(object);
                return;
        }
        va_start(ap, fmt);
        print_sentence(stdout, fmt, ap);
        va_end(ap);
}

void output_note(const char *fmt, ...) {
        va_list ap;

        if (arg_json)
                return;
        (void) fflush(stdout);
        va_start(ap, fmt);
        print_sentence(stderr, fmt, ap);
        va_end(ap);
}

void output_error(const Error *e, const char *advice) {
        const ErrorInfo *info = error_info(e->code);
        bool colours = colours_on(stderr);
        char text[ERROR_TEXT_MAX];

        (void) fflush(stdout);
        (void) fprintf(stderr, "%scsign:%s %s\n", colours ? "\033[1;31m" : "",
                       colours ? "\033[0m" : "", error_text(e, text));
        /* Trouble of our own (an errno) has no row, and the detail has said it all. */
        if (!advice && e->code <= -CSIGN_E_BEGIN_ && -e->code != CSIGN_E_INTERNAL)
                advice = info->advice;
        if (advice)
                (void) fprintf(stderr, "  %s\n", advice);
}

int output_finish(Error *e) {
        if (fflush(stdout) == EOF || ferror(stdout))
                return error_set(e, -EIO, "cannot write to the standard output: %s",
                                 strerror(errno));
        return 0;
}
