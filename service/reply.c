/* SPDX-License-Identifier: Apache-2.0 */

#include "service/reply.h"

#include <errno.h>
#include <stdlib.h>

static void wipe_reply(const void *data, size_t len, void *arg) {
        erase((void *) data, len);
        free((void *) data);
}

int reply_body(Request *req, enum evhttp_cmd_type method, struct evbuffer *body) {
        Buf *reply = &req->reply;

        if (reply->len == 0 || method == EVHTTP_REQ_HEAD)
                return 0;
        if (evbuffer_add_reference(body, reply->data, reply->len, wipe_reply, NULL) < 0)
                return -ENOMEM;
        *reply = (Buf){};
        return 0;
}
