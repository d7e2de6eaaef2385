/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/message.h"
#include "tests/unit/test.h"

static void a_message_arrives_as_it_was(void **state) {
        static const size_t sizes[] = { 0, 1, 4096, 70001 };
        static const uint8_t bytes[70001] = { 1, 2, 3 };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                Message m = {};
                Error e = {};
                int fd = message_of(bytes, sizes[i]);

                assert_true(fd >= 0);
                assert_int_equal(message_map(&m, fd, sizes[i], &e), 0);
                close(fd);
                assert_non_null(m.data);
                assert_int_equal(m.len, sizes[i]);
                assert_memory_equal(m.data, bytes, sizes[i]);
                message_unmap(&m);
        }
}

static void a_sealed_message_cannot_change(void **state) {
        int fd = message_of("abc", 3);

        assert_int_equal(write(fd, "d", 1), -1);
        assert_int_equal(pwrite(fd, "d", 1, 0), -1);
        assert_int_equal(ftruncate(fd, 0), -1);
        assert_int_equal(ftruncate(fd, 100), -1);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
        close(fd);
}

static void a_copy_goes_on_where_the_first_is_sealed(void **state) {
        int fd = message_new(), copy;
        Message m = {};
        Error e = {};

        assert_int_equal(message_append(fd, "abc", 3), 0);
        assert_int_equal(message_seal(fd), 0);
        copy = message_copy(fd, 3);
        assert_true(copy >= 0);
        assert_int_equal(message_append(copy, "def", 3), 0);
        assert_int_equal(message_seal(copy), 0);
        assert_int_equal(message_map(&m, copy, 6, &e), 0);
        assert_memory_equal(m.data, "abcdef", 6);
        message_unmap(&m);
        close(copy);

        assert_int_equal(message_copy(fd, 4), -ENODATA);
        close(fd);
}

static void what_could_change_is_refused(void **state) {
        static const int seals[] = { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE };
        const int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

        for (size_t i = 0; i < ELEMENTSOF(seals); i++) {
                Message m = {};
                Error e = {};
                int fd = message_new();

                assert_int_equal(message_append(fd, "abc", 3), 0);
                assert_int_equal(fcntl(fd, F_ADD_SEALS, all & ~seals[i]), 0);
                assert_refused(message_map(&m, fd, 3, &e), -CSIGN_E_BAD_REQUEST, &e);
                close(fd);
        }
}

static void other_files_are_refused(void **state) {
        int fds[] = { open("/dev/null", O_RDONLY), open("/proc/self/exe", O_RDONLY), -1 };

        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                Message m = {};
                Error e = {};

                assert_refused(message_map(&m, fds[i], 1 << 20, &e), -CSIGN_E_BAD_REQUEST, &e);
                if (fds[i] >= 0)
                        close(fds[i]);
        }
}

static void a_message_has_a_limit(void **state) {
        int fd = message_of("abcd", 4);
        Message m = {};
        Error e = {};

        assert_refused(message_map(&m, fd, 3, &e), -CSIGN_E_TOO_LARGE, &e);
        assert_non_null(strstr(e.detail, "message-max"));
        close(fd);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_message_arrives_as_it_was),
                cmocka_unit_test(a_sealed_message_cannot_change),
                cmocka_unit_test(a_copy_goes_on_where_the_first_is_sealed),
                cmocka_unit_test(what_could_change_is_refused),
                cmocka_unit_test(other_files_are_refused),
                cmocka_unit_test(a_message_has_a_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
