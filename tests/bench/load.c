/* SPDX-License-Identifier: Apache-2.0 */
/* The benchmark's callers: N threads that sign one after the other, as fast as they are answered.
 *
 *     load --way provider --module csign.so --address ADDRESS --key PATH --callers N --count N
 * --seconds S
 *          [--watch NAME=PID ...]
 *
 * The way is "provider" (EVP, as every OpenSSL program signs) or "client" (lib/sidecar-client
 * alone).  The last signature of each caller is verified.  One line of JSON: rate, latencies, and
 * the CPU time that this and each watched process spent for one signature. */

#include <err.h>
#include <getopt.h>
#include <libgen.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/store.h>

#include "lib/macro.h"
#include "lib/ossl.h"
#include "lib/sidecar-client.h"

enum { CALLERS_MAX = 1024, WATCH_MAX = 8, WARM_UP = 3 };

static const uint8_t message[] = "what the benchmark signs";

static const char *arg_way = "provider", *arg_module, *arg_address, *arg_key;
static unsigned arg_callers = 1;
static size_t arg_count = 1000;
static double arg_seconds = 10;

typedef struct Watch {
        const char *name;
        clockid_t clock;
        double before;
} Watch;

static Watch watches[WATCH_MAX];
static size_t n_watches;

/* One thread that signs. */
typedef struct Caller {
        pthread_t thread;
        size_t done, room;
        float *usec; /* of each signature */
        uint8_t sig[SIGNATURE_MAX];
        size_t sig_len;
} Caller;

static atomic_size_t tickets; /* signatures that were begun */
static double deadline;
static pthread_barrier_t warm, go;

static double now(clockid_t clock) {
        struct timespec t;

        if (clock_gettime(clock, &t) < 0)
                err(1, "clock_gettime");
        return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

static void die_ossl(const char *what) {
        fprintf(stderr, "load: %s\n", what);
        ERR_print_errors_fp(stderr);
        exit(1);
}

static void die_csign(const char *what, const Error *e) {
        char text[ERROR_TEXT_MAX];

        errx(1, "%s: %s", what, error_text(e, text));
}

/* -- the way through OpenSSL -- */

static OSSL_LIB_CTX *libctx;
static EVP_PKEY *provider_key;

static void provider_open(void) {
        char *folder = strdup(arg_module), *uri = NULL;
        OSSL_STORE_CTX *store;

        libctx = OSSL_LIB_CTX_new();
        if (!folder || !libctx || asprintf(&uri, "csign://%s", arg_key) < 0)
                errx(1, "out of memory");
        setenv("CSIGN_BUS", arg_address, 1);

        if (OSSL_PROVIDER_set_default_search_path(libctx, dirname(folder)) != 1 ||
            !OSSL_PROVIDER_load(libctx, "default") || !OSSL_PROVIDER_load(libctx, "csign") ||
            EVP_set_default_properties(libctx, "?provider!=csign") != 1)
                die_ossl("cannot load the provider");

        store = OSSL_STORE_open_ex(uri, libctx, NULL, NULL, NULL, NULL, NULL, NULL);
        while (store && !provider_key && !OSSL_STORE_eof(store)) {
                OSSL_STORE_INFO *info = OSSL_STORE_load(store);

                if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
                        provider_key = OSSL_STORE_INFO_get1_PKEY(info);
                OSSL_STORE_INFO_free(info);
        }
        OSSL_STORE_close(store);
        free(folder);
        free(uri);
        if (!provider_key)
                die_ossl("cannot load the key");
}

static void provider_sign(Caller *c) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        c->sig_len = sizeof(c->sig);
        if (!ctx ||
            EVP_DigestSignInit_ex(ctx, NULL, "SHA256", libctx, NULL, provider_key, NULL) != 1 ||
            EVP_DigestSign(ctx, c->sig, &c->sig_len, message, sizeof(message)) != 1)
                die_ossl("cannot sign");
}

/* -- the way through lib/sidecar-client -- */

static SidecarClient *client;
static KeyInfo info;

