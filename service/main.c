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
#include "service/backup.h"
#include "service/init.h"
#include "service/server.h"

static const char usage[] =
        "Usage: csign-service --config FILE [--ready-fd N] [--log LEVEL]\n"
        "       csign-service init --config FILE [--api-key-out FILE] [--owner NAME]\n"
        "       csign-service renew-tls --config FILE\n"
        "       csign-service backup --config FILE --output FILE\n"
        "       csign-service restore --config FILE --input FILE\n"
        "\n"
        "csign's signing service: HTTPS API, policy and audit in front of csign-keystore.\n"
        "\n"
        "  --config FILE       csign-service.conf(5)\n"
        "  --ready-fd N        write a line to this descriptor when ready to serve\n"
        "  --log LEVEL         error, warning, notice, detail or trace (default: detail)\n"
        "  --api-key-out FILE  where init writes the first user's API key\n"
        "                      (default: owner.key in the state directory)\n"
        "  --owner NAME        the first user's name (default: owner)\n"
        "  --output FILE       where backup goes; never overwrites a file\n"
        "  --input FILE        the backup that restore makes a new state directory of\n"
        "  --help, --version\n";

typedef struct Options {
        const char *config;
        const char *output, *input;
        InitOptions init;
        int ready_fd;
        int log_level;
        const struct Verb *verb; /* NULL: serve */
} Options;

enum {
        OPT_CONFIG = 256,
        OPT_READY_FD,
        OPT_LOG,
        OPT_API_KEY_OUT,
        OPT_OWNER,
        OPT_OUTPUT,
        OPT_INPUT,
        OPT_HELP,
        OPT_VERSION,
};

static const struct option long_options[] = {
        { "config", required_argument, NULL, OPT_CONFIG },
        { "ready-fd", required_argument, NULL, OPT_READY_FD },
        { "log", required_argument, NULL, OPT_LOG },
        { "api-key-out", required_argument, NULL, OPT_API_KEY_OUT },
        { "owner", required_argument, NULL, OPT_OWNER },
        { "output", required_argument, NULL, OPT_OUTPUT },
        { "input", required_argument, NULL, OPT_INPUT },
        { "help", no_argument, NULL, OPT_HELP },
        { "version", no_argument, NULL, OPT_VERSION },
        {},
};

/* -- what is done besides serving -- */

typedef struct Verb {
        const char *name;
        int (*run)(const Config *c, const Options *o, Error *e);
} Verb;

static int run_init(const Config *c, const Options *o, Error *e) {
        return init_run(c, &o->init, e);
}

static int run_renew_tls(const Config *c, const Options *o, Error *e) {
        return renew_tls_run(c, e);
}

static int run_backup(const Config *c, const Options *o, Error *e) {
        return backup_run(c, o->output, e);
}

static int run_restore(const Config *c, const Options *o, Error *e) {
        return restore_run(c, o->input, e);
}

static const Verb verbs[] = {
        { "init", run_init },
        { "renew-tls", run_renew_tls },
        { "backup", run_backup },
        { "restore", run_restore },
};

static const Verb *verb_find(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (strcmp(verbs[i].name, name) == 0)
                        return &verbs[i];
        return NULL;
}

/* -- the command line -- */

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
        case OPT_OUTPUT:
                o->output = optarg;
                return -1;
        case OPT_INPUT:
                o->input = optarg;
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
        if (optind < argc && (o->verb = verb_find(argv[optind])))
                optind++;
        if (optind < argc)
                return misused("unexpected argument: ", argv[optind]);
        if ((o->verb && o->verb->run == run_backup) != (o->output != NULL))
                return misused("backup needs --output, and nothing else does", "");
        if ((o->verb && o->verb->run == run_restore) != (o->input != NULL))
                return misused("restore needs --input, and nothing else does", "");
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
                return o->verb->run(c, o, e);

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
        log_failure(LOG_ERROR, o.verb ? o.verb->name : "cannot serve", &e);
        return error_info(e.code)->exit_status;
}
