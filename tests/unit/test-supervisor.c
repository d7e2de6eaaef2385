/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/supervisor.h"
#include "tests/unit/test.h"

static char path[] = "/tmp/csign-test-supervisor-XXXXXX";

static int listen_at(const char *name) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        socklen_t len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(name));
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        memcpy(address.sun_path, name, strlen(name));
        if (name[0] == '@')
                address.sun_path[0] = '\0';
        assert_int_equal(bind(fd, (const struct sockaddr *) &address, len), 0);
        return fd;
}

static void systemd_hears_it_by_path_and_by_abstract_name(void **state) {
        char abstract[64], file[64];
        const char *const names[] = { abstract, file };

        snprintf(abstract, sizeof(abstract), "@csign-test-supervisor-%d", getpid());
        snprintf(file, sizeof(file), "%s/socket", path);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                int fd = listen_at(names[i]);
                char said[32] = "";

                assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
                supervisor_notify("READY=1");
                assert_int_equal(recv(fd, said, sizeof(said) - 1, 0), strlen("READY=1"));
                assert_string_equal(said, "READY=1");
                (void) close(fd);
        }
        (void) unlink(file);
}

static void without_a_socket_nothing_happens(void **state) {
        static const char *const names[] = { "", "/", "relative", "/nobody/listens/here" };
        char far[200];

        memset(far, 'x', sizeof(far) - 1);
        far[0] = '/';
        far[sizeof(far) - 1] = '\0';
        (void) unsetenv("NOTIFY_SOCKET");
        supervisor_notify("READY=1");
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
                supervisor_notify("READY=1");
        }
        assert_int_equal(setenv("NOTIFY_SOCKET", far, 1), 0);
        supervisor_notify("READY=1");
        (void) unsetenv("NOTIFY_SOCKET");
}

static void the_watchdog_is_fed_twice_as_often_as_it_waits(void **state) {
        char self[16], other[16];
        const struct {
                const char *usec, *pid;
                uint64_t expect;
        } cases[] = {
                { NULL, NULL, 0 },
                { "30000000", NULL, 15000000 },
                { "30000000", self, 15000000 },
                { "30000000", other, 0 },
                { "30000000", "", 0 },
                { "", NULL, 0 },
                { "-1", NULL, 0 },
                { "1x", NULL, 0 },
                { "99999999999999999999", NULL, 0 },
        };

        snprintf(self, sizeof(self), "%d", getpid());
        snprintf(other, sizeof(other), "%d", getppid());
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                (void) unsetenv("WATCHDOG_USEC");
                (void) unsetenv("WATCHDOG_PID");
                if (cases[i].usec)
                        (void) setenv("WATCHDOG_USEC", cases[i].usec, 1);
                if (cases[i].pid)
                        (void) setenv("WATCHDOG_PID", cases[i].pid, 1);
                assert_int_equal(supervisor_watchdog_period(), cases[i].expect);
        }
}

/* In a child, where descriptor 3 is free to be what systemd makes it. */
static int inherited(int type, const char *fds, bool ours) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int status;
        pid_t pid;

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                char self[16];
                int fd = socket(AF_UNIX, type, 0);

                snprintf(self, sizeof(self), "%d", ours ? getpid() : getppid());
                if (bind(fd, (const struct sockaddr *) &address, sizeof(sa_family_t)) < 0 ||
                    (type != SOCK_DGRAM && listen(fd, 1) < 0) || (fd != 3 && dup2(fd, 3) < 0))
                        _exit(100);
                (void) setenv("LISTEN_PID", self, 1);
                (void) setenv("LISTEN_FDS", fds, 1);
                fd = supervisor_socket(SOCK_SEQPACKET);
                _exit(fd < 0 ? 1 : supervisor_socket(SOCK_SEQPACKET) < 0 ? fd : 101);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void systemds_socket_is_taken_once_if_it_is_what_was_wanted(void **state) {
        assert_int_equal(supervisor_socket(SOCK_SEQPACKET), -1);
        assert_int_equal(inherited(SOCK_SEQPACKET, "1", true), 3);
        assert_int_equal(inherited(SOCK_SEQPACKET, "1", false), 1);
        assert_int_equal(inherited(SOCK_SEQPACKET, "2", true), 1);
        assert_int_equal(inherited(SOCK_SEQPACKET, "", true), 1);
        assert_int_equal(inherited(SOCK_STREAM, "1", true), 1);
        assert_int_equal(inherited(SOCK_DGRAM, "1", true), 1);
}

static int make_folder(void **state) {
        return mkdtemp(path) ? 0 : -1;
}

static int remove_folder(void **state) {
        return rmdir(path);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(systemd_hears_it_by_path_and_by_abstract_name),
                cmocka_unit_test(without_a_socket_nothing_happens),
                cmocka_unit_test(the_watchdog_is_fed_twice_as_often_as_it_waits),
                cmocka_unit_test(systemds_socket_is_taken_once_if_it_is_what_was_wanted),
        };

        return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
