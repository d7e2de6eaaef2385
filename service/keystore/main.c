/* SPDX-License-Identifier: Apache-2.0 */
/* csign-keystore: the process that holds the private keys. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "lib/config.h"
#include "lib/log.h"
#include "lib/macro.h"
#include "lib/supervisor.h"
#include "service/keystore/builtin.h"
#include "service/keystore/kek.h"
#include "service/keystore/keyring.h"
#include "service/keystore/memory.h"
#include "service/keystore/server.h"

#define THREADS_MAX  64
#define HEAP_MIN     ((size_t) 4 * 1024 * 1024)
#define HEAP_PER_KEY ((size_t) 4 * 1024) /* an RSA-4096 key takes 2 KiB of it */

static const char *arg_config;
static const char *arg_kek;
static int arg_ready_fd = -1;

typedef struct Config {
        char *socket;
        char *kek, *older_keks;
        char *service_user;
        unsigned cache_keys;
        unsigned threads; /* 0: one for each processor */
} Config;

static const ConfigItem config_items[] = {
        { "socket", config_path, offsetof(Config, socket), CONFIG_REQUIRED },
        { "kek", config_path, offsetof(Config, kek) },
        { "older-keks", config_string, offsetof(Config, older_keks) },
        { "service-user", config_string, offsetof(Config, service_user) },
        { "cache-keys", config_unsigned, offsetof(Config, cache_keys) },
        { "threads", config_unsigned, offsetof(Config, threads) },
};

static void config_done(Config *c) {
        free(c->socket);
        free(c->kek);
        free(c->older_keks);
        free(c->service_user);
}

static void usage(FILE *out) {
        fputs("csign-keystore --config FILE [--ready-fd N]   keep keys and sign for csign-service\n"
              "csign-keystore init-kek --kek FILE            make a key encryption key\n"
              "\n"
              "      --config FILE   configuration, see csign-keystore.conf(5)\n"
              "      --kek FILE      where to write the new key; never overwrites one\n"
              "      --ready-fd N    write READY to this descriptor when requests are served\n"
              "  -h, --help          show this\n"
              "      --version       show the version\n",
              out);
}

/* -- configuration -- */

static int default_kek(const char *path, Config *c, Error *e) {
        char handed_over[PATH_MAX];

        if (c->kek)
                return 0;
        if (!file_handed_over("csign.kek", handed_over))
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "%s: kek is missing, and systemd handed no csign.kek over", path);
        c->kek = strdup(handed_over);
        return c->kek ? 0 : -ENOMEM;
}

static int load_config(const char *path, Config *ret, Error *e) {
        _cleanup_(config_closep) ConfigFile *f = NULL;
        int r;

        r = config_open(&f, path, FILE_TRUSTED, e);
        if (r == -ENOENT)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "there is no configuration %s", path);
        if (r < 0)
                return r;
        r = config_apply(f, NULL, config_items, ELEMENTSOF(config_items), ret, e);
        if (r < 0)
                return r;
        r = config_finish(f, e);
        if (r < 0)
                return r;

        r = default_kek(path, ret, e);
        if (r < 0)
                return r;
        if (ret->cache_keys < 1)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "%s: cache-keys must be at least 1",
                                 config_where(f, NULL, "cache-keys"));
        if (ret->threads > THREADS_MAX)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "%s: threads must be at most %d",
                                 config_where(f, NULL, "threads"), THREADS_MAX);
        return 0;
}

/* A name or a number; nothing given: our own user. */
static int find_user(const char *name, uid_t *ret, Error *e) {
        const struct passwd *pw;
        unsigned long uid;
        char *end;

        if (!name) {
                *ret = geteuid();
                return 0;
        }

        errno = 0;
        uid = strtoul(name, &end, 10);
        if (name[0] >= '0' && name[0] <= '9' && *end == '\0' && errno == 0 && uid < UINT32_MAX) {
                *ret = (uid_t) uid;
                return 0;
        }

        pw = getpwnam(name);
        if (!pw)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "service-user: no such user: %s", name);
        *ret = pw->pw_uid;
        return 0;
}

