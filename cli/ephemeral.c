/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/ephemeral.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/grant.h"
#include "cli/output.h"
#include "lib/macro.h"

#define END_SECONDS 2 /* for what is under way; the command has ended */

/* ---- what the sidecar reads ---- */

/* Absolute, and without symlinks, which the sidecar does not follow. */
static int add_file(Buf *b, const char *name, const char *path, Error *e) {
        char full[PATH_MAX];

        if (!realpath(path, full))
                return error_set(e, -errno, "cannot read %s: %s", path, strerror(errno));
        return grant_conf_line(b, name, full);
}

static int write_conf(const Ephemeral *eph, const EphemeralAccount *a, Error *e) {
        _cleanup_(buf_done) Buf b = {};
        char path[TEMP_PATH_MAX];
        int r;

        r = grant_conf_line(&b, "service", a->service);
        if (r >= 0)
                r = grant_conf_line(&b, "client-id", a->client_id);
        if (r >= 0)
                r = grant_conf_line(&b, "state-directory", "none");
        if (r >= 0 && a->credential)
                r = add_file(&b, "credential", a->credential, e);
        if (r >= 0 && a->ca)
                r = add_file(&b, "service-ca", a->ca, e);
        return r < 0 ? r : temp_folder_file(&eph->folder, "sidecar.conf", &b, 0600, path, e);
}

/* ---- the sidecar's process ---- */

static void default_signals(void) {
        sigset_t none;

        for (int sig = 1; sig < NSIG; sig++)
                (void) signal(sig, SIG_DFL);
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

static void keep_over_exec(int fd) {
        if (fd >= 0)
                (void) fcntl(fd, F_SETFD, 0);
}

static void exec_sidecar(const Ephemeral *eph, const EphemeralAccount *a, int ready, pid_t guard) {
        char socket[TEMP_PATH_MAX], ready_fd[16], credential_fd[16];
        const char *argv[] = { "csign-sidecar",  "--config",
                               eph->folder.path, "--socket",
                               socket,           "--bus",
                               "none",           "--log-level",
                               "warning",        "--ready-fd",
                               ready_fd,         a->credential ? NULL : "--credential-fd",
                               credential_fd,    NULL };
        Error e = {};

        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != guard || temp_folder_path(&eph->folder, "sidecar.sock", socket, &e) < 0)
                _exit(1);
        (void) snprintf(ready_fd, sizeof(ready_fd), "%d", ready);
        (void) snprintf(credential_fd, sizeof(credential_fd), "%d", a->credential_fd);
        keep_over_exec(ready);
        keep_over_exec(a->credential_fd);
        default_signals();
        (void) execvp(argv[0], (char *const *) argv);
        (void) error_set(&e, -CSIGN_E_SIDECAR_UNAVAILABLE, "cannot run csign-sidecar: %s",
                         strerror(errno));
        output_error(&e, "install it, or add its folder to PATH");
        (void) fflush(NULL);
        _exit(error_info(e.code)->exit_status);
}

/* ---- the guard's process ---- */

/* Its exit status, if it ended by itself. */
static int end_sidecar(pid_t sidecar, const sigset_t *child) {
        struct timespec limit = { .tv_sec = END_SECONDS };
        int status = 0;

        (void) kill(sidecar, SIGTERM);
        while (waitpid(sidecar, &status, WNOHANG) == 0)
                if (sigtimedwait(child, NULL, &limit) < 0 && errno == EAGAIN)
                        (void) kill(sidecar, SIGKILL);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

/* Nothing is read from the standard streams or written there, so that nobody waits for their end
 * but the sidecar's errors. */
static void leave_streams(void) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (null < 0)
                return;
        (void) dup2(null, STDIN_FILENO);
        (void) dup2(null, STDOUT_FILENO);
        (void) close(null);
}

