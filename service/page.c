/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of listings. */

#include "service/page.h"

#include <stdio.h>
#include <string.h>

int page_begin(Page *p, Request *req, const char *name, Error *e) {
        int r;

        *p = (Page){ .principal = req->principal, .o = JSON_OUT(&req->reply) };
        r = request_limit(req, &p->left, e);
        if (r >= 0)
                r = request_path(req, "cursor", p->after, e);
        if (r < 0)
                return r;

        json_begin_object(&p->o, NULL);
        json_begin_array(&p->o, name);
        return 0;
}

bool page_take(Page *p, const char *path) {
        if (p->left == 0) {
                p->more = true;
                return false;
        }
        p->left--;
        snprintf(p->last, sizeof(p->last), "%s", path);
        return true;
}

/* A cursor's path lies below one of the roots: those before it were shown already.  If its root is
 * gone by now, what came after it goes on. */
static size_t first_root(const Page *p) {
        size_t i = 0;

        if (p->after[0])
                for (; i < p->roots.n; i++)
                        if (path_is_below(p->after, p->roots.list[i].path) ||
                            strcmp(p->roots.list[i].path, p->after) > 0)
                                break;
        return i;
}

const Root *page_root(Page *p, Right right) {
        if (!p->begun) {
                policy_roots(p->principal, right, &p->roots);
                p->root = first_root(p);
                p->begun = true;
                if (p->root < p->roots.n && !path_is_below(p->after, p->roots.list[p->root].path))
                        p->after[0] = '\0';
        } else
                p->after[0] = '\0';
        return p->more || p->root >= p->roots.n ? NULL : &p->roots.list[p->root++];
}

int page_end(Page *p) {
        json_end_array(&p->o);
        return page_finish(p);
}

int page_finish(Page *p) {
        json_out_str(&p->o, "next_cursor", p->more ? p->last : "");
        json_end_object(&p->o);
        return p->o.r;
}
