/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/file.h"
#include "service/backup-file.h"
#include "tests/unit/test.h"

static const char *const contents[BACKUP_FILES] = { "the database", "the key", "",
                                                    "the authority" };

typedef struct Fixture {
        char folder[40], paths[BACKUP_FILES + 1][64];
        const char *sources[BACKUP_FILES];
        int fd;
} Fixture;

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        Error e = {};

        strcpy(f->folder, "/tmp/test-backup-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        for (size_t i = 0; i <= BACKUP_FILES; i++)
                snprintf(f->paths[i], sizeof(f->paths[i]), "%s/%zu", f->folder, i);
        for (size_t i = 0; i < BACKUP_FILES; i++) {
                f->sources[i] = f->paths[i];
                assert_int_equal(
                        file_create(f->paths[i], contents[i], strlen(contents[i]), 0600, &e), 0);
        }
        f->fd = open(f->folder, O_TMPFILE | O_RDWR, 0600);
        assert_true(f->fd >= 0);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        for (size_t i = 0; i <= BACKUP_FILES; i++)
                unlink(f->paths[i]);
        rmdir(f->folder);
        close(f->fd);
        free(f);
        return 0;
}

static void what_was_written_comes_out(void **state) {
        Fixture *f = *state;
        BackupIndex index;
        Error e = {};

        assert_int_equal(backup_write(f->fd, f->sources, &e), 0);
        assert_int_equal(backup_read(f->fd, &index, &e), 0);
        for (size_t i = 0; i < BACKUP_FILES; i++) {
                _cleanup_(buf_done) Buf b = {};
                struct stat st;

                assert_int_equal(backup_extract(f->fd, &index, i, f->paths[BACKUP_FILES], &e), 0);
                assert_int_equal(file_read(f->paths[BACKUP_FILES], FILE_ANY, &b, &e), 0);
                assert_string_equal(buf_str(&b), contents[i]);
                assert_int_equal(stat(f->paths[BACKUP_FILES], &st), 0);
                assert_int_equal(st.st_mode & 0777, backup_files[i].mode);
                assert_refused(backup_extract(f->fd, &index, i, f->paths[BACKUP_FILES], &e),
                               -EEXIST, &e);
                unlink(f->paths[BACKUP_FILES]);
        }
}

static void every_bit_and_every_length_counts(void **state) {
        Fixture *f = *state;
        BackupIndex index;
        struct stat st;
        Error e = {};

        assert_int_equal(backup_write(f->fd, f->sources, &e), 0);
        assert_int_equal(fstat(f->fd, &st), 0);
        for (off_t at = 0; at < st.st_size; at++) {
                uint8_t byte, turned;

                assert_int_equal(pread(f->fd, &byte, 1, at), 1);
                turned = byte ^ 0x10;
                assert_int_equal(pwrite(f->fd, &turned, 1, at), 1);
                assert_refused(backup_read(f->fd, &index, &e), -CSIGN_E_BAD_REQUEST, &e);
                assert_int_equal(pwrite(f->fd, &byte, 1, at), 1);
        }
        assert_int_equal(backup_read(f->fd, &index, &e), 0);
        for (off_t len = st.st_size - 1; len >= 0; len--) {
                assert_int_equal(ftruncate(f->fd, len), 0);
                assert_refused(backup_read(f->fd, &index, &e), -CSIGN_E_BAD_REQUEST, &e);
        }
}

static void a_source_that_is_missing_is_named(void **state) {
        Fixture *f = *state;
        Error e = {};

        unlink(f->paths[2]);
        assert_refused(backup_write(f->fd, f->sources, &e), -ENOENT, &e);
        assert_non_null(strstr(e.detail, f->paths[2]));
}

#define FIXTURE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                FIXTURE_TEST(what_was_written_comes_out),
                FIXTURE_TEST(every_bit_and_every_length_counts),
                FIXTURE_TEST(a_source_that_is_missing_is_named),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
