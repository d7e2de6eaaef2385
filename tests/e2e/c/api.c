/* SPDX-License-Identifier: Apache-2.0 */

/* What careful applications do with a remote key.
 *
 *     api URI THREADS ROUNDS      keys compared and copied, contexts copied, threads, fork, other
 * library contexts */

#include "host.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/provider.h>
#include <openssl/rsa.h>

static EVP_PKEY *key;
static int rounds;
static atomic_int n_signed;
static pthread_barrier_t half_way;

static EVP_PKEY *public_half(EVP_PKEY *k) {
        BIO *bio = BIO_new(BIO_s_mem());
        EVP_PKEY *pub;

        CHECK(PEM_write_bio_PUBKEY(bio, k) == 1);
        pub = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        CHECK(pub);
        BIO_free(bio);
        return pub;
}

static void compare_and_copy(void) {
        EVP_PKEY *pub = public_half(key), *copy = EVP_PKEY_dup(key), *other;
        unsigned char sig[1024];
        size_t len = sizeof(sig);

        CHECK(EVP_PKEY_eq(key, pub) == 1 && EVP_PKEY_eq(pub, key) == 1);
        CHECK(copy && EVP_PKEY_eq(key, copy) == 1 && EVP_PKEY_eq(copy, pub) == 1);
        CHECK(sign(copy, NULL, sig, &len) && verify(pub, NULL, sig, len));

        other = EVP_PKEY_is_a(key, "RSA") ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 2048)
                                          : EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        CHECK(EVP_PKEY_eq(key, other) == 0 && EVP_PKEY_eq(other, key) == 0);
        CHECK(EVP_PKEY_get0_RSA(key) == NULL && EVP_PKEY_get0_EC_KEY(key) == NULL);
        CHECK(EVP_PKEY_get_id(key) == (EVP_PKEY_is_a(key, "RSA") ? EVP_PKEY_RSA : EVP_PKEY_EC));
        ERR_clear_error();
        EVP_PKEY_free(other);
        EVP_PKEY_free(copy);
        EVP_PKEY_free(pub);
}

/* A context that was copied in the middle signs two messages. */
static void copy_contexts(void) {
        EVP_MD_CTX *a = EVP_MD_CTX_new(), *b = EVP_MD_CTX_new();
        EVP_PKEY_CTX *settings;
        unsigned char sig_a[1024], sig_b[1024];
        size_t len_a = sizeof(sig_a), len_b = sizeof(sig_b);

        CHECK(EVP_DigestSignInit_ex(a, &settings, "SHA256", NULL, NULL, key, NULL) == 1);
        if (EVP_PKEY_is_a(key, "RSA"))
                CHECK(EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) == 1);
        CHECK(EVP_DigestSignUpdate(a, "da", 2) == 1);
        CHECK(EVP_MD_CTX_copy_ex(b, a) == 1);
        CHECK(EVP_DigestSignUpdate(a, "ta", 2) == 1 && EVP_DigestSignUpdate(b, "wn", 2) == 1);
        CHECK(EVP_DigestSignFinal(a, sig_a, &len_a) == 1);
        CHECK(EVP_DigestSignFinal(b, sig_b, &len_b) == 1);
        EVP_MD_CTX_free(a);
        EVP_MD_CTX_free(b);

        for (int i = 0; i < 2; i++) {
                EVP_MD_CTX *v = EVP_MD_CTX_new();

                CHECK(EVP_DigestVerifyInit_ex(v, &settings, "SHA256", NULL, NULL, key, NULL) == 1);
                if (EVP_PKEY_is_a(key, "RSA"))
                        CHECK(EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) == 1);
                CHECK(EVP_DigestVerify(v, i ? sig_b : sig_a, i ? len_b : len_a,
                                       (const unsigned char *) (i ? "dawn" : "data"), 4) == 1);
                EVP_MD_CTX_free(v);
        }
}

