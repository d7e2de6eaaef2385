/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One error vocabulary for the whole walk of a request.
 *
 * A function returns 0 (or a count) or a negative int: -errno for trouble of our own, -CSIGN_E_*
 * for what the caller can act on.  An Error on the caller's stack carries the sentence for a
 * person. */

#include <stdbool.h>
#include <stddef.h>

#include "lib/error-list.h"
#include "lib/macro.h"

enum {
        CSIGN_E_BEGIN_ = 4096,
#define X(name, ...) CSIGN_E_##name,
        CSIGN_ERROR_LIST(X)
#undef X
                CSIGN_E_END_,
};

/* Zero-initialise: `Error e = {};`.  Needs no cleanup, never holds a secret, never a newline. */
typedef struct Error {
        int code;         /* 0, -errno or -CSIGN_E_* */
        char detail[512]; /* one sentence: what was wrong, where */
        char rule[96];    /* what decided: "scope", "key-state", "local-policy:builders"; else "" */
        char request_id[40];  /* finds the request in logs and audit; else "" */
        unsigned retry_after; /* RATE_LIMITED: seconds, if that is known */
} Error;

/* One row of the table. */
typedef struct ErrorInfo {
        int code;          /* positive CSIGN_E_* */
        const char *name;  /* "KeyNotFound" */
        int http_status;   /* 400..599 */
        int exit_status;   /* 1..9 */
        const char *title; /* what it means */
        const char *advice;
} ErrorInfo;

#define ERROR_DBUS_PREFIX "org.csign.Sidecar1.Error."
#define ERROR_URN_PREFIX  "urn:csign:error:"

/* Sets code and detail (cut at the end if too long; control characters become '?') and returns
 * code. Keeps rule and request id.  e may be NULL. */
int error_set(Error *e, int code, const char *fmt, ...) _printf_(3, 4);

/* The same, with the rule that decided. */
int error_set_rule(Error *e, int code, const char *rule, const char *fmt, ...) _printf_(4, 5);

void error_set_request_id(Error *e, const char *request_id);

/* For an edge that answers: an errno, or 0, becomes INTERNAL; -CSIGN_E_* is left as it is. */
int error_public_code(int code);

/* The row of a code, either sign.  An errno or an unknown code gives the row of INTERNAL. */
const ErrorInfo *error_info(int code);

/* The row at index i, or NULL past the last: for tests and documents. */
const ErrorInfo *error_info_at(size_t i);

/* "KeyNotFound", with or without either prefix, to -CSIGN_E_KEY_NOT_FOUND; an unknown name is
 * -CSIGN_E_INTERNAL. */
int error_from_name(const char *name);

#define ERROR_TEXT_MAX 768

/* The one line for a person and for the wire: "detail (rule scope, request req_…)".  Returns buf.
 */
char *error_text(const Error *e, char buf[static ERROR_TEXT_MAX]);

/* The way back: fills e from a code and such a line. */
void error_from_text(Error *e, int code, const char *text);
