/* SPDX-License-Identifier: Apache-2.0 */
/* TLS context, and who the client is. */

#include "service/tls.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "lib/file.h"
#include "lib/log.h"
#include "lib/ossl.h"
#include "service/metrics.h"
#include "service/service.h"

/* What is known of the client of a connection: computed at its first request, freed with it. */
typedef struct ClientKey {
        bool present;
        uint8_t hash[SHA256_SIZE];
} ClientKey;

static int client_key_index = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void free_client_key(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl,
                            void *argp) {
        free(ptr);
}

static void make_index(void) {
        client_key_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_client_key);
        if (client_key_index < 0)
                abort();
}

static ClientKey *compute_client_key(SSL *ssl) {
        X509 *cert = SSL_get0_peer_certificate(ssl);
        ClientKey *key = calloc(1, sizeof(*key));
        unsigned char *spki = NULL;
        int len;

        if (!key)
                return NULL;
        len = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki) : 0;
        if (len > 0) {
                sha256(spki, (size_t) len, key->hash);
                key->present = true;
        }
        OPENSSL_free(spki);
        if (SSL_set_ex_data(ssl, client_key_index, key) != 1) {
                free(key);
                return NULL;
        }
        METRIC_ADD(tls_handshakes, 1);
        return key;
}

bool tls_client_key(SSL *ssl, uint8_t ret[static SHA256_SIZE]) {
        ClientKey *key = SSL_get_ex_data(ssl, client_key_index);

        if (!key)
                key = compute_client_key(ssl);
        if (!key || !key->present)
                return false;
        memcpy(ret, key->hash, SHA256_SIZE);
        return true;
}

/* The handshake proves that the client has the key; whose key it is, the token endpoint asks the
 * database. */
static int accept_any_certificate(X509_STORE_CTX *store, void *arg) {
        return 1;
}

static int fail(Error *e, int code, const char *what, const char *path) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        int r;

        r = error_set(e, code, "%s %s: %s", what, path, reason ? reason : "OpenSSL refuses");
        ERR_clear_error();
        return r;
}

static int use_key(SSL_CTX *ctx, const char *path, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(BIO_free_allp) BIO *bio = NULL;
        _cleanup_(secret_done) Secret pem = {};
        int r;

        r = file_read_secret(path, 64 * 1024, &pem, e);
        if (r < 0)
                return r;
        bio = BIO_new_mem_buf(pem.data, (int) pem.len);
        key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *) "") : NULL;
        if (!key || SSL_CTX_use_PrivateKey(ctx, key) != 1)
                return fail(e, -CSIGN_E_BAD_CREDENTIAL, "cannot use the TLS key", path);
        return 0;
}

static int use_files(SSL_CTX *ctx, const Config *c, Error *e) {
        char path[PATH_MAX];
        int r;

        r = service_file(c, TLS_CERT_FILE, path, sizeof(path), e);
        if (r < 0)
                return r;
        if (SSL_CTX_use_certificate_chain_file(ctx, path) != 1)
                return fail(e, -CSIGN_E_BAD_CONFIG, "cannot use the TLS certificate", path);

        r = service_file(c, TLS_KEY_FILE, path, sizeof(path), e);
        return r < 0 ? r : use_key(ctx, path, e);
}

#define WARN_DAYS 30

/* A service whose certificate has run out answers nobody: say it while there is time. */
static void warn_of_end(SSL_CTX *ctx) {
        const ASN1_TIME *end = X509_get0_notAfter(SSL_CTX_get0_certificate(ctx));
        int days = 0, seconds = 0;
        char text[16];

        if (ASN1_TIME_diff(&days, &seconds, NULL, end) != 1 || days >= WARN_DAYS)
                return;
        snprintf(text, sizeof(text), "%d", days);
        log_line(LOG_WARNING, "the TLS certificate ends soon: csign-service renew-tls", "DAYS",
                 text, NULL);
}

static bool set_rules(SSL_CTX *ctx) {
        static const unsigned char session_context[] = "csign-service";

        SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(ctx, accept_any_certificate, NULL);
        return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
               SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
               SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1) ==
                       1;
}

int tls_context_new(SSL_CTX **ret, const Config *c, Error *e) {
        SSL_CTX *ctx;
        int r;

        pthread_once(&once, make_index);
        (void) OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);

        ctx = SSL_CTX_new(TLS_server_method());
        if (!ctx)
                return -ENOMEM;
        r = set_rules(ctx) ? use_files(ctx, c, e) : fail(e, -EIO, "cannot set up", "TLS");
        if (r < 0) {
                SSL_CTX_free(ctx);
                return r;
        }
        warn_of_end(ctx);
        *ret = ctx;
        return 0;
}
