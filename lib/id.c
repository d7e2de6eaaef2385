/* SPDX-License-Identifier: Apache-2.0 */
/* Opaque random ids.  The kernel makes them: csign.so needs them in programs whose libcrypto has no
 * provider of random numbers. */

#include "lib/id.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define PREFIX_MAX  8
#define RANDOM_SIZE 16
#define TIME_SIZE   6 /* of them, where the id begins with the time */
#define TEXT_LEN    26

static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";

static void encode(const uint8_t raw[static RANDOM_SIZE], const char *prefix, char *buf) {
        size_t n = strlen(prefix);
        unsigned bits = 0;
        uint32_t v = 0;
        char *p = buf;

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
        encode(raw, prefix, buf);
        return 0;
}

int id_new_timed(char buf[static ID_MAX], const char *prefix) {
        uint8_t raw[RANDOM_SIZE];
        struct timespec now;
        uint64_t msec;

        if (getrandom(raw + TIME_SIZE, RANDOM_SIZE - TIME_SIZE, 0) != RANDOM_SIZE - TIME_SIZE)
                return -EIO;
        clock_gettime(CLOCK_REALTIME, &now);
        msec = (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
        for (size_t i = 0; i < TIME_SIZE; i++)
                raw[i] = (uint8_t) (msec >> 8 * (TIME_SIZE - 1 - i));
        encode(raw, prefix, buf);
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
