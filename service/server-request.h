/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a worker needs of a request, copied out of evhttp, by the loop's thread. */

#include <event2/http.h>

#include "service/request.h"

/* Finds the route, too.  A failure is left in req->error. */
void server_request_take(Request *req, struct evhttp_request *http);
