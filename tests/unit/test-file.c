/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/file.h"
#include "tests/unit/test.h"

static char folder[] = "/tmp/csign-test-file-XXXXXX";
static char path_buf[4][128];

/* Valid until the fourth call after it. */
static const char *at(const char *name) {
        static unsigned turn;
        char *p = path_buf[turn++ % ELEMENTSOF(path_buf)];

        (void) snprintf(p, sizeof(path_buf[0]), "%s/%s", folder, name);
        return p;
}

static int make_folder(void **state) {
        (void) umask(077);
        return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
        static const char *const names[] = { "plain",
                                             "link",
                                             "new",
                                             "secret",
                                             "csign.secret",
                                             "csign.secret.encrypted",
                                             "fifo",
                                             "big",
                                             "a/b/c",
                                             "a/b",
                                             "a",
                                             "dir/secret",
                                             "dir",
                                             NULL };

        for (size_t i = 0; names[i]; i++)
                (void) remove(at(names[i]));
        return rmdir(folder);
}

static void write_file(const char *name, const char *content, mode_t mode) {
        int fd = open(at(name), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, content, strlen(content)), strlen(content));
        assert_int_equal(fchmod(fd, mode), 0);
        assert_int_equal(close(fd), 0);
}

static mode_t mode_of(const char *name) {
        struct stat st;

        assert_int_equal(lstat(at(name), &st), 0);
        return st.st_mode & 07777;
}

