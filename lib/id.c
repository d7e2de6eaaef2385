/* SPDX-License-Identifier: Apache-2.0 */
/* Opaque random ids.  The kernel makes them: csign.so needs them in programs whose libcrypto has no
 * provider of random numbers. */

#include "lib/id.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <sys/random.h>

#define PREFIX_MAX  8
#define RANDOM_SIZE 16
#define TEXT_LEN    26

static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";

static void id_write(char *p, const char *prefix, const uint8_t raw[static RANDOM_SIZE]) {
        size_t n = strlen(prefix);
        unsigned bits = 0;
        uint32_t v = 0;

        assert(n > 0 && n <= PREFIX_MAX);

        p = mempcpy(p, prefix, n);
        *p++ = '_';
        for (size_t i = 0; i < RANDOM_SIZE; i++) {
                v = v << 8 | raw[i];
                for (bits += 8; bits >= 5; bits -= 5)
                        *p++ = digits[v >> (bits - 5) & 31];
        }
        *p++ = digits[v << (5 - bits) & 31]; /* 128 = 25 * 5 + 3 */
        *p = '\0';
}

int id_new(char buf[static ID_MAX], const char *prefix) {
        uint8_t raw[RANDOM_SIZE];

        if (getrandom(raw, sizeof(raw), 0) != (ssize_t) sizeof(raw))
                return -EIO;
        id_write(buf, prefix, raw);
        return 0;
}

int id_new_timed(char buf[static ID_MAX], const char *prefix) {
        uint8_t raw[RANDOM_SIZE];
        struct timespec now;
        uint64_t ticks;

        if (getrandom(raw, sizeof(raw), 0) != (ssize_t) sizeof(raw) ||
            clock_gettime(CLOCK_REALTIME, &now) < 0)
                return -EIO;
        ticks = (uint64_t) now.tv_sec << 6 | (uint64_t) now.tv_nsec >> 24; /* 60 a second */
        for (size_t i = 0; i < 5; i++)
                raw[i] = (uint8_t) (ticks >> (32 - 8 * i));
        id_write(buf, prefix, raw);
        return 0;
}

bool id_is_valid(const char *text, const char *prefix) {
        const char *sep = strchr(text, '_');
        size_t n = sep ? (size_t) (sep - text) : 0;

        if (n == 0 || n > PREFIX_MAX || strspn(text, "abcdefghijklmnopqrstuvwxyz") != n)
                return false;
        if (prefix && (strlen(prefix) != n || memcmp(text, prefix, n) != 0))
                return false;
        return strlen(sep + 1) == TEXT_LEN && strspn(sep + 1, digits) == TEXT_LEN;
}
