/* SPDX-License-Identifier: Apache-2.0 */

/* An application with keys of its own, which work whatever order libcrypto has put the providers
 * in.
 *
 *     order LOAD SORT KEYFILE [URI]
 *
 * LOAD: "conf" (what OPENSSL_CONF says), or providers to load in that order, as "default,csign".
 * SORT: "none", "available" or "rand": calls after which libcrypto has sorted its providers by
 * name. */

#include "host.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>

static OSSL_PROVIDER *loaded[8];
static size_t n_loaded;

static void load_providers(char *names) {
        for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) {
                loaded[n_loaded] = OSSL_PROVIDER_load(NULL, name);
                CHECK(loaded[n_loaded++] && n_loaded < 8);
        }
}

static void sort_providers(const char *how) {
        unsigned char byte;

        if (strcmp(how, "available") == 0)
                (void) OSSL_PROVIDER_available(NULL, "legacy");
        else if (strcmp(how, "rand") == 0)
                CHECK(RAND_bytes(&byte, 1) == 1);
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
        EVP_PKEY *again;

        CHECK(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
        again = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        CHECK(again && EVP_PKEY_eq(again, key) == 1 && EVP_PKEY_eq(key, again) == 1);
        CHECK(sign_and_verify(again, NULL));
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

static void try_rsa(void) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 2048), *copy;

        CHECK(key && EVP_PKEY_get_bits(key) == 2048 && EVP_PKEY_get_id(key) == EVP_PKEY_RSA);
        CHECK(sign_and_verify(key, NULL));
        write_and_read(key);
        encrypt_and_decrypt(key);
        copy = EVP_PKEY_dup(key);
        CHECK(copy && EVP_PKEY_eq(copy, key) == 1 && sign_and_verify(copy, NULL));
        EVP_PKEY_free(copy);
        EVP_PKEY_free(key);
}

static void try_ec(const char *group) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", group), *other;

        other = EVP_PKEY_Q_keygen(NULL, NULL, "EC", group);
        CHECK(key && other && sign_and_verify(key, NULL));
        CHECK(EVP_PKEY_eq(key, other) == 0);
        write_and_read(key);
        agree(key, other);
        EVP_PKEY_free(key);
        EVP_PKEY_free(other);
}

/* libssl leaves out groups whose keys it would get from another provider than announces them. */
static void try_tls(void) {
        SSL_CTX *ctx = SSL_CTX_new(TLS_method());

        CHECK(ctx && SSL_CTX_set1_groups_list(ctx, "P-256:P-384:P-521:X25519") == 1);
        SSL_CTX_free(ctx);
}

static void try_remote(const char *uri) {
        EVP_PKEY *key = load_key(uri, NULL);

        CHECK(key && sign_and_verify(key, NULL));
        EVP_PKEY_free(key);
}

int main(int argc, char *argv[]) {
        EVP_PKEY *file_key;

        CHECK(argc >= 4);
        if (strcmp(argv[1], "conf") != 0)
                load_providers(argv[1]);
        sort_providers(argv[2]);

        file_key = read_file(argv[3]);
        CHECK(file_key && sign_and_verify(file_key, NULL));
        write_and_read(file_key);
        EVP_PKEY_free(file_key);
        try_rsa();
        try_ec("P-256");
        try_ec("P-384");
        share_as_tls_does();
        try_tls();
        if (argc > 4)
                try_remote(argv[4]);
        while (n_loaded > 0)
                CHECK(OSSL_PROVIDER_unload(loaded[--n_loaded]) == 1);
        printf("ok\n");
        return 0;
}
