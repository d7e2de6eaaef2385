/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of listings. */

#include "service/page.h"

#include <stdio.h>

int page_begin(Page *p, Request *req, const char *name, Error *e) {
        int r;

        *p = (Page){ .o = JSON_OUT(&req->reply) };
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

int page_end(Page *p) {
        json_end_array(&p->o);
        json_out_str(&p->o, "next_cursor", p->more ? p->last : "");
        json_end_object(&p->o);
        return p->o.r;
}
