/* SPDX-License-Identifier: Apache-2.0 */

/* csign-sidecar: gets signatures for the programs of a user or a machine.  See csign-sidecar(8). */

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <openssl/crypto.h>

#include "lib/log.h"
#include "sidecar/manager.h"

static Options arg_options = { .grant = GRANT_USER, .ready_fd = -1, .credential_fd = -1 };
static int arg_log_level = LOG_NOTICE;

static const char help[] =
        "csign-sidecar [OPTION...]\n"
        "\n"
        "Gets signatures from a csign service for local programs, over D-Bus.\n"
        "\n"
        "  --grant user|machine        for whom the right to sign is installed (user)\n"
        "  --config DIR                folder of sidecar.conf and policy.conf\n"
        "  --socket PATH               the plain socket\n"
        "  --bus user|system|ADDRESS|none\n"
        "                              bus on which to have the name org.csign.Sidecar1\n"
        "  --credential-fd N           read the account's key from this descriptor\n"
        "  --ready-fd N                write a line to this descriptor when ready\n"
        "  --log-level error|warning|notice|detail|trace\n"
        "  --help, --version\n"
        "\n"
        "See csign-sidecar(8).\n";

enum {
        OPT_GRANT = 1,
        OPT_CONFIG,
        OPT_SOCKET,
        OPT_BUS,
        OPT_READY_FD,
        OPT_CREDENTIAL_FD,
        OPT_LOG_LEVEL,
        OPT_HELP,
        OPT_VERSION
};

static const struct option options[] = {
        { "grant", required_argument, NULL, OPT_GRANT },
        { "config", required_argument, NULL, OPT_CONFIG },
        { "socket", required_argument, NULL, OPT_SOCKET },
        { "bus", required_argument, NULL, OPT_BUS },
        { "ready-fd", required_argument, NULL, OPT_READY_FD },
        { "credential-fd", required_argument, NULL, OPT_CREDENTIAL_FD },
        { "log-level", required_argument, NULL, OPT_LOG_LEVEL },
        { "help", no_argument, NULL, OPT_HELP },
        { "version", no_argument, NULL, OPT_VERSION },
        {},
};

static bool parse_grant(const char *value) {
        if (strcmp(value, "machine") == 0)
                arg_options.grant = GRANT_MACHINE;
        else if (strcmp(value, "user") == 0)
                arg_options.grant = GRANT_USER;
        else
                return false;
        return true;
}

static bool parse_fd(const char *value, int *ret) {
        char *end;
        long fd;

        errno = 0;
        fd = strtol(value, &end, 10);
        *ret = (int) fd;
        return !errno && end != value && !*end && fd > 2 && fd < 65536;
}

static bool parse_option(int option, const char *value) {
        switch (option) {
        case OPT_GRANT:
                return parse_grant(value);
        case OPT_CONFIG:
                arg_options.config_dir = value;
                return true;
        case OPT_SOCKET:
                arg_options.socket = value;
                return *value == '/';
        case OPT_BUS:
                arg_options.bus = value;
                return *value;
        case OPT_READY_FD:
                return parse_fd(value, &arg_options.ready_fd);
        case OPT_CREDENTIAL_FD:
                return parse_fd(value, &arg_options.credential_fd);
        case OPT_LOG_LEVEL:
                arg_log_level = log_level_by_name(value);
                return arg_log_level >= 0;
        }
        return false;
}

/* -1: go on; else the exit status. */
static int parse_argv(int argc, char **argv) {
        int option, index;

        while ((option = getopt_long(argc, argv, "", options, &index)) >= 0) {
                if (option == OPT_HELP)
                        return fputs(help, stdout) < 0;
                if (option == OPT_VERSION)
                        return puts("csign-sidecar " CSIGN_VERSION) < 0;
                if (option == '?')
                        return 2;
                if (!parse_option(option, optarg)) {
                        fprintf(stderr, "csign-sidecar: --%s: bad value '%s'\n",
                                options[index].name, optarg);
                        return 2;
                }
        }
        if (optind < argc) {
                fprintf(stderr, "csign-sidecar: unknown argument '%s'\n", argv[optind]);
                return 2;
        }
        return -1;
}

/* The credential is in this process's memory. */
static void harden(void) {
        struct rlimit files;

#ifndef __SANITIZE_ADDRESS__ /* LeakSanitizer attaches to the process */
        (void) prctl(PR_SET_DUMPABLE, 0);
#endif
        (void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        (void) setrlimit(RLIMIT_CORE, &(struct rlimit){});
        (void) umask(077);

        /* A descriptor for each connection. */
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &files);
        }
}

int main(int argc, char **argv) {
        _cleanup_(manager_freep) Manager *m = NULL;
        Error e = {};
        int r;

        /* No openssl.cnf, and so never csign's own provider in here (I7). */
        (void) OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);

        r = parse_argv(argc, argv);
        if (r >= 0)
                return r;
        log_open("csign-sidecar", arg_log_level);
        (void) mallopt(M_ARENA_MAX, 1); /* less memory; its threads mostly wait for the service */
        harden();

        r = manager_new(&m, &arg_options, &e);
        if (r >= 0)
                r = manager_run(m, &e);
        if (r < 0) {
                if (e.code >= 0)
                        (void) error_set(&e, r, "%s", strerror(-r));
                log_failure(LOG_ERROR, "ended", &e);
                return error_info(r)->exit_status;
        }
        return 0;
}