static unsigned count_processors(void) {
        cpu_set_t set;

        if (sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) < 1)
                return 1;
        return CPU_COUNT(&set) < THREADS_MAX ? (unsigned) CPU_COUNT(&set) : THREADS_MAX;
}

static size_t heap_size(unsigned cache_keys) {
        size_t size = HEAP_MIN;

        while (size < cache_keys * HEAP_PER_KEY)
                size *= 2;
        return size;
}

/* -- serving -- */

/* Blocked before any thread starts, so that all inherit it. */
static int open_signals(int *ret, Error *e) {
        sigset_t set;
        int fd;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigprocmask(SIG_BLOCK, &set, NULL);
        signal(SIGPIPE, SIG_IGN);

        fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (fd < 0)
                return error_set(e, -errno, "cannot wait for signals: %s", strerror(errno));
        *ret = fd;
        return 0;
}

static bool take_hangup(int fd) {
        struct signalfd_siginfo info;

        return read(fd, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGHUP;
}

static void say_ready(const Config *c, MemoryLock locked, unsigned threads) {
        static const char *const words[] = { "no", "keys", "all" };
        char text[16];

        snprintf(text, sizeof(text), "%u", threads);
        if (locked == MEMORY_LOCKED_NOT)
                log_line(LOG_WARNING, "memory cannot be locked: raise RLIMIT_MEMLOCK", NULL);
        log_line(LOG_NOTICE, "ready", "SOCKET", c->socket, "THREADS", text, "MEMORY_LOCKED",
                 words[locked], "VERSION", CSIGN_VERSION, NULL);

        supervisor_notify("READY=1");
        if (arg_ready_fd >= 0) {
                dprintf(arg_ready_fd, "READY\n");
                close(arg_ready_fd);
        }
}

/* -- KEKs -- */

static int load_keks(const Config *c, Keyring **ret, Error *e) {
        int r;

        r = keyring_load(ret, c->kek, c->older_keks, e);
        if (r == -ENOENT && access(c->kek, F_OK) < 0)
                return error_set(e, -CSIGN_E_BAD_CREDENTIAL,
                                 "there is no KEK: csign-keystore init-kek --kek %s makes one",
                                 c->kek);
        return r;
}

static int make_builtin(const Config *c, Builtin **ret, Error *e) {
        _cleanup_(keyring_unrefp) Keyring *keks = NULL;
        int r;

        r = load_keks(c, &keks, e);
        if (r < 0)
                return r;

        r = builtin_new(ret, keks, c->cache_keys);
        if (r < 0)
                return r;
        (void) TAKE(keks);
        return 0;
}

static int read_keks_again(Keyring **ret, Error *e) {
        _cleanup_(config_done) Config config = { .cache_keys = 1024 };
        int r;

        r = load_config(arg_config, &config, e);
        return r < 0 ? r : load_keks(&config, ret, e);
}

/* All or nothing: what cannot be read in whole changes nothing. */
static void reload_keks(Builtin *b) {
        char primary[KEK_ID_TEXT_MAX];
        Keyring *keks = NULL;
        Error e = {};

        if (read_keks_again(&keks, &e) < 0) {
                log_failure(LOG_ERROR, "the KEKs stay as they were", &e);
                return;
        }
        kek_id_text(kek_id(keyring_at(keks, 0)), primary);
        builtin_set_keks(b, keks);
        log_line(LOG_NOTICE, "KEKs read again", "PRIMARY", primary, NULL);
}

static int serve(Error *e) {
        _cleanup_(config_done) Config config = { .cache_keys = 1024 };
        _cleanup_(builtin_freep) Builtin *builtin = NULL;
        _cleanup_(server_freep) Server *server = NULL;
        ServerOptions options = {};
        int signal_fd = -1, r;

        r = load_config(arg_config, &config, e);
        if (r < 0)
                return r;
        r = find_user(config.service_user, &options.peer_uid, e);
        if (r < 0)
                return r;
        r = memory_protect(heap_size(config.cache_keys), &options.locked, e);
        if (r < 0)
                return r;
        r = make_builtin(&config, &builtin, e);
        if (r < 0)
                return r;
        r = open_signals(&signal_fd, e);
        if (r < 0)
                return r;

        options.socket_path = config.socket;
        options.threads = config.threads ?: count_processors();
        r = server_new(&server, &options, builtin, e);
        if (r < 0)
                return r;

        say_ready(&config, options.locked, options.threads);
        for (;;) {
                r = server_run(server, signal_fd, e);
                if (r < 0 || !take_hangup(signal_fd))
                        break;
                reload_keks(builtin);
        }
        supervisor_notify("STOPPING=1");
        if (r == 0)
                log_line(LOG_NOTICE, "ending", NULL);
        return r;
}

static int init_kek(Error *e) {
        int r;

        r = kek_create(arg_kek, e);
        if (r == -EEXIST)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "%s is there, and stays as it is",
                                 arg_kek);
        if (r < 0)
                return r;

        printf("%s is the new key encryption key. Keep a copy apart from the database's backups:\n"
               "without it no key opens, and with both of them every key does.\n",
               arg_kek);
        return 0;
}

