/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Bytes: Buf grows up to a limit that it is born with, Secret is wiped, Reader walks over outside
 * bytes. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/macro.h"

/* ---- Buf ---- */

typedef struct Buf {
        uint8_t *data; /* one NUL byte always follows data[len-1] */
        size_t len, cap;
        size_t max; /* 0: BUF_DEFAULT_MAX */
} Buf;

#define BUF_DEFAULT_MAX ((size_t) 1024 * 1024)
#define BUF_MAX(n)      ((Buf){ .max = (n) })

/* All return 0, -ENOMEM, or -E2BIG past the limit; the content is then as before. */
int buf_append(Buf *b, const void *data, size_t len);
int buf_append_str(Buf *b, const char *s);
int buf_printf(Buf *b, const char *fmt, ...) _printf_(2, 3);
int buf_vprintf(Buf *b, const char *fmt, va_list ap) _printf_(2, 0);
int buf_reserve(Buf *b, size_t more);

/* Big-endian numbers, and bytes behind a 16-bit or 32-bit length. */
int buf_put_u8(Buf *b, uint8_t v);
int buf_put_u16(Buf *b, uint16_t v);
int buf_put_u32(Buf *b, uint32_t v);
int buf_put_u64(Buf *b, uint64_t v);
int buf_put_bytes16(Buf *b, const void *data, size_t len); /* -E2BIG above 65535 */
int buf_put_bytes32(Buf *b, const void *data, size_t len);
int buf_put_str16(Buf *b, const char *s);

/* Text forms of binary. */
int buf_append_hex(Buf *b, const void *data, size_t len);
int buf_append_base64(Buf *b, const void *data, size_t len);    /* RFC 4648 section 4, padded */
int buf_append_base64url(Buf *b, const void *data, size_t len); /* section 5, not padded */
/* Strict decoders (no white space, no missing padding, no stray bits): -EBADMSG. */
int buf_decode_base64(Buf *b, const char *s, size_t len);
int buf_decode_base64url(Buf *b, const char *s, size_t len);
int buf_decode_hex(Buf *b, const char *s, size_t len);

const char *buf_str(const Buf *b); /* "" when empty; valid until the next change */
void buf_clear(Buf *b);            /* keeps the memory */
void buf_done(Buf *b);             /* frees; b is as new, with its limit */

/* ---- Secret: wiped before it is freed ---- */

typedef struct Secret {
        uint8_t *data; /* one NUL byte follows */
        size_t len;
} Secret;

int secret_new(Secret *ret, const void *data, size_t len); /* data may be NULL: zeroes */
void secret_done(Secret *s);
void erase(void *p, size_t len); /* not optimised away */

/* ---- Reader: sticky failure, so that a parser checks once at its end ---- */

typedef struct Reader {
        const uint8_t *p;
        size_t left;
        bool failed;
} Reader;

#define READER(data, len) ((Reader){ .p = (data), .left = (len) })

/* After a failure they give 0, NULL and length 0. */
uint8_t reader_u8(Reader *r);
uint16_t reader_u16(Reader *r);
uint32_t reader_u32(Reader *r);
uint64_t reader_u64(Reader *r);
const uint8_t *reader_bytes(Reader *r, size_t len);
const uint8_t *reader_bytes16(Reader *r, size_t *ret_len);
const uint8_t *reader_bytes32(Reader *r, size_t *ret_len);

/* Copies a string behind a 16-bit length; fails if it is longer than size-1 or holds a NUL. */
void reader_str16(Reader *r, char *buf, size_t size);

/* 0 if everything was well formed and all bytes were used, else -EBADMSG. */
int reader_end(const Reader *r);
