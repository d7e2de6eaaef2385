/* SPDX-License-Identifier: Apache-2.0 */
/* csign run, csign openssl-conf: OpenSSL programs with csign's provider, without touching the
 * system's openssl.cnf. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/child.h"
#include "cli/cli.h"
#include "cli/ephemeral.h"
#include "cli/files.h"
#include "cli/folders.h"
#include "cli/openssl-conf.h"
#include "cli/temp-folder.h"
#include "lib/id.h"

#define INSTALLED_CONF MACHINE_FOLDER "/openssl.cnf"

static const char *arg_module;
static bool arg_ephemeral;
static const char *arg_run_service, *arg_run_ca, *arg_client_id, *arg_credential,
        *arg_credential_fd;

/* ---- the private openssl.cnf ---- */

static int temp_conf(const TempFolder *t, char ret[static TEMP_PATH_MAX], Error *e) {
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
        return temp_folder_file(t, "openssl.cnf", &text, 0644, ret, e);
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
        r = temp_folder_new(&temp, 0711, e); /* for all: the command may change its user */
        if (r >= 0)
                r = temp_conf(&temp, conf, e);
        if (r >= 0)
                r = set_environment(conf, e);
        return r < 0 ? r : child_run(&(Child){ .argv = args }, e);
}

/* ---- with a sidecar of its own ---- */

static const char *given(const char *option, const char *variable) {
        const char *value = option ? option : getenv(variable);

        return value && value[0] ? value : NULL;
}

/* A descriptor of our own, which no command inherits; of the one that was given nothing remains
 * but, where it was a standard stream, /dev/null. */
static int take_fd(const char *value, int *ret, Error *e) {
        char *end;
        long fd = strtol(value, &end, 10);
        int null;

        if (end == value || *end || fd < 0 || fd > INT_MAX ||
            (*ret = fcntl((int) fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)) < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "--credential-fd '%s' is no open descriptor", value);
        (void) close((int) fd);
        if (fd > STDERR_FILENO)
                return 0;
        null = open("/dev/null", O_RDWR); /* takes the number that is free */
        return null == fd ? 0
                          : error_set(e, -EBADF,
                                      "cannot put /dev/null in the place of "
                                      "descriptor %ld",
                                      fd);
}

static int find_account(EphemeralAccount *a, Error *e) {
        *a = (EphemeralAccount){
                .service = given(arg_run_service, "CSIGN_SERVICE"),
                .client_id = given(arg_client_id, "CSIGN_CLIENT_ID"),
                .ca = given(arg_run_ca, "CSIGN_CA"),
                .credential_fd = -1,
        };
        if (arg_bus)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "--ephemeral has a sidecar of its own: "
                                 "it cannot go with --bus");
        if (!a->service || !a->client_id)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "--ephemeral needs --%s, or %s",
                                 a->service ? "client-id" : "service",
                                 a->service ? "CSIGN_CLIENT_ID" : "CSIGN_SERVICE");
        if (!id_is_valid(a->client_id, "acc"))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is no account's id (acc_...)",
                                 a->client_id);
        if (arg_credential && arg_credential_fd)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "--credential and --credential-fd cannot go together");
        if (arg_credential_fd)
                return take_fd(arg_credential_fd, &a->credential_fd, e);
        a->credential = given(arg_credential, "CSIGN_CREDENTIAL_FILE");
        return a->credential ? 0
                             : error_set(e, -CSIGN_E_BAD_REQUEST,
                                         "--ephemeral needs the account's key: --credential, "
                                         "--credential-fd or CSIGN_CREDENTIAL_FILE");
}

static int run_ephemeral(char *args[], Error *e) {
        _cleanup_(ephemeral_done) Ephemeral eph = {};
        EphemeralAccount account;
        char conf[TEMP_PATH_MAX];
        int r;

        r = find_account(&account, e);
        if (r < 0)
                return r;
        child_watch_signals();
        r = ephemeral_start(&eph, &account, e);
        if (r != 0)
                return r;
        r = temp_conf(&eph.folder, conf, e);
        if (r < 0)
                return r;
        arg_bus = eph.address;
        (void) unsetenv("CSIGN_CREDENTIAL_FILE");
        r = set_environment(conf, e);
        return r < 0 ? r : child_run(&(Child){ .argv = args }, e);
}

static int check_ephemeral(Error *e) {
        if (arg_run_service || arg_run_ca || arg_client_id || arg_credential || arg_credential_fd)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "an account is for --ephemeral alone: the sidecar has one");
        return 0;
}

static int run_run(char *args[], size_t n, Error *e) {
        int r;

        if (arg_ephemeral)
                return run_ephemeral(args, e);
        r = check_ephemeral(e);
        if (r < 0)
                return r;

        /* The installed file does it, without anything to clean up, where nobody wants it
         * otherwise. */
        if (!arg_module && !getenv("CSIGN_MODULE") && !getenv("OPENSSL_CONF") &&
            access(INSTALLED_CONF, R_OK) == 0) {
                r = set_environment(INSTALLED_CONF, e);
                return r < 0 ? r : child_exec(args);
        }
        return run_beside(args, e);
}

static const Option run_options[] = {
        /* clang-format off */
        { "ephemeral", NULL, "with a sidecar for the life of the command", &arg_ephemeral, OPTION_SWITCH },
        { "service", "URL", "its service (default: CSIGN_SERVICE)", &arg_run_service },
        { "ca", "FILE", "the service's CA certificates (default: CSIGN_CA, or the system's)", &arg_run_ca },
        { "client-id", "ID", "the account's id (default: CSIGN_CLIENT_ID)", &arg_client_id },
        { "credential", "FILE", "the account's key (default: CSIGN_CREDENTIAL_FILE)", &arg_credential },
        { "credential-fd", "N", "the descriptor to read the account's key from", &arg_credential_fd },
        { "module", "FILE", "csign.so (default: CSIGN_MODULE, or the installed one)", &arg_module },
        /* clang-format on */
};

static const Option module_options[] = {
        { "module", "FILE", "csign.so (default: CSIGN_MODULE, or the installed one)", &arg_module },
};

const Verb verb_run = {
        .name = "run",
        .args = "-- COMMAND ...",
        .help = "runs a program with csign in its OpenSSL",
        .example =
                "csign run -- openssl cms -sign -binary -in app.bin -outform DER -out app.p7s \\\n"
                "      -signer csign://acme/mobile/release\n"
                "  csign run --ephemeral --credential-fd 3 -- make release 3< ci.key",
        OPTIONS(run_options),
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
