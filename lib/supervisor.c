/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_FDS_START 3

void supervisor_notify(const char *state) {
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t len = path ? strlen(path) : 0;
        int fd;

        if (len < 2 || len >= sizeof(address.sun_path) || !strchr("/@", path[0]))
                return;
        memcpy(address.sun_path, path, len);
        if (path[0] == '@')
                address.sun_path[0] = '\0'; /* an abstract name */

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return;
        (void) sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *) &address,
                      (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len));
        (void) close(fd);
}

static bool parse_u64(const char *text, uint64_t *ret) {
        char *end;

        if (!text || *text < '0' || *text > '9')
                return false;
        errno = 0;
        *ret = strtoull(text, &end, 10);
        return errno == 0 && *end == '\0';
}

/* systemd writes it for one process, whose children inherit it. */
static bool is_for_us(const char *pid_name) {
        const char *text = getenv(pid_name);
        uint64_t pid;

        return parse_u64(text, &pid) && pid == (uint64_t) getpid();
}

uint64_t supervisor_watchdog_period(void) {
        uint64_t usec;

        if (!parse_u64(getenv("WATCHDOG_USEC"), &usec))
                return 0;
        return !getenv("WATCHDOG_PID") || is_for_us("WATCHDOG_PID") ? usec / 2 : 0;
}

static bool listens(int fd, int type) {
        struct sockaddr_un address;
        socklen_t len = sizeof(address), int_len = sizeof(int);
        int have, accepts = 0;

        return getsockname(fd, (struct sockaddr *) &address, &len) == 0 &&
               address.sun_family == AF_UNIX &&
               getsockopt(fd, SOL_SOCKET, SO_TYPE, &have, &int_len) == 0 && have == type &&
               getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &int_len) == 0 && accepts;
}

int supervisor_socket(int type) {
        uint64_t n;

        if (!is_for_us("LISTEN_PID") || !parse_u64(getenv("LISTEN_FDS"), &n) || n != 1 ||
            !listens(LISTEN_FDS_START, type))
                return -1;
        if (fcntl(LISTEN_FDS_START, F_SETFD, FD_CLOEXEC) < 0 ||
            fcntl(LISTEN_FDS_START, F_SETFL, O_NONBLOCK) < 0)
                return -1;
        (void) unsetenv("LISTEN_PID"); /* it is given once */
        return LISTEN_FDS_START;
}
