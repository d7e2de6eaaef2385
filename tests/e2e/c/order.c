/* SPDX-License-Identifier: Apache-2.0 */

/* An application with keys of its own, which work whatever order libcrypto has put the providers
 * in.
 *
 *     order LOAD SORT RSA-KEYFILE EC-KEYFILE RSA-URI EC-URI
 *
 * LOAD: "conf" (what OPENSSL_CONF says), or providers to load in that order, as "default,csign";
 * "used" among them is a use of OpenSSL that makes it load `default` by itself.
 * SORT: "none", "available" or "rand": calls after which libcrypto has sorted its providers by
 * name.
 *
 * Prints for each task "NAME: ok", or "NAME: failed" and OpenSSL's errors. */

#include "host.h"

#include <sys/wait.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

static OSSL_PROVIDER *loaded[8];
static size_t n_loaded;

static void load_providers(char *names) {
        for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) {
                if (strcmp(name, "used") == 0) {
                        EVP_MD_free(EVP_MD_fetch(NULL, "SHA256", NULL));
                        continue;
                }
                loaded[n_loaded] = OSSL_PROVIDER_load(NULL, name);
                CHECK(loaded[n_loaded++] && n_loaded < 8);
        }
}

static void sort_providers(const char *how) {
        unsigned char byte;

        if (strcmp(how, "available") == 0)
                (void) OSSL_PROVIDER_available(NULL, "legacy");
        else if (strcmp(how, "rand") == 0)
                (void) RAND_bytes(&byte, 1); /* cannot without `default` */
        ERR_clear_error();
}

static EVP_PKEY *read_file(const char *path) {
        BIO *bio = BIO_new_file(path, "r");
        EVP_PKEY *key;

        CHECK(bio);
        key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        BIO_free(bio);
        return key;
}

/* What an application writes, it reads back as the same key. */
static void write_and_read(EVP_PKEY *key) {
        BIO *bio = BIO_new(BIO_s_mem());
        char word[] = "word";
        EVP_PKEY *again;

        CHECK(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
        again = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        CHECK(again && EVP_PKEY_eq(again, key) == 1 && EVP_PKEY_eq(key, again) == 1);
        CHECK(sign_and_verify(again, NULL));
        EVP_PKEY_free(again);

        CHECK(PEM_write_bio_PrivateKey(bio, key, EVP_aes_256_cbc(), NULL, 0, NULL, word) == 1);
        again = PEM_read_bio_PrivateKey(bio, NULL, NULL, word);
        CHECK(again && EVP_PKEY_eq(again, key) == 1);
        EVP_PKEY_free(again);

        CHECK(PEM_write_bio_PUBKEY(bio, key) == 1);
        again = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        CHECK(again && EVP_PKEY_eq(again, key) == 1 && EVP_PKEY_eq(key, again) == 1);
        EVP_PKEY_free(again);
        BIO_free(bio);
}

static void encrypt_and_decrypt(EVP_PKEY *key) {
        unsigned char sealed[1024], open[1024];
        size_t sealed_len = sizeof(sealed), open_len = sizeof(open);
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);

        CHECK(EVP_PKEY_encrypt_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1);
        CHECK(EVP_PKEY_encrypt(ctx, sealed, &sealed_len, (const unsigned char *) "secret", 6) == 1);
        EVP_PKEY_CTX_free(ctx);

        ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
        CHECK(EVP_PKEY_decrypt_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1);
        CHECK(EVP_PKEY_decrypt(ctx, open, &open_len, sealed, sealed_len) == 1);
        CHECK(open_len == 6 && memcmp(open, "secret", 6) == 0);
        EVP_PKEY_CTX_free(ctx);
}

static size_t derive(EVP_PKEY *mine, EVP_PKEY *peer, unsigned char *secret, size_t size) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, mine, NULL);

        CHECK(EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1);
        CHECK(EVP_PKEY_derive(ctx, secret, &size) == 1);
        EVP_PKEY_CTX_free(ctx);
        return size;
}

static void agree(EVP_PKEY *a, EVP_PKEY *b) {
        unsigned char ab[128], ba[128];
        size_t n = derive(a, b, ab, sizeof(ab));

        CHECK(derive(b, a, ba, sizeof(ba)) == n && memcmp(ab, ba, n) == 0);
}