static void client_open(void) {
        Error e = {};

        if (sidecar_client_new(&client, arg_address, 0, &e) < 0 ||
            sidecar_client_get_key(client, arg_key, 0, &info, &e) < 0)
                die_csign("cannot get the key", &e);
}

static void client_sign(Caller *c) {
        _cleanup_(buf_done) Buf sig = {};
        uint8_t digest[EVP_MAX_MD_SIZE];
        unsigned len;
        SignRequest req = {
                .key_id = info.id,
                .version = info.version,
                .scheme = info.alg->group ? SCHEME_ECDSA : SCHEME_RSA_PKCS1,
                .hash = hash_alg_by_name("SHA256"),
                .digest = digest,
        };
        Error e = {};

        EVP_Digest(message, sizeof(message), digest, &len, EVP_sha256(), NULL);
        req.digest_len = len;
        if (sidecar_client_sign(client, &req, &sig, NULL, &e) < 0)
                die_csign("cannot sign", &e);
        memcpy(c->sig, sig.data, sig.len);
        c->sig_len = sig.len;
}

/* -- the callers -- */

static const struct Way {
        const char *name;
        void (*open)(void);
        void (*sign)(Caller *c);
} ways[] = {
        { "provider", provider_open, provider_sign },
        { "client", client_open, client_sign },
};

static const struct Way *way;

static void note(Caller *c, double seconds) {
        if (c->done == c->room) {
                c->room = c->room ? c->room * 2 : 1024;
                c->usec = reallocarray(c->usec, c->room, sizeof(*c->usec));
                if (!c->usec)
                        errx(1, "out of memory");
        }
        c->usec[c->done++] = (float) (seconds * 1e6);
}

static void *caller_main(void *arg) {
        Caller *c = arg;
        double begin;

        for (int i = 0; i < WARM_UP; i++)
                way->sign(c);
        pthread_barrier_wait(&warm);
        pthread_barrier_wait(&go);

        begin = now(CLOCK_MONOTONIC);
        while (begin < deadline && atomic_fetch_add(&tickets, 1) < arg_count) {
                double end;

                way->sign(c);
                end = now(CLOCK_MONOTONIC);
                note(c, end - begin);
                begin = end;
        }
        return NULL;
}

/* The proof must not rest on what it proves: the public half comes from the sidecar's description,
 * and libcrypto's own code verifies. */
static void verify(const Caller *c) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        const unsigned char *p;

        if (!client)
                client_open();
        p = info.spki.data;
        key = d2i_PUBKEY(NULL, &p, (long) info.spki.len);
        if (!key || !ctx ||
            EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) != 1 ||
            EVP_DigestVerify(ctx, c->sig, c->sig_len, message, sizeof(message)) != 1)
                die_ossl("a signature does not verify");
}

/* -- the report -- */

static int compare(const void *a, const void *b) {
        float x = *(const float *) a, y = *(const float *) b;

        return (x > y) - (x < y);
}

static void report_latencies(const Caller *callers, size_t total) {
        float *all = calloc(total, sizeof(*all));
        size_t n = 0;

        if (!all)
                errx(1, "out of memory");
        for (unsigned i = 0; i < arg_callers; i++) {
                memcpy(all + n, callers[i].usec, callers[i].done * sizeof(*all));
                n += callers[i].done;
        }
        qsort(all, n, sizeof(*all), compare);
        printf("\"p50_usec\": %.1f, \"p99_usec\": %.1f, \"max_usec\": %.1f, ", all[n / 2],
               all[n * 99 / 100], all[n - 1]);
        free(all);
}

static void report(const Caller *callers, double seconds, double own_cpu) {
        struct rusage usage;
        size_t total = 0;

        for (unsigned i = 0; i < arg_callers; i++)
                total += callers[i].done;
        if (total == 0)
                errx(1, "nothing was signed in time");

        getrusage(RUSAGE_SELF, &usage);
        printf("{\"count\": %zu, \"seconds\": %.4f, \"per_second\": %.1f, ", total, seconds,
               (double) total / seconds);
        report_latencies(callers, total);
        printf("\"peak_kib\": %ld, \"cpu_usec\": {\"client\": %.1f", usage.ru_maxrss,
               own_cpu / (double) total * 1e6);
        for (size_t i = 0; i < n_watches; i++)
                printf(", \"%s\": %.1f", watches[i].name, watches[i].before / (double) total * 1e6);
        puts("}}");
}

