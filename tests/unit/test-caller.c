/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/caller.h"
#include "tests/unit/test.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include "lib/json.h"

static void own_exe(char buf[static 1024]) {
        ssize_t n = readlink("/proc/self/exe", buf, 1023);

        assert_true(n > 0);
        buf[n] = 0;
}

static void the_kernel_names_who_is_at_a_socket(void **state) {
        _cleanup_(caller_unrefp) Caller *c = NULL;
        char exe[1024], text[CALLER_TEXT_MAX];
        Error e = {};
        int pair[2];

        own_exe(exe);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(caller_from_socket(&c, pair[0], &e), 0);
        assert_int_equal(c->uid, getuid());
        assert_int_equal(c->gid, getgid());
        assert_int_equal(c->pid, getpid());
        assert_int_equal(c->n_groups, getgroups(0, NULL));
        assert_string_equal(c->exe, exe);
        assert_string_equal(c->exe_note, "");
        assert_non_null(strstr(caller_text(c, text), exe));
        close(pair[0]);
        close(pair[1]);
}

static void evidence_is_one_json_object(void **state) {
        _cleanup_(caller_unrefp) Caller *c = NULL;
        _cleanup_(json_decrefp) json_t *v = NULL;
        char exe[1024];
        Error e = {};

        own_exe(exe);
        assert_int_equal(caller_from_ids(&c, getuid(), getpid(), NULL, 0, &e), 0);
        assert_int_equal(c->gid, getgid()); /* from /proc: the bus did not tell */
        assert_int_equal(c->n_groups, getgroups(0, NULL));
        assert_int_equal(json_parse(c->evidence, strlen(c->evidence), &v, &e), 0);
        assert_int_equal(json_integer_value(json_object_get(v, "uid")), getuid());
        assert_int_equal(json_integer_value(json_object_get(v, "pid")), getpid());
        assert_string_equal(json_string_value(json_object_get(v, "exe")), exe);
        assert_null(json_object_get(v, "exe_note"));
        assert_true(strlen(c->evidence) <= 2048);
}

static void a_process_that_has_ended_is_said_so(void **state) {
        _cleanup_(caller_unrefp) Caller *c = NULL;
        gid_t groups[] = { 7 };
        Error e = {};
        pid_t pid;

        pid = fork();
        if (pid == 0)
                _exit(0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(caller_from_ids(&c, 1000, pid, groups, 1, &e), 0);
        assert_string_equal(c->exe, "");
        assert_string_equal(c->exe_note, "the process has ended");
        assert_int_equal(c->gid, (gid_t) -1);
        assert_int_equal(c->n_groups, 1); /* what the bus told holds */
        assert_non_null(strstr(c->evidence, "exe_note"));
        assert_null(strstr(c->evidence, "gid"));
}

/* A pid that is another user's by now has nothing to say about this one. */
static void nothing_of_another_users_process_is_taken(void **state) {
        _cleanup_(caller_unrefp) Caller *c = NULL;
        Error e = {};

        assert_int_equal(caller_from_ids(&c, getuid() + 1, getpid(), NULL, 0, &e), 0);
        assert_string_equal(c->exe, "");
        assert_int_equal(c->exe_fd, -1);
        assert_string_equal(c->command_line, "");
        assert_string_equal(c->exe_note, "the process is another user's by now");
        assert_int_equal(c->gid, (gid_t) -1);
        assert_int_equal(c->n_groups, 0);
}

static void a_file_is_nobody(void **state) {
        Caller *c = NULL;
        Error e = {};
        int fd[2];

        assert_int_equal(pipe(fd), 0);
        assert_refused(caller_from_socket(&c, fd[0], &e), -EPERM, &e);
        assert_null(c);
        close(fd[0]);
        close(fd[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_kernel_names_who_is_at_a_socket),
                cmocka_unit_test(evidence_is_one_json_object),
                cmocka_unit_test(a_process_that_has_ended_is_said_so),
                cmocka_unit_test(nothing_of_another_users_process_is_taken),
                cmocka_unit_test(a_file_is_nobody),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
