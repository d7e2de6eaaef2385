/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The only maker of HTTP errors: problem documents (RFC 9457). */

#include "lib/error.h"
#include "lib/json.h"
#include "service/request.h"

/* Makes the reply of req->error: status, type and body.  What is our own trouble is logged, and
 * answered without its detail.  An OAuth route gets error and error_description besides. */
void problem_reply(Request *req);

/* The same as a member of another reply: one item of a batch. */
void problem_write(JsonOut *o, const char *name, const Error *e);
