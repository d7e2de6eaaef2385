/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/probe.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/store.h>

#include "cli/conf-view.h"

#define ANSWER_MSEC 5000

/* ---- in the child ---- */

/* The loader of modules says best what is wrong, and says it first. */
static void openssl_reason(char ret[static 256]) {
        const char *data = NULL, *reason;
        unsigned long code;
        int flags = 0;

        code = ERR_peek_error_data(&data, &flags);
        if (!(flags & ERR_TXT_STRING) || !data || !data[0]) {
                code = ERR_peek_last_error_data(&data, &flags);
                if (!(flags & ERR_TXT_STRING))
                        data = "";
        }
        reason = code ? ERR_reason_error_string(code) : NULL;
        (void) snprintf(ret, 256, "%s%s%s", reason ? reason : "no reason given",
                        data[0] ? ": " : "", data);
}

/* Whose RSA keys does a program make?  Asking for a provider sorts OpenSSL's stack of them by name,
 * which is what brings out a wrong order. */
static bool is_fallback_first(OSSL_LIB_CTX *ctx) {
        EVP_KEYMGMT *rsa = EVP_KEYMGMT_fetch(ctx, "RSA", NULL);
        bool first = rsa &&
                     strcmp(OSSL_PROVIDER_get0_name(EVP_KEYMGMT_get0_provider(rsa)), "csign") != 0;

        EVP_KEYMGMT_free(rsa);
        return first;
}

/* Whether a program that asks for nothing in particular gets at csign's keys. */
static bool is_found(OSSL_LIB_CTX *ctx) {
        OSSL_STORE_LOADER *loader = OSSL_STORE_LOADER_fetch(ctx, "csign", NULL);

        OSSL_STORE_LOADER_free(loader);
        return loader;
}

static bool load(OSSL_LIB_CTX *ctx, const char *path, const Buf *text) {
        BIO *in = text ? BIO_new_mem_buf(buf_str(text), (int) text->len) : BIO_new_file(path, "r");
        CONF *conf = NCONF_new_ex(ctx, NULL);
        bool ok = in && conf && NCONF_load_bio(conf, in, NULL) > 0 &&
                  CONF_modules_load(conf, NULL, 0) > 0;

        BIO_free(in);
        NCONF_free(conf);
        return ok;
}

/* OpenSSL forgets why a module did not load; the linker tells again. */
static void module_reason(const char *path, const Buf *text, char ret[static 256]) {
        _cleanup_(conf_view_done) ConfView v = {};
        Error e = {};
        int r = text ? conf_view_parse(&v, "", text, &e) : conf_view_open(&v, path, &e);

        if (r >= 0 && v.module && !dlopen(v.module, RTLD_NOW))
                (void) snprintf(ret, 256, "%s", dlerror());
}

static Probe probe_here(const char *path, const Buf *text) {
        OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
        Probe p = {};

        OPENSSL_load_builtin_modules();
        ERR_clear_error();
        p.loads = ctx && load(ctx, path, text);
        p.csign = OSSL_PROVIDER_available(ctx, "csign");
        if (!p.loads)
                openssl_reason(p.why);
        else if (!p.csign)
                module_reason(path, text, p.why);
        p.found = is_found(ctx);
        p.fallback = OSSL_PROVIDER_available(ctx, "default");
        p.fips = OSSL_PROVIDER_available(ctx, "fips") && OSSL_PROVIDER_available(ctx, "base");
        p.fallback_first = (p.fallback || p.fips) && is_fallback_first(ctx);
        return p;
}

/* What the module prints is not for whoever asked.  No cleanup: an exit handler could hang, too. */
static void child(int fd, const char *path, const Buf *text) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        Probe p;

        (void) dup2(null, STDOUT_FILENO);
        (void) dup2(null, STDERR_FILENO);
        p = probe_here(path, text);
        _exit(write(fd, &p, sizeof(p)) == sizeof(p) ? 0 : 1);
}

/* ---- in the parent ---- */

static int read_answer(int fd, Probe *ret, Error *e) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        Probe got;
        int r;

        do
                r = poll(&p, 1, ANSWER_MSEC);
        while (r < 0 && errno == EINTR);
        if (r == 0)
                return error_set(e, -CSIGN_E_TIMEOUT, "OpenSSL did not load it within %d s",
                                 ANSWER_MSEC / 1000);
        /* Less than a pipe's atom: all of it, or nothing. */
        if (read(fd, &got, sizeof(got)) != sizeof(got))
                return error_set(e, -EIO, "loading it crashes the program");
        *ret = got;
        return 0;
}

int probe_conf(const char *path, const Buf *text, Probe *ret, Error *e) {
        int fds[2], r;
        pid_t pid;

        (void) fflush(NULL);
        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_set(e, -errno, "cannot make a pipe: %s", strerror(errno));
        pid = fork();
        if (pid == 0)
                child(fds[1], path, text);
        (void) close(fds[1]);
        r = pid < 0 ? error_set(e, -errno, "cannot fork: %s", strerror(errno))
                    : read_answer(fds[0], ret, e);
        (void) close(fds[0]);
        if (pid > 0) {
                (void) kill(pid, SIGKILL);
                while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        return r;
}