static void *sign_often(void *arg) {
        for (int i = 0; i < rounds; i++) {
                if (i == rounds / 2) {
                        pthread_barrier_wait(&half_way);
                        pthread_barrier_wait(&half_way);
                }
                if (sign_and_verify(key, NULL))
                        atomic_fetch_add(&n_signed, 1);
        }
        return NULL;
}

static void fork_and_sign(void) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        unsigned char sig[1024];
        size_t len = sizeof(sig);
        int status;
        pid_t pid;

        /* The child goes on with what its parent has begun. */
        CHECK(EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) == 1);
        CHECK(EVP_DigestSignUpdate(ctx, "data", 4) == 1);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
                CHECK(EVP_DigestSignFinal(ctx, sig, &len) == 1 && verify(key, NULL, sig, len));
                CHECK(sign_and_verify(key, NULL));
                /* Well done; by a signal, for what the other threads held is lost in here, and
                 * valgrind would say so at exit. */
                (void) raise(SIGKILL);
        }
        CHECK(EVP_DigestSignFinal(ctx, sig, &len) == 1 && verify(key, NULL, sig, len));
        CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
              WTERMSIG(status) == SIGKILL);
        EVP_MD_CTX_free(ctx);
}

/* As a compiler driver does, beside threads that sign. */
static void fork_and_exec(void) {
        int status;
        pid_t pid;

        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
                execl("/bin/true", "true", NULL);
                _exit(1);
        }
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The child that signs is made while all threads have connections and none is inside libcrypto:
 * what its locks are in the middle of is lost to a child, with any key. */
static void use_threads(int n) {
        pthread_t threads[256];

        if (n == 0)
                return;
        CHECK(pthread_barrier_init(&half_way, NULL, (unsigned) n + 1) == 0);
        for (int i = 0; i < n; i++)
                CHECK(pthread_create(&threads[i], NULL, sign_often, NULL) == 0);
        fork_and_exec();
        pthread_barrier_wait(&half_way);
        fork_and_sign();
        pthread_barrier_wait(&half_way);
        fork_and_exec();
        for (int i = 0; i < n; i++)
                pthread_join(threads[i], NULL);
        pthread_barrier_destroy(&half_way);
        CHECK(atomic_load(&n_signed) == n * rounds);
}

/* A program that closes what it does not know, and whose next file has the number of our
 * connection. */
static void close_all_files(void) {
        int fds[64];

        for (int fd = 3; fd < 256; fd++)
                close(fd);
        for (size_t i = 0; i < 64; i++) {
                fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
                CHECK(fds[i] >= 0);
        }
        CHECK(sign_and_verify(key, NULL));
        for (size_t i = 0; i < 64; i++)
                CHECK(close(fds[i]) == 0); /* still ours */
        CHECK(sign_and_verify(key, NULL));
}

/* curl, for one, keeps providers in a library context of its own; the key outlives nothing of it.
 */
static void other_libctx(const char *uri) {
        OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
        OSSL_PROVIDER *def = OSSL_PROVIDER_load(libctx, "default");
        OSSL_PROVIDER *csign;
        EVP_PKEY *k;

        csign = OSSL_PROVIDER_load(libctx, "csign");
        CHECK(def && csign);
        k = load_key(uri, libctx);
        CHECK(k && sign_and_verify(k, libctx));
        EVP_PKEY_free(k);
        OSSL_PROVIDER_unload(csign);
        OSSL_PROVIDER_unload(def);
        OSSL_LIB_CTX_free(libctx);
}

int main(int argc, char *argv[]) {
        CHECK(argc == 4);
        rounds = atoi(argv[3]);
        key = load_key(argv[1], NULL);
        CHECK(key);

        compare_and_copy();
        copy_contexts();
        use_threads(atoi(argv[2]));
        fork_and_sign();
        other_libctx(argv[1]);
        if (atoi(argv[2]) > 0)
                close_all_files(); /* costs the provider a connection that it can only forget */
        CHECK(ERR_peek_error() == 0);
        EVP_PKEY_free(key);
        printf("ok %d\n", atomic_load(&n_signed));
        return 0;
}