/* -- the command line -- */

static int parse_fd(const char *text) {
        char *end;
        long fd = strtol(text, &end, 10);

        if (*text && *end == '\0' && fd > STDIN_FILENO && fcntl((int) fd, F_GETFD) >= 0)
                return (int) fd;
        fprintf(stderr, "csign-keystore: --ready-fd %s: that is no open descriptor\n", text);
        return -1;
}

/* 0: go on, else the exit status + 1. */
static int parse_options(int argc, char **argv) {
        enum { ARG_CONFIG = 256, ARG_KEK, ARG_READY_FD, ARG_VERSION };
        static const struct option options[] = {
                { "config", required_argument, NULL, ARG_CONFIG },
                { "kek", required_argument, NULL, ARG_KEK },
                { "ready-fd", required_argument, NULL, ARG_READY_FD },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case ARG_CONFIG:
                        arg_config = optarg;
                        break;
                case ARG_KEK:
                        arg_kek = optarg;
                        break;
                case ARG_READY_FD:
                        arg_ready_fd = parse_fd(optarg);
                        if (arg_ready_fd < 0)
                                return 3;
                        break;
                case ARG_VERSION:
                        puts("csign-keystore " CSIGN_VERSION);
                        return 1;
                case 'h':
                        usage(stdout);
                        return 1;
                default:
                        return 3;
                }
        return 0;
}

static int misused(const char *why) {
        fprintf(stderr, "csign-keystore: %s\n", why);
        usage(stderr);
        return 2;
}

int main(int argc, char **argv) {
        bool making;
        Error e = {};
        int r;

        r = memory_wipe_on_free();
        if (r < 0)
                return fputs("csign-keystore: libcrypto was used too early\n", stderr), 1;
        OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
        log_open("csign-keystore", LOG_NOTICE);

        r = parse_options(argc, argv);
        if (r > 0)
                return r - 1;

        making = optind < argc && strcmp(argv[optind], "init-kek") == 0;
        if (argc - optind > making)
                return misused("too many arguments");
        if (making && (!arg_kek || arg_config))
                return misused("init-kek needs --kek FILE, and nothing else");
        if (!making && (!arg_config || arg_kek))
                return misused("--config FILE is needed");

        r = making ? init_kek(&e) : serve(&e);
        if (r < 0) {
                if (e.code == 0)
                        error_set(&e, r, "%s", strerror(-r));
                log_failure(LOG_ERROR, "cannot go on", &e);
                return error_info(r)->exit_status;
        }
        return 0;
}
