/* SPDX-License-Identifier: Apache-2.0 */
/* csign run, csign openssl-conf: OpenSSL programs with csign's provider, without touching the
 * system's openssl.cnf. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/child.h"
#include "cli/cli.h"
#include "cli/files.h"
#include "cli/folders.h"
#include "cli/openssl-conf.h"
#include "cli/temp-folder.h"

#define INSTALLED_CONF MACHINE_FOLDER "/openssl.cnf"

static const char *arg_module;

/* ---- the private openssl.cnf ---- */

/* Readable for all: the command may change its user. */
static int temp_conf(TempFolder *t, char ret[static TEMP_PATH_MAX], Error *e) {
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
        r = temp_folder_new(t, 0711, e);
        return r < 0 ? r : temp_folder_file(t, "openssl.cnf", &text, 0644, ret, e);
}

/* ---- the command ---- */

static int set_environment(const char *conf, Error *e) {
        if (setenv("OPENSSL_CONF", conf, 1) < 0 || (arg_bus && setenv("CSIGN_BUS", arg_bus, 1) < 0))
                return error_set(e, -errno, "cannot set the environment: %s", strerror(errno));
        return 0;
}

static int run_beside(char *args[], Error *e) {
        _cleanup_(temp_folder_done) TempFolder temp = {};
        char conf[TEMP_PATH_MAX];
        int r;

        child_watch_signals();
        r = temp_conf(&temp, conf, e);
        if (r >= 0)
                r = set_environment(conf, e);
        return r < 0 ? r : child_run(&(Child){ .argv = args }, e);
}

static int run_run(char *args[], size_t n, Error *e) {
        int r;

        /* The installed file does it, without anything to clean up, where nobody wants it
         * otherwise. */
        if (!arg_module && !getenv("CSIGN_MODULE") && !getenv("OPENSSL_CONF") &&
            access(INSTALLED_CONF, R_OK) == 0) {
                r = set_environment(INSTALLED_CONF, e);
                return r < 0 ? r : child_exec(args);
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