/* As libssl makes its key shares: parameters first, a key from them, the peer's point set into a
 * copy. */
static void share_as_tls_does(void) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
        EVP_PKEY *params = NULL, *mine = NULL, *peer = NULL, *theirs = EVP_PKEY_new();
        unsigned char *point = NULL;
        size_t len;

        CHECK(EVP_PKEY_paramgen_init(ctx) == 1 && EVP_PKEY_CTX_set_group_name(ctx, "P-256") == 1);
        CHECK(EVP_PKEY_paramgen(ctx, &params) == 1);
        EVP_PKEY_CTX_free(ctx);

        ctx = EVP_PKEY_CTX_new_from_pkey(NULL, params, NULL);
        CHECK(EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_keygen(ctx, &mine) == 1);
        CHECK(EVP_PKEY_keygen(ctx, &peer) == 1);
        EVP_PKEY_CTX_free(ctx);

        CHECK(EVP_PKEY_copy_parameters(theirs, mine) == 1);
        len = EVP_PKEY_get1_encoded_public_key(peer, &point);
        CHECK(len > 0 && EVP_PKEY_set1_encoded_public_key(theirs, point, len) == 1);
        CHECK(EVP_PKEY_eq(theirs, peer) == 1);
        agree(mine, peer);
        (void) derive(mine, theirs, (unsigned char[128]){ 0 }, 128);

        OPENSSL_free(point);
        EVP_PKEY_free(params);
        EVP_PKEY_free(mine);
        EVP_PKEY_free(peer);
        EVP_PKEY_free(theirs);
}

/* ---- TLS, in memory ---- */

static X509 *self_signed(EVP_PKEY *key) {
        X509 *x = X509_new();

        CHECK(X509_set_version(x, X509_VERSION_3) == 1);
        CHECK(ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1);
        CHECK(X509_gmtime_adj(X509_getm_notBefore(x), -60) &&
              X509_gmtime_adj(X509_getm_notAfter(x), 3600));
        CHECK(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                                         (const unsigned char *) "localhost", -1, -1, 0) == 1);
        CHECK(X509_set_issuer_name(x, X509_get_subject_name(x)) == 1);
        CHECK(X509_set_pubkey(x, key) == 1 && X509_sign(x, key, EVP_sha256()) > 0);
        CHECK(X509_verify(x, key) == 1);
        return x;
}

static SSL *tls_end(const SSL_METHOD *method, const char *group, BIO *bio) {
        SSL_CTX *ctx = SSL_CTX_new(method);
        SSL *ssl;

        CHECK(ctx && SSL_CTX_set1_groups_list(ctx, group) == 1);
        CHECK(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
        ssl = SSL_new(ctx);
        CHECK(ssl);
        SSL_set_bio(ssl, bio, bio);
        SSL_CTX_free(ctx);
        return ssl;
}

static void shake_hands(EVP_PKEY *key, const char *group) {
        BIO *a = NULL, *b = NULL;
        SSL *client, *server;
        X509 *crt = self_signed(key);

        CHECK(BIO_new_bio_pair(&a, 0, &b, 0) == 1);
        client = tls_end(TLS_client_method(), group, a);
        server = tls_end(TLS_server_method(), group, b);
        CHECK(SSL_use_certificate(server, crt) == 1 && SSL_use_PrivateKey(server, key) == 1);
        SSL_set_connect_state(client);
        SSL_set_accept_state(server);
        for (int i = 0; i < 8 && !(SSL_is_init_finished(client) && SSL_is_init_finished(server));
             i++) {
                (void) SSL_do_handshake(client);
                (void) SSL_do_handshake(server);
        }
        CHECK(SSL_is_init_finished(client) && SSL_is_init_finished(server));
        ERR_clear_error(); /* each wish to read is an entry */
        SSL_free(client);
        SSL_free(server);
        X509_free(crt);
}

/* ---- tasks ---- */

static char **files, **uris; /* RSA, EC */

static EVP_PKEY *read_file_key(int i) {
        EVP_PKEY *key = read_file(files[i]);

        CHECK(key);
        return key;
}

static EVP_PKEY *load_uri(int i) {
        EVP_PKEY *key = load_key(uris[i], NULL);

        CHECK(key);
        return key;
}

static void file_keys_sign(void) {
        for (int i = 0; i < 2; i++) {
                EVP_PKEY *key = read_file_key(i);

                CHECK(sign_and_verify(key, NULL));
                EVP_PKEY_free(key);
        }
}

static void pem_files(void) {
        for (int i = 0; i < 2; i++) {
                EVP_PKEY *key = read_file_key(i);

                write_and_read(key);
                EVP_PKEY_free(key);
        }
}

static void pem_of_new_keys(void) {
        EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 2048);
        EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");

        write_and_read(rsa);
        write_and_read(ec);
        EVP_PKEY_free(rsa);
        EVP_PKEY_free(ec);
}

