/* SPDX-License-Identifier: Apache-2.0 */

/* What a guest leaves behind in its host.
 *
 *     manners files URI THREADS
 *     manners reload URI TIMES
 *     manners twice URI
 *     manners leak URI
 *
 * files: when the last key is gone, no descriptor; before, one connection for each thread at most,
 * and nothing that a program which is started would inherit.  reload: the provider comes and goes.
 * twice: contexts are finished twice.  leak: the host ends with everything in use. */

#include "host.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include <openssl/provider.h>
#include <openssl/rand.h>

#define THREADS_MAX 256
#define FILES_MAX   1024

static EVP_PKEY *key;
static pthread_barrier_t all_have_signed;

static bool known[FILES_MAX];

/* How many of the files that are open, or only of the sockets, are not known; all of them must be
 * closed on exec. */
static int count_new(bool sockets_only) {
        DIR *dir = opendir("/proc/self/fd");
        struct dirent *d;
        struct stat st;
        int n = 0;

        CHECK(dir);
        while ((d = readdir(dir))) {
                int fd = atoi(d->d_name);

                if (d->d_name[0] == '.' || fd == dirfd(dir))
                        continue;
                if (fd >= FILES_MAX || known[fd])
                        continue; /* valgrind has its own up there */
                CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
                CHECK(fstat(fd, &st) == 0);
                n += !sockets_only || S_ISSOCK(st.st_mode);
        }
        closedir(dir);
        return n;
}

static void learn_files(void) {
        for (int fd = 0; fd < FILES_MAX; fd++)
                known[fd] = fcntl(fd, F_GETFD) >= 0;
}

static void *sign_and_wait(void *arg) {
        CHECK(sign_and_verify(key, NULL));
        pthread_barrier_wait(&all_have_signed);
        return NULL;
}

static void leave_no_files(const char *uri, int n_threads) {
        pthread_t threads[THREADS_MAX];

        CHECK(n_threads < THREADS_MAX);
        key = load_key(uri, NULL);
        CHECK(key && pthread_barrier_init(&all_have_signed, NULL, (unsigned) n_threads) == 0);
        for (int i = 0; i < n_threads; i++)
                CHECK(pthread_create(&threads[i], NULL, sign_and_wait, NULL) == 0);
        for (int i = 0; i < n_threads; i++)
                pthread_join(threads[i], NULL);

        CHECK(count_new(true) <= n_threads);
        EVP_PKEY_free(key);
        CHECK(count_new(false) == 0);

        /* Nor does what gives no key. */
        CHECK(!load_key("csign://acme/mobile/nope", NULL));
        CHECK(!load_key("csign:", NULL));
        ERR_clear_error();
        CHECK(count_new(false) == 0);
}

static void come_and_go(const char *uri, int times) {
        for (int i = 0; i < times; i++) {
                OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
                OSSL_PROVIDER *def = OSSL_PROVIDER_load(libctx, "default");
                OSSL_PROVIDER *csign = OSSL_PROVIDER_load(libctx, "csign");

                CHECK(def && csign);
                if (i % 4 == 0) {
                        key = load_key(uri, libctx);
                        CHECK(key && sign_and_verify(key, libctx));
                        EVP_PKEY_free(key);
                }
                CHECK(OSSL_PROVIDER_unload(csign) == 1 && OSSL_PROVIDER_unload(def) == 1);
                OSSL_LIB_CTX_free(libctx);
        }
        CHECK(count_new(false) == 0);
}

/* 3.0 lets a context be finished again, later ones refuse: whatever is given must be right. */
static void finish_twice(EVP_MD_CTX *ctx) {
        unsigned char sig[1024];

        for (int i = 0; i < 2; i++) {
                size_t len = sizeof(sig);

                if (EVP_DigestSignFinal(ctx, sig, &len) == 1)
                        CHECK(verify(key, NULL, sig, len));
                else
                        CHECK(i == 1);
        }
}

static void finish_all_twice(const char *uri) {
        EVP_MD_CTX *a = EVP_MD_CTX_new(), *b = EVP_MD_CTX_new();

        key = load_key(uri, NULL);
        CHECK(key && EVP_DigestSignInit_ex(a, NULL, "SHA256", NULL, NULL, key, NULL) == 1);
        CHECK(EVP_DigestSignUpdate(a, "data", 4) == 1);
        CHECK(EVP_MD_CTX_copy_ex(b, a) == 1);
        finish_twice(a);
        EVP_MD_CTX_free(a);
        finish_twice(b);
        EVP_MD_CTX_free(b);
        EVP_PKEY_free(key);
        ERR_clear_error();
}

static void leave_all_open(const char *uri) {
        OSSL_STORE_CTX *store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        CHECK(store && OSSL_STORE_load(store));
        key = load_key(uri, NULL);
        CHECK(EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) == 1);
        CHECK(EVP_DigestSignUpdate(ctx, "data", 4) == 1);
        CHECK(sign_and_verify(key, NULL));
}

int main(int argc, char *argv[]) {
        unsigned char byte;

        CHECK(argc >= 3);
        CHECK(RAND_bytes(&byte, 1) == 1); /* whatever OpenSSL opens for itself */
        learn_files();
        if (strcmp(argv[1], "files") == 0)
                leave_no_files(argv[2], atoi(argv[3]));
        else if (strcmp(argv[1], "reload") == 0)
                come_and_go(argv[2], atoi(argv[3]));
        else if (strcmp(argv[1], "twice") == 0)
                finish_all_twice(argv[2]);
        else
                leave_all_open(argv[2]);
        CHECK(ERR_peek_error() == 0);
        printf("ok\n");
        return 0;
}