static void trust_is_checked_by_owner_and_mode(void **state) {
        static const struct {
                mode_t mode;
                int any, trusted, private;
        } cases[] = {
                { 0400, 0, 0, 0 },
                { 0600, 0, 0, 0 },
                { 0644, 0, 0, -CSIGN_E_BAD_CREDENTIAL },
                { 0640, 0, 0, -CSIGN_E_BAD_CREDENTIAL },
                { 0604, 0, 0, -CSIGN_E_BAD_CREDENTIAL },
                { 0620, 0, -CSIGN_E_BAD_CONFIG, -CSIGN_E_BAD_CREDENTIAL },
                { 0602, 0, -CSIGN_E_BAD_CONFIG, -CSIGN_E_BAD_CREDENTIAL },
                { 0666, 0, -CSIGN_E_BAD_CONFIG, -CSIGN_E_BAD_CREDENTIAL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const int expect[] = { cases[i].any, cases[i].trusted, cases[i].private };

                write_file("plain", "text", cases[i].mode);
                for (FileTrust t = FILE_ANY; t <= FILE_PRIVATE; t++) {
                        _cleanup_(buf_done) Buf b = {};
                        Error e = {};
                        int r = file_read(at("plain"), t, &b, &e);

                        if (expect[t] == 0) {
                                assert_int_equal(r, 0);
                                assert_string_equal(buf_str(&b), "text");
                                continue;
                        }
                        assert_refused(r, expect[t], &e);
                        assert_non_null(strstr(e.detail, at("plain")));
                        assert_int_equal(b.len, 0);
                }
                assert_int_equal(unlink(at("plain")), 0);
        }
}

static void a_strangers_file_is_not_trusted(void **state) {
        _cleanup_(buf_done) Buf b = {};
        Error e = {};

        if (geteuid() != 0) /* only root can give a file away */
                return;
        write_file("plain", "text", 0600);
        assert_int_equal(chown(at("plain"), 65534, 65534), 0);
        assert_refused(file_read(at("plain"), FILE_TRUSTED, &b, &e), -CSIGN_E_BAD_CONFIG, &e);
        assert_refused(file_read(at("plain"), FILE_PRIVATE, &b, &e), -CSIGN_E_BAD_CREDENTIAL, &e);
        assert_int_equal(unlink(at("plain")), 0);
}

static void only_regular_files_are_read(void **state) {
        _cleanup_(buf_done) Buf b = {};
        Error e = {};

        write_file("plain", "text", 0600);
        assert_int_equal(symlink("plain", at("link")), 0);
        assert_true(file_read(at("link"), FILE_ANY, &b, &e) < 0);
        assert_string_not_equal(e.detail, "");
        assert_int_equal(mkfifo(at("fifo"), 0600), 0);
        assert_true(file_read(at("fifo"), FILE_ANY, &b, &e) <
                    0); /* and does not wait for a writer */
        assert_true(file_read(folder, FILE_ANY, &b, &e) < 0);
        assert_true(file_read("/dev/zero", FILE_ANY, &b, &e) < 0);
        assert_int_equal(file_read(at("nothing"), FILE_ANY, &b, &e), -ENOENT);
        assert_non_null(strstr(e.detail, "nothing"));
        assert_int_equal(b.len, 0);
}

static void reading_has_a_bound(void **state) {
        _cleanup_(buf_done) Buf b = BUF_MAX(3);
        _cleanup_(secret_done) Secret s = {};
        Error e = {};

        write_file("plain", "text", 0600);
        assert_int_equal(file_read(at("plain"), FILE_ANY, &b, &e), -E2BIG);
        assert_int_equal(b.len, 0);
        assert_int_equal(file_read_secret(at("plain"), 3, &s, &e), -E2BIG);
        assert_null(s.data);
        assert_int_equal(file_read_secret(at("plain"), 4, &s, &e), 0);
        assert_int_equal(s.len, 4);
        assert_string_equal((const char *) s.data, "text");
}

static void secrets_must_be_private(void **state) {
        _cleanup_(secret_done) Secret s = {};
        Error e = {};

        write_file("secret", "text", 0644);
        assert_refused(file_read_secret(at("secret"), 100, &s, &e), -CSIGN_E_BAD_CREDENTIAL, &e);
        assert_null(s.data);
}

static void replacing_is_whole_and_the_mode_is_exact(void **state) {
        _cleanup_(buf_done) Buf b = {};
        Error e = {};

        (void) umask(0);
        assert_int_equal(file_replace(at("new"), "one", 3, 0640, &e), 0);
        assert_int_equal(mode_of("new"), 0640);
        (void) umask(077);
        assert_int_equal(file_replace(at("new"), "second", 6, 0644, &e), 0);
        assert_int_equal(mode_of("new"), 0644);
        assert_int_equal(file_read(at("new"), FILE_ANY, &b, &e), 0);
        assert_string_equal(buf_str(&b), "second");
        assert_true(file_replace(at("no/such/folder"), "x", 1, 0600, &e) < 0);
        assert_string_not_equal(e.detail, "");
}

static void creating_never_overwrites(void **state) {
        _cleanup_(buf_done) Buf b = {};
        Error e = {};

        (void) unlink(at("new"));
        assert_int_equal(file_create(at("new"), "first", 5, 0600, &e), 0);
        assert_int_equal(mode_of("new"), 0600);
        assert_int_equal(file_create(at("new"), "other", 5, 0600, &e), -EEXIST);
        assert_int_equal(file_read(at("new"), FILE_PRIVATE, &b, &e), 0);
        assert_string_equal(buf_str(&b), "first");
}

static void what_systemd_handed_over_is_found_and_trusted(void **state) {
        _cleanup_(secret_done) Secret s = {};
        char path[PATH_MAX];
        Error e = {};

        assert_false(file_handed_over("csign.secret", path));
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
        assert_false(file_handed_over("csign.secret", path));

        write_file("csign.secret.encrypted", "text", 0440);
        assert_true(file_handed_over("csign.secret", path));
        assert_string_equal(path, at("csign.secret.encrypted"));
        assert_int_equal(file_read_secret(path, 100, &s, &e), 0);
        assert_string_equal((const char *) s.data, "text");

        /* What is plain there goes first.  Everybody's it may not be, nor lie deeper. */
        write_file("csign.secret", "more", 0444);
        assert_true(file_handed_over("csign.secret", path));
        assert_string_equal(path, at("csign.secret"));
        assert_refused(file_read_secret(path, 100, &s, &e), -CSIGN_E_BAD_CREDENTIAL, &e);
        assert_int_equal(dir_create(at("dir"), 0700, &e), 0);
        write_file("dir/secret", "text", 0440);
        assert_refused(file_read_secret(at("dir/secret"), 100, &s, &e), -CSIGN_E_BAD_CREDENTIAL,
                       &e);

        assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
        assert_refused(file_read_secret(at("csign.secret.encrypted"), 100, &s, &e),
                       -CSIGN_E_BAD_CREDENTIAL, &e);
}

static void folders_are_made_with_their_parents(void **state) {
        struct stat st;
        Error e = {};

        assert_int_equal(dir_create(at("a/b/c"), 0700, &e), 0);
        assert_int_equal(stat(at("a/b/c"), &st), 0);
        assert_true(S_ISDIR(st.st_mode));
        assert_int_equal(mode_of("a/b/c"), 0700);
        assert_int_equal(chmod(at("a/b/c"), 0711), 0);
        assert_int_equal(dir_create(at("a/b/c"), 0700, &e), 0);
        assert_int_equal(mode_of("a/b/c"), 0711);
        write_file("plain", "x", 0600);
        assert_true(dir_create(at("plain"), 0700, &e) < 0);
        assert_string_not_equal(e.detail, "");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(trust_is_checked_by_owner_and_mode),
                cmocka_unit_test(a_strangers_file_is_not_trusted),
                cmocka_unit_test(only_regular_files_are_read),
                cmocka_unit_test(reading_has_a_bound),
                cmocka_unit_test(secrets_must_be_private),
                cmocka_unit_test(replacing_is_whole_and_the_mode_is_exact),
                cmocka_unit_test(creating_never_overwrites),
                cmocka_unit_test(what_systemd_handed_over_is_found_and_trusted),
                cmocka_unit_test(folders_are_made_with_their_parents),
        };

        return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