static void rsa_keygen(void) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 2048), *copy;

        CHECK(key && EVP_PKEY_get_bits(key) == 2048 && EVP_PKEY_get_id(key) == EVP_PKEY_RSA);
        CHECK(sign_and_verify(key, NULL));
        encrypt_and_decrypt(key);
        copy = EVP_PKEY_dup(key);
        CHECK(copy && EVP_PKEY_eq(copy, key) == 1 && sign_and_verify(copy, NULL));
        EVP_PKEY_free(copy);
        EVP_PKEY_free(key);
}

static void ec_keygen(void) {
        static const char *const groups[] = { "P-256", "P-384" };

        for (size_t i = 0; i < 2; i++) {
                EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", groups[i]), *other;

                other = EVP_PKEY_Q_keygen(NULL, NULL, "EC", groups[i]);
                CHECK(key && other && sign_and_verify(key, NULL));
                CHECK(EVP_PKEY_eq(key, other) == 0);
                agree(key, other);
                EVP_PKEY_free(key);
                EVP_PKEY_free(other);
        }
        share_as_tls_does();
}

static void tls_between(EVP_PKEY *(*get)(int), const char *group) {
        for (int i = 0; i < 2; i++) {
                EVP_PKEY *key = get(i);

                shake_hands(key, group);
                EVP_PKEY_free(key);
        }
}

static void tls_p256(void) {
        tls_between(read_file_key, "P-256");
}

static void tls_x25519(void) {
        tls_between(read_file_key, "X25519");
}

static void csign_keys_sign(void) {
        for (int i = 0; i < 2; i++) {
                EVP_PKEY *key = load_uri(i);

                CHECK(sign_and_verify(key, NULL));
                EVP_PKEY_free(key);
        }
}

static void csign_keys_serve_tls(void) {
        tls_between(load_uri, "P-256");
        tls_between(load_uri, "X25519");
}

static const struct {
        const char *name;
        void (*run)(void);
} tasks[] = {
        { "file-keys-sign", file_keys_sign },
        { "pem-files", pem_files },
        { "pem-of-new-keys", pem_of_new_keys },
        { "rsa-keygen", rsa_keygen },
        { "ec-keygen", ec_keygen },
        { "tls-p256", tls_p256 },
        { "tls-x25519", tls_x25519 },
        { "csign-keys-sign", csign_keys_sign },
        { "csign-keys-serve-tls", csign_keys_serve_tls },
};

/* Each in a process of its own, so that none warms up another's caches. */
static bool run_task(size_t i) {
        int status;
        pid_t pid;

        (void) fflush(stdout);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
                tasks[i].run();
                CHECK(ERR_peek_error() == 0);
                exit(0);
        }
        CHECK(waitpid(pid, &status, 0) == pid);
        printf("%s: %s\n", tasks[i].name, status == 0 ? "ok" : "failed");
        return WIFEXITED(status) && WEXITSTATUS(status) <= 1;
}

int main(int argc, char *argv[]) {
        bool sane = true;

        CHECK(argc == 7);
        (void) dup2(STDOUT_FILENO, STDERR_FILENO);
        files = argv + 3;
        uris = argv + 5;
        if (strcmp(argv[1], "conf") != 0)
                load_providers(argv[1]);
        sort_providers(argv[2]);

        for (size_t i = 0; i < sizeof(tasks) / sizeof(*tasks); i++)
                sane &= run_task(i);
        while (n_loaded > 0)
                CHECK(OSSL_PROVIDER_unload(loaded[--n_loaded]) == 1);
        return sane ? 0 : 1;
}
