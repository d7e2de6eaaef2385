/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One page of a listing by path: `{"NAME":[…],"next_cursor":"…"}`.  The cursor is the path that the
 * page before ended with.
 *
 *     r = page_begin(&page, req, "keys", e);
 *     r = key_list(…, page.after, page.left + 1, list_key, &page, e);    asks for one more, to know
 * of it if (!page_take(page, k->path)) return 0;                   in list_key() return
 * page_end(&page); */

#include <stdbool.h>

#include "lib/json.h"
#include "lib/key-uri.h"
#include "service/request.h"

typedef struct Page {
        JsonOut o;
        unsigned left;
        char after[PATH_MAX_LEN], last[PATH_MAX_LEN];
        bool more;
} Page;

/* Reads ?limit= and ?cursor=.  -CSIGN_E_BAD_REQUEST. */
int page_begin(Page *p, Request *req, const char *name, Error *e);

/* Whether the next one is of this page; if so, write it. */
bool page_take(Page *p, const char *path);

int page_end(Page *p);
