/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The socket of csign-keystore: lets in one uid, and gives each connection its own worker threads,
 * which all receive from it: the kernel hands each packet to one of them. */

#include <sys/types.h>

#include "lib/error.h"
#include "service/keystore/builtin.h"
#include "service/keystore/memory.h"

#define CONNECTIONS_MAX 8

typedef struct ServerOptions {
        const char *socket_path;
        uid_t peer_uid;    /* the only one that is let in */
        unsigned threads;  /* for each connection */
        MemoryLock locked; /* what HELLO tells */
} ServerOptions;

typedef struct Server Server;

/* Listens, unless systemd did so for us.  A socket that a dead key store left behind is replaced;
 * -EADDRINUSE when one lives. builtin outlives the server. */
int server_new(Server **ret, const ServerOptions *o, Builtin *builtin, Error *e);

/* Serves until stop_fd becomes readable.  May be called again: what goes on, goes on meanwhile. */
int server_run(Server *s, int stop_fd, Error *e);

/* Lets the signatures in progress finish, then closes all and removes the socket. */
void server_free(Server *s);
DEFINE_CLEANUP(Server, server_free)
