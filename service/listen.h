/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The listening socket. */

#include "lib/error.h"

/* host "" for all addresses, port "0" for any.  Replies leave at once (TCP_NODELAY): HTTP's head
 * and body are two TLS records, and Nagle's delay between them is 40 ms. */
int listen_open(int *ret_fd, const char *host, const char *port, Error *e);

#define LISTEN_TEXT_MAX 80
char *listen_address(int fd, char buf[static LISTEN_TEXT_MAX]); /* "127.0.0.1:8443" */
