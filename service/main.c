/* SPDX-License-Identifier: Apache-2.0 */
/* csign-service: the command line. */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <openssl/crypto.h>

#include "lib/log.h"
#include "service/init.h"
#include "service/server.h"

static const char usage[] =
        "Usage: csign-service --config FILE [--ready-fd N] [--log LEVEL]\n"
        "       csign-service init --config FILE [--api-key-out FILE] [--owner NAME]\n"
        "       csign-service renew-tls --config FILE\n"
        "\n"
        "csign's signing service: HTTPS API, policy and audit in front of csign-keystore.\n"
        "\n"
        "  --config FILE       csign-service.conf(5)\n"
        "  --ready-fd N        write a line to this descriptor when ready to serve\n"
        "  --log LEVEL         error, warning, notice, detail or trace (default: detail)\n"
        "  --api-key-out FILE  where init writes the first user's API key\n"
        "                      (default: owner.key in the state directory)\n"
        "  --owner NAME        the first user's name (default: owner)\n"
        "  --help, --version\n";

typedef struct Options {
        const char *config;
        InitOptions init;
        int ready_fd;
        int log_level;
        const char *verb; /* NULL: serve */
} Options;

enum { OPT_CONFIG = 256, OPT_READY_FD, OPT_LOG, OPT_API_KEY_OUT, OPT_OWNER, OPT_HELP, OPT_VERSION };

static const struct option long_options[] = {
        { "config", required_argument, NULL, OPT_CONFIG },
        { "ready-fd", required_argument, NULL, OPT_READY_FD },
        { "log", required_argument, NULL, OPT_LOG },
        { "api-key-out", required_argument, NULL, OPT_API_KEY_OUT },
        { "owner", required_argument, NULL, OPT_OWNER },
        { "help", no_argument, NULL, OPT_HELP },
        { "version", no_argument, NULL, OPT_VERSION },
        {},
};

static int misused(const char *why, const char *what) {
        fprintf(stderr, "csign-service: %s%s (see csign-service --help)\n", why, what);
        return 2;
}

static bool parse_fd(const char *text, int *ret) {
        char *end;
        long v = strtol(text, &end, 10);

        *ret = (int) v;
        return text[0] != '\0' && *end == '\0' && v >= 0 && v <= 65535;
}

/* -1: go on, else the exit status. */
static int parse_option(int option, Options *o) {
        switch (option) {
        case OPT_CONFIG:
                o->config = optarg;
                return -1;
        case OPT_READY_FD:
                return parse_fd(optarg, &o->ready_fd) ? -1 : misused("not a descriptor: ", optarg);
        case OPT_LOG:
                o->log_level = log_level_by_name(optarg);
                return o->log_level >= 0 ? -1 : misused("not a log level: ", optarg);
        case OPT_API_KEY_OUT:
                o->init.api_key_file = optarg;
                return -1;
        case OPT_OWNER:
                o->init.owner = optarg;
                return -1;
        case OPT_HELP:
                fputs(usage, stdout);
                return 0;
        case OPT_VERSION:
                puts("csign-service " CSIGN_VERSION);
                return 0;
        default:
                return 2; /* getopt has said why */
        }
}

static int parse_options(int argc, char *argv[], Options *o) {
        int option, status;

        *o = (Options){ .init.owner = "owner", .ready_fd = -1, .log_level = LOG_DETAIL };
        while ((option = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
                status = parse_option(option, o);
                if (status >= 0)
                        return status;
        }
        if (optind < argc &&
            (strcmp(argv[optind], "init") == 0 || strcmp(argv[optind], "renew-tls") == 0))
                o->verb = argv[optind++];
        if (optind < argc)
                return misused("unexpected argument: ", argv[optind]);
        return o->config ? -1 : misused("--config is missing", "");
}

/* The API process holds no private key of anybody's but its own TLS key; that one, and tokens on
 * their way, stay out of core dumps and of other processes' sight. */
static void harden(void) {
        const struct rlimit none = {};

        umask(077);
        (void) setrlimit(RLIMIT_CORE, &none);
        (void) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* Takes over c. */
static int run(Config *c, const Options *o, Error *e) {
        Service s;
        int r;

        if (o->verb)
                return strcmp(o->verb, "init") == 0 ? init_run(c, &o->init, e)
                                                    : renew_tls_run(c, e);

        r = service_open(&s, c, e);
        if (r < 0)
                return r;
        r = server_run(&s, o->ready_fd, e);
        service_close(&s);
        return r;
}

int main(int argc, char *argv[]) {
        Config c = {};
        Options o;
        Error e = {};
        int r;

        OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
        r = parse_options(argc, argv, &o);
        if (r >= 0)
                return r;
        log_open("csign-service", o.log_level);
        harden();

        r = config_load(&c, o.config, &e);
        if (r >= 0)
                r = run(&c, &o, &e);
        config_done(&c);
        if (r >= 0)
                return 0;
        if (e.code == 0)
                error_set(&e, r, "%s", strerror(r > -CSIGN_E_BEGIN_ ? -r : EIO));
        log_failure(LOG_ERROR, o.verb ?: "cannot serve", &e);
        return error_info(e.code)->exit_status;
}
