/* SPDX-License-Identifier: Apache-2.0 */

/* A host program as careful as csign.so must be with it: loads a key by URI, signs from many
 * threads, forks in the middle, and then compares what it had before with what is left (I7).  Knows
 * nothing of csign but the URI.
 *
 *     guest URI        prints "ok"; or one line on what is wrong, status 1 */

#include <dirent.h>
#include <err.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/store.h>

enum { THREADS = 8, ROUNDS = 10 };

typedef struct Before {
        int fds, threads;
        struct sigaction actions[NSIG];
        sigset_t mask;
} Before;

static EVP_PKEY *key;

static int count(const char *folder) {
        DIR *d = opendir(folder);
        int n = -3; /* ".", "..", and the descriptor of the folder itself */

        if (!d)
                err(1, "%s", folder);
        while (readdir(d))
                n++;
        (void) closedir(d);
        return n;
}

static void look(Before *b) {
        memset(b, 0, sizeof(*b));
        b->fds = count("/proc/self/fd");
        b->threads = count("/proc/self/task") + 1; /* no descriptor among the threads */
        for (int i = 1; i < NSIG; i++)
                (void) sigaction(i, NULL, &b->actions[i]);
        (void) pthread_sigmask(SIG_BLOCK, NULL, &b->mask);
}

static EVP_PKEY *load(const char *uri) {
        OSSL_STORE_CTX *store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
        EVP_PKEY *found = NULL;

        if (!store)
                return NULL;
        while (!found && !OSSL_STORE_eof(store)) {
                OSSL_STORE_INFO *info = OSSL_STORE_load(store);

                if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
                        found = OSSL_STORE_INFO_get1_PKEY(info);
                OSSL_STORE_INFO_free(info);
        }
        (void) OSSL_STORE_close(store);
        return found;
}

static bool sign_once(void) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        unsigned char sig[1024];
        size_t len = sizeof(sig);
        bool ok;

        ok = ctx && EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
             EVP_DigestSign(ctx, sig, &len, (const unsigned char *) "guest", 5) == 1;
        EVP_MD_CTX_free(ctx);
        return ok;
}

static void *sign_often(void *failures) {
        for (int i = 0; i < ROUNDS; i++)
                if (!sign_once())
                        (void) __atomic_add_fetch((int *) failures, 1, __ATOMIC_SEQ_CST);
        return NULL;
}

static bool finish(EVP_MD_CTX *ctx) {
        unsigned char sig[1024];
        size_t len = sizeof(sig);

        return EVP_DigestSignFinal(ctx, sig, &len) == 1;
}

/* A child inherits the key, a signature that has begun, and perhaps an open connection: it must
 * sign on its own, and the parent go on.  Forked when no other thread runs: OpenSSL's own locks
 * allow no more. */
static bool both_sign_after_fork(void) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        int status = 1;
        pid_t pid;
        bool ok;

        if (!ctx || EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) != 1 ||
            EVP_DigestSignUpdate(ctx, "guest", 5) != 1)
                errx(1, "a signature did not begin");
        pid = fork();
        if (pid < 0)
                err(1, "fork");
        if (pid == 0)
                _exit(finish(ctx) && sign_once() ? 0 : 1);
        ok = finish(ctx) && waitpid(pid, &status, 0) == pid && status == 0;
        EVP_MD_CTX_free(ctx);
        return ok;
}

static void sign_everywhere(void) {
        pthread_t threads[THREADS];
        int failures = 0;

        if (!sign_once())
                errx(1, "the first signature failed");
        for (int i = 0; i < THREADS; i++)
                if (pthread_create(&threads[i], NULL, sign_often, &failures) != 0)
                        errx(1, "pthread_create");
        for (int i = 0; i < THREADS; i++)
                (void) pthread_join(threads[i], NULL);
        if (failures)
                errx(1, "%d of %d signatures failed in threads", failures, THREADS * ROUNDS);
        if (!both_sign_after_fork() || !sign_once())
                errx(1, "signing after a fork failed");
}

static void compare(const Before *a, const Before *b) {
        if (a->threads != b->threads)
                errx(1, "%d threads before, %d after", a->threads, b->threads);
        if (a->fds != b->fds)
                errx(1, "%d descriptors before, %d after", a->fds, b->fds);
        for (int i = 1; i < NSIG; i++)
                if (a->actions[i].sa_handler != b->actions[i].sa_handler)
                        errx(1, "the handler of signal %d was changed", i);
        if (memcmp(&a->mask, &b->mask, sizeof(a->mask)) != 0)
                errx(1, "the signal mask was changed");
}

int main(int argc, char *argv[]) {
        Before before, loaded, after;

        if (argc != 2)
                errx(2, "usage: guest URI");
        (void) alarm(60);
        look(&before);
        if (OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL) != 1)
                errx(1, "OPENSSL_init_crypto");
        look(&loaded);
        compare(&before, &loaded); /* loading csign.so connects to nothing */

        key = load(argv[1]);
        if (!key)
                errx(1, "cannot load %s", argv[1]);
        sign_everywhere();
        EVP_PKEY_free(key);
        OPENSSL_cleanup();
        look(&after);
        compare(&before, &after);
        return write(STDOUT_FILENO, "ok\n", 3) == 3 ? 0 : 1;
}
