/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* JSON: typed reading of an object by a table (jansson parses), and writing straight into a Buf.
 *
 *     static const JsonField fields[] = {
 *             { "key", json_field_string, offsetof(Body, key), JSON_REQUIRED },
 *             { "digest", json_field_base64, offsetof(Body, digest), JSON_REQUIRED },
 *     };
 *     r = json_parse(data, len, &root, &e);
 *     r = json_read(root, fields, ELEMENTSOF(fields), &body, &e); */

#include <jansson.h>

#include "lib/buf.h"
#include "lib/error.h"

#define JSON_DEPTH_MAX 8

/* Duplicate names, depth over JSON_DEPTH_MAX, NUL in a string and trailing bytes are errors:
 * -CSIGN_E_BAD_REQUEST with the position. */
int json_parse(const void *data, size_t len, json_t **ret, Error *e);

/* value has the name `name`; the sentence should say it. */
typedef int (*JsonParse)(const json_t *value, const char *name, void *target, Error *e);

enum {
        JSON_REQUIRED = 1,
        JSON_ANY_MORE = 2, /* in the flags of any field: unknown names are fine (answers of newer
                              servers) */
};

typedef struct JsonField {
        const char *name;
        JsonParse parse;
        size_t offset;
        unsigned flags;
} JsonField;

/* Unknown names are -CSIGN_E_BAD_REQUEST.  Strings point into root: keep it. */
int json_read(const json_t *root, const JsonField fields[], size_t n, void *target, Error *e);

int json_field_string(const json_t *v, const char *name, void *target, Error *e); /* const char * */
int json_field_u32(const json_t *v, const char *name, void *target, Error *e);    /* uint32_t */
int json_field_positive(const json_t *v, const char *name, void *target,
                        Error *e); /* uint32_t, from 1: 0 is free to mean "not given" */
int json_field_u64(const json_t *v, const char *name, void *target,
                   Error *e); /* uint64_t, < 2^63 */
int json_field_bool(const json_t *v, const char *name, void *target, Error *e); /* bool */
int json_field_base64(const json_t *v, const char *name, void *target,
                      Error *e); /* Buf, replaced */
int json_field_array(const json_t *v, const char *name, void *target,
                     Error *e); /* const json_t * */
int json_field_object(const json_t *v, const char *name, void *target,
                      Error *e); /* const json_t * */

/* ---- writing: commas and escapes are its business; the first failure sticks ---- */

typedef struct JsonOut {
        Buf *buf;
        bool more; /* a comma is due */
        int r;     /* 0 or the first failure */
} JsonOut;

#define JSON_OUT(b) ((JsonOut){ .buf = (b) })

/* name is NULL inside an array and at the root. */
void json_begin_object(JsonOut *o, const char *name);
void json_end_object(JsonOut *o);
void json_begin_array(JsonOut *o, const char *name);
void json_end_array(JsonOut *o);
void json_out_str(JsonOut *o, const char *name,
                  const char *value); /* NULL value: null; bytes that are not
                                         UTF-8 become U+FFFD */
void json_out_u64(JsonOut *o, const char *name, uint64_t value);
void json_out_i64(JsonOut *o, const char *name, int64_t value);
void json_out_bool(JsonOut *o, const char *name, bool value);
void json_out_base64(JsonOut *o, const char *name, const void *data, size_t len);
void json_out_hex(JsonOut *o, const char *name, const void *data, size_t len);
void json_out_raw(JsonOut *o, const char *name, const char *json); /* already JSON */
