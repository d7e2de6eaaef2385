/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the listening socket. */

#include "service/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 512

static int open_one(const struct addrinfo *ai) {
        int fd, on = 1, r;

        fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
        if (fd < 0)
                return -errno;
        /* Accepted sockets inherit these. */
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0 ||
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
            bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
                r = -errno;
                close(fd);
                return r;
        }
        return fd;
}

int listen_open(int *ret_fd, const char *host, const char *port, Error *e) {
        struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                                  .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
        struct addrinfo *list = NULL;
        int fd = -EADDRNOTAVAIL, r;

        r = getaddrinfo(host[0] ? host : NULL, port, &hints, &list);
        if (r != 0)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "listen: '%s': %s", host, gai_strerror(r));
        for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
                fd = open_one(ai);
        freeaddrinfo(list);
        if (fd < 0)
                return error_set(e, fd, "cannot listen on %s:%s: %s", host, port, strerror(-fd));
        *ret_fd = fd;
        return 0;
}

char *listen_address(int fd, char buf[static LISTEN_TEXT_MAX]) {
        struct sockaddr_storage address;
        socklen_t len = sizeof(address);
        char host[64], port[8];

        buf[0] = '\0';
        if (getsockname(fd, (struct sockaddr *) &address, &len) < 0 ||
            getnameinfo((struct sockaddr *) &address, len, host, sizeof(host), port, sizeof(port),
                        NI_NUMERICHOST | NI_NUMERICSERV) != 0)
                return buf;
        snprintf(buf, LISTEN_TEXT_MAX, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
        return buf;
}
