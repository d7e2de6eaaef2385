/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What stands between a connection and evhttp: checks what comes before evhttp reads it, answers by
 * itself to what is no request, and does not wait for slow clients.
 *
 * evhttp answers to what it cannot read with a page of HTML, and cannot be told otherwise; so it
 * must never see that.  The guard takes the bufferevent's callbacks away from evhttp, sends its
 * problem document, reads what still comes for a moment (or the answer would be lost in a reset),
 * and ends the connection.
 *
 * All of it runs in the connection's loop. */

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>

#include "service/head-check.h"
#include "service/service.h"

typedef struct Guard {
        Service *service;
        struct bufferevent *bev;
        struct event *timer;
        HeadCheck head;
        bool busy;                         /* a request is being handled */
        char address[64];                  /* "" until it was counted */
        struct evhttp_connection *refused; /* once evhttp is cut off */
} Guard;

/* The clock runs from here on, through the TLS handshake. */
int guard_init(Guard *g, Service *s, struct bufferevent *bev, struct event_base *base);
void guard_done(Guard *g);

/* Bytes came: called before evhttp is. */
void guard_input(Guard *g, struct evbuffer *in, size_t n_new, size_t body_max);

void guard_begin(Guard *g); /* the request goes to its handler */

/* Whether the client sent more before it had its reply. */
bool guard_has_excess(const Guard *g);

/* Its reply is out.  false: the client had not waited for it, and what it has sent since was not
 * checked: the connection must be closed. */
bool guard_end(Guard *g);
