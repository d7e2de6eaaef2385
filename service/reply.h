/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The bytes of a reply on their way out: there is one copy of them, and it is wiped when it is
 * sent, for it may have a token, or a key. */

#include <event2/buffer.h>
#include <event2/http.h>

#include "service/request.h"

/* Takes the reply out of req; to HEAD there is no body.  -ENOMEM. */
int reply_body(Request *req, enum evhttp_cmd_type method, struct evbuffer *body);
