/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of `csign key` share. */

#include <jansson.h>

#include "cli/ask-service.h"
#include "cli/cli.h"

/* What belongs to a key as a whole, "/v1/keys/ID" and more.  A name with a version is a mistake. */
int key_whole(Admin *a, const char *name, const char *more, Buf *path, Error *e);

/* "2027-01-31" is midnight, UTC; anything else is left as it is. */
json_t *key_time(const char *text);

/* "a,b" as a list of names. */
json_t *key_names(const char *text);

/* verb-key-life.c */
extern const Verb verb_key_change, verb_key_move, verb_key_label, verb_key_policy, verb_key_destroy,
        verb_key_cancel_destruction;
