/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded buffers, wiped secrets, and the reader of outside bytes. */

#include "lib/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

/* ---- Buf ---- */

int buf_reserve(Buf *b, size_t more) {
        size_t max = b->max ? b->max : BUF_DEFAULT_MAX, want, cap;
        uint8_t *data;

        if (more > max || b->len > max - more)
                return -E2BIG;

        want = b->len + more + 1;
        if (b->data && want <= b->cap)
                return 0;

        cap = b->cap ? b->cap : 64;
        while (cap < want)
                cap *= 2;

        data = realloc(b->data, cap);
        if (!data)
                return -ENOMEM;

        b->data = data;
        b->cap = cap;
        b->data[b->len] = '\0';
        return 0;
}

int buf_append(Buf *b, const void *data, size_t len) {
        int r;

        r = buf_reserve(b, len);
        if (r < 0)
                return r;

        if (len > 0)
                memcpy(b->data + b->len, data, len);
        b->len += len;
        b->data[b->len] = '\0';
        return 0;
}

int buf_append_str(Buf *b, const char *s) {
        return buf_append(b, s, strlen(s));
}

int buf_vprintf(Buf *b, const char *fmt, va_list ap) {
        va_list again;
        int n, r;

        va_copy(again, ap);
        n = vsnprintf(NULL, 0, fmt, again);
        va_end(again);
        if (n < 0)
                return -EINVAL;

        r = buf_reserve(b, (size_t) n);
        if (r < 0)
                return r;

        vsnprintf((char *) b->data + b->len, (size_t) n + 1, fmt, ap);
        b->len += (size_t) n;
        return 0;
}

int buf_printf(Buf *b, const char *fmt, ...) {
        va_list ap;
        int r;

        va_start(ap, fmt);
        r = buf_vprintf(b, fmt, ap);
        va_end(ap);
        return r;
}

static int put_number(Buf *b, uint64_t v, unsigned bytes) {
        uint8_t raw[8];

        for (unsigned i = 0; i < bytes; i++)
                raw[i] = (uint8_t) (v >> (8 * (bytes - 1 - i)));
        return buf_append(b, raw, bytes);
}

int buf_put_u8(Buf *b, uint8_t v) {
        return put_number(b, v, 1);
}

int buf_put_u16(Buf *b, uint16_t v) {
        return put_number(b, v, 2);
}

int buf_put_u32(Buf *b, uint32_t v) {
        return put_number(b, v, 4);
}

int buf_put_u64(Buf *b, uint64_t v) {
        return put_number(b, v, 8);
}

/* All or nothing: the room is made before the length is written. */
static int put_bytes(Buf *b, const void *data, size_t len, unsigned length_bytes) {
        int r;

        if (len > (length_bytes == 2 ? UINT16_MAX : UINT32_MAX))
                return -E2BIG;

        r = buf_reserve(b, length_bytes + len);
        if (r < 0)
                return r;

        put_number(b, len, length_bytes);
        return buf_append(b, data, len);
}

int buf_put_bytes16(Buf *b, const void *data, size_t len) {
        return put_bytes(b, data, len, 2);
}

int buf_put_bytes32(Buf *b, const void *data, size_t len) {
        return put_bytes(b, data, len, 4);
}

int buf_put_str16(Buf *b, const char *s) {
        return buf_put_bytes16(b, s, strlen(s));
}

const char *buf_str(const Buf *b) {
        return b->data ? (const char *) b->data : "";
}

void buf_clear(Buf *b) {
        b->len = 0;
        if (b->data)
                b->data[0] = '\0';
}

void buf_done(Buf *b) {
        free(b->data);
        *b = (Buf){ .max = b->max };
}

/* ---- text forms ---- */

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int buf_append_hex(Buf *b, const void *data, size_t len) {
        const uint8_t *p = data;
        int r;

        if (len > SIZE_MAX / 2)
                return -E2BIG;
        r = buf_reserve(b, len * 2);
        if (r < 0)
                return r;

        for (size_t i = 0; i < len; i++) {
                b->data[b->len++] = (uint8_t) hex_digits[p[i] >> 4];
                b->data[b->len++] = (uint8_t) hex_digits[p[i] & 15];
        }
        b->data[b->len] = '\0';
        return 0;
}

static int append_base64(Buf *b, const uint8_t *p, size_t len, const char *digits, bool pad) {
        int r;

        if (len > SIZE_MAX / 2)
                return -E2BIG;
        r = buf_reserve(b, (len + 2) / 3 * 4);
        if (r < 0)
                return r;

        for (; len > 0; p += 3) {
                size_t n = len < 3 ? len : 3;
                uint32_t v = (uint32_t) p[0] << 16 | (n > 1 ? (uint32_t) p[1] << 8 : 0) |
                             (n > 2 ? p[2] : 0);

                for (size_t i = 0; i < 4; i++) {
                        if (i <= n)
                                b->data[b->len++] = (uint8_t) digits[v >> (18 - 6 * i) & 63];
                        else if (pad)
                                b->data[b->len++] = '=';
                }
                len -= n;
        }
        b->data[b->len] = '\0';
        return 0;
}

