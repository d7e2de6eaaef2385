/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All that csign says.  Verbs hand over JSON; with --json it is printed as it is, else as aligned
 * text made from it by a table of columns.  Text from elsewhere is printed without its control
 * characters; colours appear only on a terminal, and not when NO_COLOR is set. */

#include <stddef.h>

#include <jansson.h>

#include "lib/error.h"
#include "lib/json.h"

typedef enum ColumnStyle {
        COLUMN_PLAIN = 0,
        COLUMN_NUMBER, /* to the right */
        COLUMN_STATE,  /* words that are good or bad get a colour */
        COLUMN_FULL,   /* never shortened, never padded: for the last one */
} ColumnStyle;

typedef struct Column {
        const char *title;
        const char *path; /* "state", "principal.name" */
        ColumnStyle style;
} Column;

/* An array of objects, one line each under a head.  `none` is said of an empty one. */
void output_list(const json_t *rows, const Column columns[], size_t n, const char *none);

/* One object, one line a field; fields that it has not are left out. */
void output_object(const json_t *object, const Column fields[], size_t n);

/* What a check found: objects with result (OK, WARN, FAIL), check, finding and, if there is any,
 * advice. */
void output_findings(const json_t *findings);

/* One sentence for a person, and with --json the object instead. */
void output_result(const json_t *object, const char *fmt, ...) _printf_(2, 3);

/* One sentence on the error stream, beside the result: what is going on, a hint.  Not with --json.
 */
void output_note(const char *fmt, ...) _printf_(1, 2);

/* "csign: what was wrong (rule, request)" and, on a second line, what to do: advice, or the
 * table's. */
void output_error(const Error *e, const char *advice);

/* Whether all of it was written: a full disk must not look like success. */
int output_finish(Error *e);

/* The text at a path of an object, "" if there is none. */
const char *json_text_at(const json_t *object, const char *path);
