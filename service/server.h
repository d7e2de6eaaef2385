/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* HTTPS: event loops do TLS and HTTP, workers run requests.  What serves HTTP (libevent's evhttp)
 * is known in server.c alone. */

#include "service/service.h"

/* Serves until SIGTERM or SIGINT, then finishes what runs.  When it is ready it says so in the log
 * and, if ready_fd >= 0, writes "READY address\n" to it and closes it. */
int server_run(Service *s, int ready_fd, Error *e);
