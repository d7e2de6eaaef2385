/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* application/x-www-form-urlencoded, read strictly: queries of URLs and the body of a token
 * request. */

#include <stddef.h>

#include "lib/buf.h"
#include "lib/error.h"

#define FORM_ITEMS_MAX 16

typedef struct Form {
        struct {
                const char *name, *value; /* into text */
        } items[FORM_ITEMS_MAX];
        size_t n;
        Buf text;
} Form;

/* A name twice, a bad escape, a NUL or a control character is an error: -CSIGN_E_BAD_REQUEST. */
int form_parse(const char *text, size_t len, Form *ret, Error *e);
void form_done(Form *f); /* wipes */

/* NULL if it is not there. */
const char *form_get(const Form *f, const char *name);

/* Whether all names are among these, separated by blanks. */
int form_check_names(const Form *f, const char *names, Error *e);
