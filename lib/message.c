/* SPDX-License-Identifier: Apache-2.0 */
/* Messages in sealed memory. */

#include "lib/message.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static const uint8_t nothing[1]; /* what an empty message points to: there is no empty mapping */

int message_new(void) {
        int fd = memfd_create("csign-message", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        return fd < 0 ? -errno : fd;
}

int message_append(int fd, const void *data, size_t len) {
        const uint8_t *p = data;

        while (len > 0) {
                ssize_t n = write(fd, p, len);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0) {
                        p += n;
                        len -= (size_t) n;
                }
        }
        return 0;
}

int message_seal(int fd) {
        return fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

int message_of(const void *data, size_t len) {
        int fd, r;

        fd = message_new();
        if (fd < 0)
                return fd;

        r = message_append(fd, data, len);
        if (r >= 0)
                r = message_seal(fd);
        if (r < 0) {
                close(fd);
                return r;
        }
        return fd;
}

int message_copy(int fd, size_t len) {
        struct stat st;
        void *data;
        int copy, r;

        if (fstat(fd, &st) < 0)
                return -errno;
        if ((uint64_t) st.st_size < len)
                return -ENODATA;
        copy = message_new();
        if (copy < 0 || len == 0)
                return copy;

        data = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
        r = data == MAP_FAILED ? -errno : message_append(copy, data, len);
        if (data != MAP_FAILED)
                munmap(data, len);
        if (r < 0) {
                close(copy);
                return r;
        }
        return copy;
}

int message_check_size(uint64_t len, size_t max, Error *e) {
        if (len <= max)
                return 0;
        return error_set(
                e, -CSIGN_E_TOO_LARGE,
                "a message of %llu bytes is too large to be signed whole: the limit is %zu "
                "(message-max)",
                (unsigned long long) len, max);
}

int message_map(Message *ret, int fd, size_t max, Error *e) {
        struct stat st;
        void *data;
        int seals, r;

        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "the message is not in memory that is sealed against writing, "
                                 "growing, shrinking and further seals");
        r = message_check_size((uint64_t) st.st_size, max, e);
        if (r < 0)
                return r;

        *ret = (Message){ .data = nothing };
        if (st.st_size == 0)
                return 0;
        data = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
                return error_set(e, -errno, "no memory for a message of %lld bytes",
                                 (long long) st.st_size);
        *ret = (Message){ .data = data, .len = (size_t) st.st_size };
        return 0;
}

void message_unmap(Message *m) {
        if (m->len > 0)
                munmap((void *) m->data, m->len);
        *m = (Message){};
}
