/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/notify.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void notify(const char *state) {
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

uint64_t notify_watchdog_period(void) {
        const char *whose = getenv("WATCHDOG_PID");
        uint64_t usec, pid;

        if (!parse_u64(getenv("WATCHDOG_USEC"), &usec))
                return 0;
        if (whose && (!parse_u64(whose, &pid) || pid != (uint64_t) getpid()))
                return 0;
        return usec / 2;
}
