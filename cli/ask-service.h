/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The administration verbs' way to the signing service: its address, CA and the user's API key come
 * from
 * --service/--ca/--api-key-file, else CSIGN_SERVICE/CSIGN_CA/CSIGN_API_KEY_FILE, else
 * $XDG_CONFIG_HOME/csign/admin.conf (service = ..., ca = ..., api-key-file = ...). */

#include <jansson.h>

#include "lib/buf.h"
#include "lib/error.h"
#include "lib/json.h"

typedef struct Admin Admin;

int admin_open(Admin **ret, Error *e);
void admin_close(Admin *a);
DEFINE_CLEANUP(Admin, admin_close)

/* One exchange.  body may be NULL, is not taken.  *ret is the answer's object. */
int admin_call(Admin *a, const char *method, const char *path, const json_t *body, json_t **ret,
               Error *e);

/* GET of something that is no JSON: the bytes as they come. */
int admin_fetch(Admin *a, const char *path, const char *accept, Buf *ret, Error *e);

/* Reads all pages of GET path (which may have a query) and joins the arrays of that name. */
int admin_list(Admin *a, const char *path, const char *array, json_t **ret, Error *e);

/* path, its segments and values percent-encoded: admin_path(&b, "/v1/keys/%s?version=%s", id,
 * version). Every conversion is %s. */
int admin_path(Buf *ret, const char *fmt, ...) _printf_(2, 3);

/* A key by its id, path or URI; and its id alone. */
int admin_key(Admin *a, const char *name, json_t **ret, Error *e);
int admin_key_id(Admin *a, const char *name, Buf *ret, Error *e);
