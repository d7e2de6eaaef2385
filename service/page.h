/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One page of a listing by path: `{"NAME":[…],"next_cursor":"…"}`.  The cursor is the path that the
 * page before ended with.
 *
 *     r = page_begin(&page, req, "accounts", e);
 *     while (r >= 0 && (root = page_root(&page, RIGHT_VIEW(ACCOUNTS))))
 *             r = account_list(…, root, page.after, page.left + 1, list_account, &page, e);
 *     return r < 0 ? r : page_end(&page);
 *
 * It asks for one more than the page has room for; list_account() gets the page as userdata:
 *
 *     if (!page_take(page, a->path))
 *             return 0;
 */

#include <stdbool.h>

#include "lib/json.h"
#include "lib/key-uri.h"
#include "service/request.h"

typedef struct Page {
        const Principal *principal;
        Roots roots;
        size_t root; /* the next */
        bool begun;
        JsonOut o;
        unsigned left;
        char after[PATH_MAX_LEN], last[PATH_MAX_LEN];
        bool more;
} Page;

/* Reads ?limit= and ?cursor=.  -CSIGN_E_BAD_REQUEST. */
int page_begin(Page *p, Request *req, const char *name, Error *e);

/* Whether the next one is of this page; if so, write it. */
bool page_take(Page *p, const char *path);

/* The TSGs where the caller has the right, one after the other, as far as the page wants them;
 * NULL: enough.  after and left are then for this one's rows. */
const Root *page_root(Page *p, Right right);

int page_end(Page *p);

/* The same after the array's end, for who has more to say beside it. */
int page_finish(Page *p);