int buf_append_base64(Buf *b, const void *data, size_t len) {
        return append_base64(b, data, len, base64_digits, true);
}

int buf_append_base64url(Buf *b, const void *data, size_t len) {
        return append_base64(b, data, len, base64url_digits, false);
}

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

int buf_decode_hex(Buf *b, const char *s, size_t len) {
        size_t start = b->len;
        int r;

        if (len % 2 != 0)
                return -EBADMSG;
        r = buf_reserve(b, len / 2);
        if (r < 0)
                return r;

        for (size_t i = 0; i < len; i += 2) {
                int high = hex_value(s[i]), low = hex_value(s[i + 1]);

                if (high < 0 || low < 0) {
                        b->len = start;
                        b->data[start] = '\0';
                        return -EBADMSG;
                }
                b->data[b->len++] = (uint8_t) (high << 4 | low);
        }
        b->data[b->len] = '\0';
        return 0;
}

/* -1 for a character outside the alphabet. */
static int base64_value(char c, bool url) {
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        if (c == (url ? '-' : '+'))
                return 62;
        if (c == (url ? '_' : '/'))
                return 63;
        return -1;
}

/* Takes the digits without padding. */
static int decode_base64(Buf *b, const char *s, size_t len, bool url) {
        size_t start = b->len;
        uint32_t v = 0;
        unsigned bits = 0;
        int r;

        if (len % 4 == 1)
                return -EBADMSG;
        r = buf_reserve(b, len / 4 * 3 + 3);
        if (r < 0)
                return r;

        for (size_t i = 0; i < len; i++) {
                int d = base64_value(s[i], url);

                if (d < 0)
                        goto bad;
                v = v << 6 | (uint32_t) d;
                bits += 6;
                if (bits >= 8) {
                        bits -= 8;
                        b->data[b->len++] = (uint8_t) (v >> bits);
                }
        }
        if (v & ((1u << bits) - 1)) /* stray bits: two texts would mean the same bytes */
                goto bad;

        b->data[b->len] = '\0';
        return 0;
bad:
        b->len = start;
        b->data[start] = '\0';
        return -EBADMSG;
}

int buf_decode_base64(Buf *b, const char *s, size_t len) {
        if (len % 4 != 0)
                return -EBADMSG;
        for (int i = 0; i < 2 && len > 0 && s[len - 1] == '='; i++)
                len--;
        return decode_base64(b, s, len, false);
}

int buf_decode_base64url(Buf *b, const char *s, size_t len) {
        return decode_base64(b, s, len, true);
}

/* ---- Secret ---- */

void erase(void *p, size_t len) {
        OPENSSL_cleanse(p, len);
}

int secret_new(Secret *ret, const void *data, size_t len) {
        uint8_t *p;

        p = calloc(1, len + 1);
        if (!p)
                return -ENOMEM;
        if (data)
                memcpy(p, data, len);

        *ret = (Secret){ .data = p, .len = len };
        return 0;
}

void secret_done(Secret *s) {
        if (s->data)
                OPENSSL_cleanse(s->data, s->len);
        free(s->data);
        *s = (Secret){};
}

/* ---- Reader ---- */

const uint8_t *reader_bytes(Reader *r, size_t len) {
        const uint8_t *p = r->p;

        if (r->failed || len > r->left) {
                r->failed = true;
                return NULL;
        }
        r->p += len;
        r->left -= len;
        return p;
}

static uint64_t read_number(Reader *r, size_t bytes) {
        const uint8_t *p = reader_bytes(r, bytes);
        uint64_t v = 0;

        for (size_t i = 0; p && i < bytes; i++)
                v = v << 8 | p[i];
        return v;
}

uint8_t reader_u8(Reader *r) {
        return (uint8_t) read_number(r, 1);
}

uint16_t reader_u16(Reader *r) {
        return (uint16_t) read_number(r, 2);
}

uint32_t reader_u32(Reader *r) {
        return (uint32_t) read_number(r, 4);
}

uint64_t reader_u64(Reader *r) {
        return read_number(r, 8);
}

static const uint8_t *read_counted(Reader *r, size_t length_bytes, size_t *ret_len) {
        size_t len = (size_t) read_number(r, length_bytes);
        const uint8_t *p = reader_bytes(r, len);

        *ret_len = p ? len : 0;
        return p;
}

const uint8_t *reader_bytes16(Reader *r, size_t *ret_len) {
        return read_counted(r, 2, ret_len);
}

const uint8_t *reader_bytes32(Reader *r, size_t *ret_len) {
        return read_counted(r, 4, ret_len);
}

void reader_str16(Reader *r, char *buf, size_t size) {
        size_t len;
        const uint8_t *p = reader_bytes16(r, &len);

        assert(size > 0);
        buf[0] = '\0';
        if (!p || len >= size || memchr(p, 0, len)) {
                r->failed = true;
                return;
        }
        memcpy(buf, p, len);
        buf[len] = '\0';
}

int reader_end(const Reader *r) {
        return r->failed || r->left > 0 ? -EBADMSG : 0;
}
