/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/output.h"

static const int forwarded[] = { SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
static const int ignored[] = { SIGINT, SIGQUIT, SIGPIPE };

static struct sigaction before[NSIG];
static volatile sig_atomic_t watching, child_pid, pending;

/* ---- signals ---- */

static void forward_signal(int sig) {
        int saved = errno;

        /* What asks for an end asks csign, too. */
        if (sig == SIGTERM || sig == SIGHUP)
                pending = sig;
        if (child_pid > 0)
                (void) kill((pid_t) child_pid, sig);
        errno = saved;
}

void child_watch_signals(void) {
        struct sigaction forward = { .sa_handler = forward_signal, .sa_flags = SA_RESTART };
        struct sigaction ignore = { .sa_handler = SIG_IGN };

        for (size_t i = 0; i < ELEMENTSOF(forwarded); i++)
                (void) sigaction(forwarded[i], &forward, &before[forwarded[i]]);
        for (size_t i = 0; i < ELEMENTSOF(ignored); i++)
                (void) sigaction(ignored[i], &ignore, &before[ignored[i]]);
        watching = 1;
}

static void restore_signals(void) {
        if (!watching)
                return;
        for (size_t i = 0; i < ELEMENTSOF(forwarded); i++)
                (void) sigaction(forwarded[i], &before[forwarded[i]], NULL);
        for (size_t i = 0; i < ELEMENTSOF(ignored); i++)
                (void) sigaction(ignored[i], &before[ignored[i]], NULL);
}

/* ---- in the child ---- */

int child_exec(char *const argv[]) {
        Error e = {};

        (void) execvp(argv[0], argv);
        (void) error_set(&e, -errno, "cannot run %s: %s", argv[0], strerror(errno));
        output_error(&e, NULL);
        return e.code == -ENOENT ? 127 : 126;
}

static void child(const Child *c, int out) {
        int status;

        if (c->openssl_conf)
                (void) setenv("OPENSSL_CONF", c->openssl_conf, 1);
        if (c->without_csign) {
                (void) unsetenv("OPENSSL_MODULES");
                (void) unsetenv("CSIGN_MODULE");
                (void) unsetenv("CSIGN_BUS");
        }
        if (out >= 0 && (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0))
                _exit(126);
        status = child_exec(c->argv);
        (void) fflush(NULL);
        _exit(status);
}

/* ---- in the parent ---- */

/* No signal between fork() and the moment when both know what to do with it. */
static pid_t start(const Child *c, int out, Error *e) {
        sigset_t all, mask;
        pid_t pid = 0;

        (void) fflush(NULL);
        (void) sigfillset(&all);
        (void) sigprocmask(SIG_SETMASK, &all, &mask);
        if (!pending)
                pid = fork();
        if (pid == 0 && !pending) {
                restore_signals();
                (void) sigprocmask(SIG_SETMASK, &mask, NULL);
                child(c, out);
        }
        child_pid = pid;
        (void) sigprocmask(SIG_SETMASK, &mask, NULL);
        return pid < 0 ? error_set(e, -errno, "cannot fork: %s", strerror(errno)) : pid;
}

static int collect(int fd, Buf *ret) {
        char chunk[4096];
        ssize_t n;

        while ((n = read(fd, chunk, sizeof(chunk))) > 0 || (n < 0 && errno == EINTR))
                if (n > 0)
                        /* What is over the limit is of no interest, but has to be read. */
                        (void) buf_append(ret, chunk, (size_t) n);
        return n < 0 ? -errno : 0;
}

static int wait_for(pid_t pid, Error *e) {
        int status;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return error_set(e, -errno, "cannot wait for the command: %s",
                                         strerror(errno));
        child_pid = 0;
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int child_run(const Child *c, Error *e) {
        int fds[2] = { -1, -1 };
        pid_t pid;

        if (c->output && pipe2(fds, O_CLOEXEC) < 0)
                return error_set(e, -errno, "cannot make a pipe: %s", strerror(errno));
        pid = start(c, fds[1], e);
        if (fds[1] >= 0)
                (void) close(fds[1]);
        if (pid > 0 && c->output)
                (void) collect(fds[0], c->output);
        if (fds[0] >= 0)
                (void) close(fds[0]);
        if (pid < 0)
                return pid;
        return pid == 0 ? 128 + pending : wait_for(pid, e);
}
