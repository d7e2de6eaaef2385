/* SPDX-License-Identifier: Apache-2.0 */
/* JSON in by table, JSON out into a Buf. */

#include "lib/json.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- in ---- */

/* jansson's own limit is far above what any body of ours needs, and it recurses. */
static int check_depth(const char *p, size_t len, Error *e) {
        bool in_string = false;
        unsigned depth = 0;

        for (size_t i = 0; i < len; i++) {
                if (in_string) {
                        if (p[i] == '\\')
                                i++;
                        else if (p[i] == '"')
                                in_string = false;
                } else if (p[i] == '"')
                        in_string = true;
                else if (p[i] == '{' || p[i] == '[') {
                        if (++depth > JSON_DEPTH_MAX)
                                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                                 "JSON is nested deeper than %d at byte %zu",
                                                 JSON_DEPTH_MAX, i + 1);
                } else if ((p[i] == '}' || p[i] == ']') && depth > 0)
                        depth--;
        }
        return 0;
}

int json_parse(const void *data, size_t len, json_t **ret, Error *e) {
        json_error_t why;
        json_t *root;
        int r;

        r = check_depth(data, len, e);
        if (r < 0)
                return r;

        root = json_loadb(data ? data : "", len, JSON_REJECT_DUPLICATES, &why);
        if (!root)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "not JSON: %s (line %d, column %d)",
                                 why.text, why.line, why.column);
        *ret = root;
        return 0;
}

static const JsonField *find_field(const JsonField fields[], size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(fields[i].name, name) == 0)
                        return &fields[i];
        return NULL;
}

int json_read(const json_t *root, const JsonField fields[], size_t n, void *target, Error *e) {
        const char *name;
        unsigned flags = 0;
        json_t *v;
        int r;

        if (!json_is_object(root))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "the JSON is not an object");

        for (size_t i = 0; i < n; i++) {
                flags |= fields[i].flags;
                if (fields[i].flags & JSON_REQUIRED && !json_object_get(root, fields[i].name))
                        return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is missing",
                                         fields[i].name);
        }

        json_object_foreach((json_t *) root, name, v) {
                const JsonField *f = find_field(fields, n, name);

                if (!f && flags & JSON_ANY_MORE)
                        continue;
                if (!f)
                        return error_set(e, -CSIGN_E_BAD_REQUEST, "unknown name '%.64s'", name);
                r = f->parse(v, f->name, (char *) target + f->offset, e);
                if (r < 0)
                        return r;
        }
        return 0;
}

int json_field_string(const json_t *v, const char *name, void *target, Error *e) {
        if (!json_is_string(v))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is not a string", name);
        *(const char **) target = json_string_value(v);
        return 0;
}

static int read_number(const json_t *v, const char *name, uint64_t max, uint64_t *ret, Error *e) {
        if (!json_is_integer(v) || json_integer_value(v) < 0 ||
            (uint64_t) json_integer_value(v) > max)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'%s' is not a whole number from 0 to %llu", name,
                                 (unsigned long long) max);
        *ret = (uint64_t) json_integer_value(v);
        return 0;
}

int json_field_u32(const json_t *v, const char *name, void *target, Error *e) {
        uint64_t n = 0;
        int r;

        r = read_number(v, name, UINT32_MAX, &n, e);
        if (r >= 0)
                *(uint32_t *) target = (uint32_t) n;
        return r;
}

int json_field_positive(const json_t *v, const char *name, void *target, Error *e) {
        int r;

        r = json_field_u32(v, name, target, e);
        if (r >= 0 && *(uint32_t *) target == 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is a whole number from 1", name);
        return r;
}

int json_field_u64(const json_t *v, const char *name, void *target, Error *e) {
        return read_number(v, name, INT64_MAX, target, e);
}

int json_field_bool(const json_t *v, const char *name, void *target, Error *e) {
        if (!json_is_boolean(v))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is neither true nor false", name);
        *(bool *) target = json_is_true(v);
        return 0;
}

int json_field_base64(const json_t *v, const char *name, void *target, Error *e) {
        Buf *b = target;
        int r;

        buf_clear(b);
        r = json_is_string(v) ? buf_decode_base64(b, json_string_value(v), json_string_length(v))
                              : -EBADMSG;
        if (r == -EBADMSG)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is not base64 (RFC 4648, padded)",
                                 name);
        if (r == -E2BIG)
                return error_set(e, -CSIGN_E_TOO_LARGE, "'%s' is too long", name);
        return r;
}

