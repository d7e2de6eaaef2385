/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What of HTTP/1.1 the service takes, checked byte by byte before evhttp sees it: what evhttp
 * cannot read it would answer by itself, with a page; and what two parsers could read in two ways
 * is refused.  So: lines end in CRLF; a target is a path; no line is folded; each header that means
 * something is there once at most, Host once; a body has a Content-Length and no other frame. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

#define HEAD_MAX       (16 * 1024)
#define HEAD_LINE_MAX  8192
#define HEAD_LINES_MAX 100

typedef enum HeadState {
        HEAD_IDLE, /* no byte of it yet */
        HEAD_LINE, /* in the request's line, or in a header's */
        HEAD_BODY,
        HEAD_WHOLE, /* the request is complete */
} HeadState;

typedef struct HeadCheck {
        HeadState state;
        size_t size;   /* of the head so far */
        unsigned line; /* 0: the request's */
        bool cr;       /* the last byte was a CR */
        bool has_length;
        uint32_t seen; /* of the headers that may be there once */
        uint64_t left; /* of the body */
        bool excess;   /* bytes came behind the request */
        size_t text_len;
        char *text; /* the line; NULL outside a head */
} HeadCheck;

void head_check_reset(HeadCheck *h); /* for the next request */
void head_check_done(HeadCheck *h);

/* The next bytes.  body_max is asked when the head is complete.  0, or -CSIGN_E_BAD_REQUEST,
 * -CSIGN_E_TOO_LARGE, -EOPNOTSUPP (a method that nothing here answers to): the connection is of no
 * more use then. */
int head_check_feed(HeadCheck *h, const void *data, size_t len, size_t body_max, Error *e);
