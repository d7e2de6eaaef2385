/* SPDX-License-Identifier: Apache-2.0 */
/* csign run, csign openssl-conf: OpenSSL programs with csign's provider, without touching the
 * system's openssl.cnf. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/files.h"
#include "cli/folders.h"
#include "cli/openssl-conf.h"
#include "cli/output.h"

#define INSTALLED_CONF MACHINE_FOLDER "/openssl.cnf"

static const char *arg_module;

static volatile sig_atomic_t child_pid;

/* ---- the private openssl.cnf ---- */

typedef struct TempConf {
        char folder[PATH_MAX];
        char file[PATH_MAX + 16];
} TempConf;

static void temp_conf_done(TempConf *t) {
        if (t->file[0])
                (void) unlink(t->file);
        if (t->folder[0])
                (void) rmdir(t->folder);
}

static int temp_conf_new(TempConf *t, Error *e) {
        const char *tmp = getenv("TMPDIR");
        _cleanup_(buf_done) Buf text = {};
        char module[PATH_MAX], base[PATH_MAX];
        int r;

        r = module_find(arg_module, module, e);
        if (r < 0)
                return r;
        openssl_conf_current(base);
        r = openssl_conf_text(module, base, &text, e);
        if (r < 0)
                return r;

        (void) snprintf(t->folder, sizeof(t->folder), "%s/csign-run.XXXXXX",
                        tmp && tmp[0] == '/' ? tmp : "/tmp");
        if (!mkdtemp(t->folder)) {
                r = error_set(e, -errno, "cannot make the temporary folder %s: %s", t->folder,
                              strerror(errno));
                t->folder[0] = 0;
                return r;
        }
        /* Readable for all: the command may change its user. */
        if (chmod(t->folder, 0711) < 0)
                return error_set(e, -errno, "cannot open %s to others: %s", t->folder,
                                 strerror(errno));
        (void) snprintf(t->file, sizeof(t->file), "%s/openssl.cnf", t->folder);
        return file_create(t->file, text.data, text.len, 0644, e);
}

/* ---- the command ---- */

static int set_environment(const char *conf, Error *e) {
        if (setenv("OPENSSL_CONF", conf, 1) < 0 || (arg_bus && setenv("CSIGN_BUS", arg_bus, 1) < 0))
                return error_set(e, -errno, "cannot set the environment: %s", strerror(errno));
        return 0;
}

/* As a shell would: 127 when there is no such command, 126 when it cannot be run. */
static int exec_command(char *args[]) {
        Error e = {};

        (void) execvp(args[0], args);
        (void) error_set(&e, -errno, "cannot run %s: %s", args[0], strerror(errno));
        output_error(&e, NULL);
        return e.code == -ENOENT ? 127 : 126;
}

static void forward_signal(int sig) {
        int saved = errno;

        if (child_pid > 0)
                (void) kill((pid_t) child_pid, sig);
        errno = saved;
}

/* From a terminal the command gets ^C itself; what is sent to csign alone is passed on. */
static void watch_signals(struct sigaction before[static NSIG]) {
        static const int forwarded[] = { SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
        static const int ignored[] = { SIGINT, SIGQUIT };
        struct sigaction forward = { .sa_handler = forward_signal, .sa_flags = SA_RESTART };
        struct sigaction ignore = { .sa_handler = SIG_IGN };

        for (size_t i = 0; i < ELEMENTSOF(forwarded); i++)
                (void) sigaction(forwarded[i], &forward, &before[forwarded[i]]);
        for (size_t i = 0; i < ELEMENTSOF(ignored); i++)
                (void) sigaction(ignored[i], &ignore, &before[ignored[i]]);
}

static void restore_signals(const struct sigaction before[static NSIG]) {
        static const int all[] = { SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGINT, SIGQUIT };

        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                (void) sigaction(all[i], &before[all[i]], NULL);
}

static int wait_command(pid_t pid, Error *e) {
        int status;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return error_set(e, -errno, "cannot wait for the command: %s",
                                         strerror(errno));
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run_beside(char *args[], Error *e) {
        _cleanup_(temp_conf_done) TempConf conf = {};
        struct sigaction before[NSIG] = {};
        sigset_t all, mask;
        pid_t pid;
        int r;

        r = temp_conf_new(&conf, e);
        if (r < 0)
                return r;
        r = set_environment(conf.file, e);
        if (r < 0)
                return r;

        /* No signal between fork() and the moment when both know what to do with it. */
        (void) sigfillset(&all);
        (void) sigprocmask(SIG_SETMASK, &all, &mask);
        watch_signals(before);
        pid = fork();
        if (pid == 0) {
                restore_signals(before);
                (void) sigprocmask(SIG_SETMASK, &mask, NULL);
                r = exec_command(args);
                (void) fflush(NULL);
                _exit(r);
        }
        child_pid = pid;
        (void) sigprocmask(SIG_SETMASK, &mask, NULL);
        if (pid < 0)
                return error_set(e, -errno, "cannot fork: %s", strerror(errno));
        return wait_command(pid, e);
}

static int run_run(char *args[], size_t n, Error *e) {
        int r;

        /* The installed file does it, without anything to clean up, where nobody wants it
         * otherwise. */
        if (!arg_module && !getenv("CSIGN_MODULE") && !getenv("OPENSSL_CONF") &&
            access(INSTALLED_CONF, R_OK) == 0) {
                r = set_environment(INSTALLED_CONF, e);
                return r < 0 ? r : exec_command(args);
        }
        return run_beside(args, e);
}

static const Option module_options[] = {
        { "module", "FILE", "csign.so (default: CSIGN_MODULE, or the installed one)", &arg_module },
};

const Verb verb_run = {
        .name = "run",
        .args = "-- COMMAND ...",
        .help = "runs a program with csign in its OpenSSL",
        .example =
                "csign run -- openssl cms -sign -binary -in app.bin -outform DER -out app.p7s \\\n"
                "      -signer csign://acme/mobile/release",
        OPTIONS(module_options),
        .min_args = 1,
        .max_args = SIZE_MAX,
        .flags = VERB_SIDECAR | VERB_COMMAND,
        .run = run_run,
};

/* ---- openssl-conf ---- */

static int conf_run(char *args[], size_t n, Error *e) {
        _cleanup_(buf_done) Buf text = {};
        char module[PATH_MAX], base[PATH_MAX];
        int r;

        r = module_find(arg_module, module, e);
        if (r < 0)
                return r;
        openssl_conf_current(base);
        r = openssl_conf_text(module, base, &text, e);
        if (r < 0)
                return r;
        return output_file(NULL, text.data, text.len, e);
}

const Verb verb_openssl_conf = {
        .name = "openssl-conf",
        .args = "",
        .help = "prints the openssl.cnf that loads csign",
        .example = "csign openssl-conf > openssl.cnf; export OPENSSL_CONF=$PWD/openssl.cnf",
        OPTIONS(module_options),
        .run = conf_run,
};