static void guard_main(Ephemeral *eph, const EphemeralAccount *a, int alive, int ready) {
        static const int ignored[] = { SIGTERM, SIGHUP, SIGINT, SIGUSR1, SIGUSR2 };
        pid_t sidecar, guard = getpid();
        int status = 0;
        sigset_t child;
        char byte;

        (void) setsid(); /* ^C is for the command */
        (void) sigemptyset(&child);
        (void) sigaddset(&child, SIGCHLD);
        (void) sigprocmask(SIG_SETMASK, &child, NULL);
        for (size_t i = 0; i < ELEMENTSOF(ignored); i++)
                (void) signal(ignored[i], SIG_IGN);
        leave_streams();

        sidecar = fork();
        if (sidecar == 0)
                exec_sidecar(eph, a, ready, guard);
        (void) close(ready);
        if (a->credential_fd >= 0)
                (void) close(a->credential_fd);
        while (read(alive, &byte, 1) < 0 && errno == EINTR)
                ;
        if (sidecar > 0)
                status = end_sidecar(sidecar, &child);
        temp_folder_done(&eph->folder);
        _exit(status);
}

/* ---- csign's ---- */

static int start_guard(Ephemeral *eph, const EphemeralAccount *a, int ready[2], Error *e) {
        int alive[2];
        sigset_t all, before;

        if (pipe2(alive, O_CLOEXEC) < 0)
                return error_set(e, -errno, "cannot make a pipe: %s", strerror(errno));

        (void) fflush(NULL);
        (void) sigfillset(&all);
        (void) sigprocmask(SIG_SETMASK, &all, &before); /* until the guard ignores them */
        eph->guard = fork();
        if (eph->guard == 0) {
                (void) close(alive[1]);
                (void) close(ready[0]);
                guard_main(eph, a, alive[0], ready[1]);
        }
        (void) sigprocmask(SIG_SETMASK, &before, NULL);
        (void) close(alive[0]);
        eph->alive = alive[1];
        if (eph->guard < 0)
                return error_set(e, -errno, "cannot fork: %s", strerror(errno));
        return 0;
}

/* The guard's exit status, which is the sidecar's if that ended by itself. */
static int end_guard(Ephemeral *eph) {
        pid_t guard = eph->guard;
        int status = 0;

        if (guard <= 0)
                return 0;
        eph->guard = 0;
        (void) close(eph->alive);
        while (waitpid(guard, &status, 0) < 0 && errno == EINTR)
                ;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

/* A sidecar that cannot start has told why. */
static int await_ready(Ephemeral *eph, int fd, Error *e) {
        char line[16];
        ssize_t n;
        int status;

        do {
                n = read(fd, line, sizeof(line));
        } while (n < 0 && errno == EINTR);
        if (n > 0)
                return 0;
        status = end_guard(eph);
        return status > 0 ? status
                          : error_set(e, -CSIGN_E_SIDECAR_UNAVAILABLE,
                                      "the sidecar was ended while it started");
}

static int prove(const Ephemeral *eph, Error *e) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = NULL;
        int r;

        r = sidecar_client_new(&c, eph->address, 0, e);
        return r < 0 ? r : sidecar_client_reload(c, e);
}

static int start_sidecar(Ephemeral *eph, const EphemeralAccount *a, Error *e) {
        int ready[2], r;

        if (pipe2(ready, O_CLOEXEC) < 0)
                return error_set(e, -errno, "cannot make a pipe: %s", strerror(errno));
        r = start_guard(eph, a, ready, e);
        (void) close(ready[1]);
        if (r >= 0)
                r = await_ready(eph, ready[0], e);
        (void) close(ready[0]);
        return r;
}

int ephemeral_start(Ephemeral *eph, const EphemeralAccount *a, Error *e) {
        char socket[TEMP_PATH_MAX];
        int r;

        r = temp_folder_new(&eph->folder, 0700, e);
        if (r >= 0)
                r = write_conf(eph, a, e);
        if (r >= 0)
                r = temp_folder_path(&eph->folder, "sidecar.sock", socket, e);
        if (r >= 0)
                r = start_sidecar(eph, a, e);
        if (a->credential_fd >= 0)
                (void) close(a->credential_fd);
        if (r != 0)
                return r;
        (void) snprintf(eph->address, sizeof(eph->address), "unix:path=%s", socket);
        return prove(eph, e);
}

void ephemeral_done(Ephemeral *eph) {
        (void) end_guard(eph);
        temp_folder_done(&eph->folder);
}