int json_field_array(const json_t *v, const char *name, void *target, Error *e) {
        if (!json_is_array(v))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is not an array", name);
        *(const json_t **) target = v;
        return 0;
}

int json_field_object(const json_t *v, const char *name, void *target, Error *e) {
        if (!json_is_object(v))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is not an object", name);
        *(const json_t **) target = v;
        return 0;
}

/* ---- out ---- */

static void put(JsonOut *o, const void *data, size_t len) {
        if (o->r >= 0)
                o->r = buf_append(o->buf, data, len);
}

/* Bytes of one UTF-8 character at p, or 0 if it is not one (RFC 3629: no surrogates, no overlong
 * forms). */
static size_t utf8_length(const unsigned char *p) {
        static const struct {
                unsigned char first, last, low, high;
                size_t len;
        } forms[] = {
                { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
                { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
                { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
                { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
        };

        if (p[0] < 0x80)
                return 1;
        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                if (p[0] < forms[i].first || p[0] > forms[i].last)
                        continue;
                if (p[1] < forms[i].low || p[1] > forms[i].high)
                        return 0;
                for (size_t k = 2; k < forms[i].len; k++)
                        if ((p[k] & 0xc0) != 0x80)
                                return 0;
                return forms[i].len;
        }
        return 0;
}

static bool is_plain(unsigned char c) {
        return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_string(JsonOut *o, const char *s) {
        const unsigned char *p = (const unsigned char *) s;
        char escape[8];

        put(o, "\"", 1);
        while (*p) {
                size_t n = 0;

                while (is_plain(p[n]))
                        n++;
                put(o, p, n);
                p += n;
                if (!*p)
                        break;

                if (*p == '"' || *p == '\\') {
                        put(o, "\\", 1);
                        put(o, p++, 1);
                        continue;
                }
                if (*p < 0x20 || *p == 0x7f) {
                        put(o, escape, (size_t) snprintf(escape, sizeof(escape), "\\u%04x", *p));
                        p++;
                        continue;
                }
                n = utf8_length(p);
                put(o, n ? (const void *) p : "\xef\xbf\xbd", n ? n : 3);
                p += n ? n : 1;
        }
        put(o, "\"", 1);
}

static void put_name(JsonOut *o, const char *name) {
        if (o->more)
                put(o, ",", 1);
        o->more = true;
        if (name) {
                put_string(o, name);
                put(o, ":", 1);
        }
}

static void begin(JsonOut *o, const char *name, const char *bracket) {
        put_name(o, name);
        put(o, bracket, 1);
        o->more = false;
}

static void end(JsonOut *o, const char *bracket) {
        put(o, bracket, 1);
        o->more = true;
}

void json_begin_object(JsonOut *o, const char *name) {
        begin(o, name, "{");
}

void json_end_object(JsonOut *o) {
        end(o, "}");
}

void json_begin_array(JsonOut *o, const char *name) {
        begin(o, name, "[");
}

void json_end_array(JsonOut *o) {
        end(o, "]");
}

void json_out_raw(JsonOut *o, const char *name, const char *json) {
        put_name(o, name);
        put(o, json, strlen(json));
}

void json_out_str(JsonOut *o, const char *name, const char *value) {
        if (!value) {
                json_out_raw(o, name, "null");
                return;
        }
        put_name(o, name);
        put_string(o, value);
}

void json_out_u64(JsonOut *o, const char *name, uint64_t value) {
        char text[24];

        snprintf(text, sizeof(text), "%llu", (unsigned long long) value);
        json_out_raw(o, name, text);
}

void json_out_i64(JsonOut *o, const char *name, int64_t value) {
        char text[24];

        snprintf(text, sizeof(text), "%lld", (long long) value);
        json_out_raw(o, name, text);
}

void json_out_bool(JsonOut *o, const char *name, bool value) {
        json_out_raw(o, name, value ? "true" : "false");
}

void json_out_base64(JsonOut *o, const char *name, const void *data, size_t len) {
        put_name(o, name);
        put(o, "\"", 1);
        if (o->r >= 0)
                o->r = buf_append_base64(o->buf, data, len);
        put(o, "\"", 1);
}

void json_out_hex(JsonOut *o, const char *name, const void *data, size_t len) {
        put_name(o, name);
        put(o, "\"", 1);
        if (o->r >= 0)
                o->r = buf_append_hex(o->buf, data, len);
        put(o, "\"", 1);
}