static void measure(Caller *callers) {
        double begin, own;

        pthread_barrier_wait(&warm);
        for (size_t i = 0; i < n_watches; i++)
                watches[i].before = now(watches[i].clock);
        own = now(CLOCK_PROCESS_CPUTIME_ID);
        begin = now(CLOCK_MONOTONIC);
        deadline = begin + arg_seconds;
        pthread_barrier_wait(&go);

        for (unsigned i = 0; i < arg_callers; i++)
                pthread_join(callers[i].thread, NULL);

        begin = now(CLOCK_MONOTONIC) - begin;
        own = now(CLOCK_PROCESS_CPUTIME_ID) - own;
        for (size_t i = 0; i < n_watches; i++)
                watches[i].before = now(watches[i].clock) - watches[i].before;

        for (unsigned i = 0; i < arg_callers; i++)
                if (callers[i].done > 0)
                        verify(&callers[i]);
        report(callers, begin, own);
}

/* -- the command line -- */

static void add_watch(char *text) {
        char *pid = strchr(text, '=');
        Watch *w = &watches[n_watches++];

        if (!pid || n_watches > WATCH_MAX)
                errx(2, "--watch NAME=PID, at most %d", WATCH_MAX);
        *pid++ = '\0';
        w->name = text;
        if (clock_getcpuclockid((pid_t) atoi(pid), &w->clock) != 0)
                errx(1, "no process %s", pid);
}

static void parse_options(int argc, char **argv) {
        static const struct option options[] = {
                { "way", required_argument, NULL, 'w' },
                { "module", required_argument, NULL, 'm' },
                { "address", required_argument, NULL, 'a' },
                { "key", required_argument, NULL, 'k' },
                { "callers", required_argument, NULL, 'n' },
                { "count", required_argument, NULL, 'c' },
                { "seconds", required_argument, NULL, 's' },
                { "watch", required_argument, NULL, 'p' },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 'w':
                        arg_way = optarg;
                        break;
                case 'm':
                        arg_module = optarg;
                        break;
                case 'a':
                        arg_address = optarg;
                        break;
                case 'k':
                        arg_key = optarg;
                        break;
                case 'n':
                        arg_callers = (unsigned) atoi(optarg);
                        break;
                case 'c':
                        arg_count = strtoul(optarg, NULL, 10);
                        break;
                case 's':
                        arg_seconds = atof(optarg);
                        break;
                case 'p':
                        add_watch(optarg);
                        break;
                default:
                        exit(2);
                }

        for (size_t i = 0; i < ELEMENTSOF(ways); i++)
                if (strcmp(ways[i].name, arg_way) == 0)
                        way = &ways[i];
        if (!way || !arg_address || !arg_key || (way->open == provider_open && !arg_module) ||
            arg_callers < 1 || arg_callers > CALLERS_MAX || optind != argc)
                errx(2, "see the first lines of tests/bench/load.c");
}

int main(int argc, char **argv) {
        Caller *callers;

        OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
        parse_options(argc, argv);

        callers = calloc(arg_callers, sizeof(*callers));
        if (!callers)
                errx(1, "out of memory");

        way->open();
        pthread_barrier_init(&warm, NULL, arg_callers + 1);
        pthread_barrier_init(&go, NULL, arg_callers + 1);
        for (unsigned i = 0; i < arg_callers; i++)
                if (pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]) != 0)
                        errx(1, "cannot start %u callers", arg_callers);
        measure(callers);

        for (unsigned i = 0; i < arg_callers; i++)
                free(callers[i].usec);
        free(callers);
        EVP_PKEY_free(provider_key);
        OSSL_LIB_CTX_free(libctx);
        sidecar_client_free(client);
        key_info_done(&info);
        return 0;
}
