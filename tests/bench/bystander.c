/* SPDX-License-Identifier: Apache-2.0 */

/* A program that uses OpenSSL and no key of csign: what it pays for csign.so being loaded.
 *
 *     bystander SORT EC-KEYFILE
 *
 * SORT "available" makes libcrypto sort its providers by name, "none" does not.  For each line on
 * stdin, one short round of work, and a line of the CPU microseconds that each of its parts took:
 * P-256 key generation and ECDH, and ECDSA with the key file.  So several of these can take turns,
 * and what disturbs one disturbs the next. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>

#define ROUND 20

#define MUST(what)                                                                                 \
        do {                                                                                       \
                if (!(what)) {                                                                     \
                        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                 \
                        ERR_print_errors_fp(stderr);                                               \
                        exit(1);                                                                   \
                }                                                                                  \
        } while (0)

static EVP_PKEY *file_key, *peer;

static double cpu_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
        return (double) ts.tv_sec * 1e6 + (double) ts.tv_nsec / 1e3;
}

static EVP_PKEY *read_key(const char *path) {
        BIO *bio = BIO_new_file(path, "r");
        EVP_PKEY *key;

        MUST(bio);
        key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        MUST(key);
        BIO_free(bio);
        return key;
}

static void agree(void) {
        EVP_PKEY *mine = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, mine, NULL);
        unsigned char secret[64];
        size_t len = sizeof(secret);

        MUST(EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1);
        MUST(EVP_PKEY_derive(ctx, secret, &len) == 1);
        EVP_PKEY_CTX_free(ctx);
        EVP_PKEY_free(mine);
}

static void sign(void) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        unsigned char sig[256];
        size_t len = sizeof(sig);

        MUST(EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, file_key, NULL) == 1);
        MUST(EVP_DigestSign(ctx, sig, &len, (const unsigned char *) "data", 4) == 1);
        EVP_MD_CTX_free(ctx);
}

static double round_usec(void (*f)(void)) {
        double begin = cpu_usec();

        for (int i = 0; i < ROUND; i++)
                f();
        return (cpu_usec() - begin) / ROUND;
}

int main(int argc, char *argv[]) {
        char line[8];

        MUST(argc == 3);
        if (strcmp(argv[1], "available") == 0)
                (void) OSSL_PROVIDER_available(NULL, "legacy");
        file_key = read_key(argv[2]);
        peer = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        MUST(peer);
        while (fgets(line, sizeof(line), stdin)) {
                double ecdh = round_usec(agree), ecdsa = round_usec(sign);

                printf("%.3f %.3f\n", ecdh, ecdsa);
                (void) fflush(stdout);
        }
        EVP_PKEY_free(file_key);
        EVP_PKEY_free(peer);
        return 0;
}
