/* SPDX-License-Identifier: Apache-2.0 */

/* OpenSSL 3 has no other place for a function of ours between TLS and a key than this one, short of
 * a provider for the provider's key. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "lib/provider-key.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "lib/ossl.h"

typedef struct ProviderKey {
        KeyProvider *provider;
        EVP_PKEY *key;
} ProviderKey;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EC_KEY_METHOD *method;
static int slot = -1; /* of a ProviderKey in an EC_KEY */

static void provider_key_free(ProviderKey *p) {
        if (!p)
                return;
        EVP_PKEY_free(p->key);
        key_provider_close(p->provider);
        free(p);
}
DEFINE_CLEANUP(ProviderKey, provider_key_free)
DEFINE_CLEANUP(EC_KEY, EC_KEY_free)

/* ---- what OpenSSL calls ---- */

/* A TPM wants to know what made the digest, of which it gets no more than the bytes. */
static const EVP_MD *md_of_size(int size) {
        return size == 32 ? EVP_sha256() : size == 48 ? EVP_sha384() : EVP_sha512();
}

static int sign_digest(int type, const unsigned char *digest, int digest_len, unsigned char *sig,
                       unsigned *sig_len, const BIGNUM *kinv, const BIGNUM *rp, EC_KEY *ec) {
        ProviderKey *p = EC_KEY_get_ex_data(ec, slot);
        size_t len = (size_t) ECDSA_size(ec);
        EVP_PKEY_CTX *ctx;
        bool ok;

        (void) pthread_mutex_lock(&p->provider->lock);
        ctx = EVP_PKEY_CTX_new_from_pkey(p->provider->context, p->key, NULL);
        ok = ctx && EVP_PKEY_sign_init(ctx) == 1 &&
             EVP_PKEY_CTX_set_signature_md(ctx, md_of_size(digest_len)) == 1 &&
             EVP_PKEY_sign(ctx, sig, &len, digest, (size_t) digest_len) == 1;
        EVP_PKEY_CTX_free(ctx);
        (void) pthread_mutex_unlock(&p->provider->lock);
        *sig_len = (unsigned) len;
        return ok;
}

static void finish(EC_KEY *ec) {
        provider_key_free(EC_KEY_get_ex_data(ec, slot));
}

/* ---- making it ---- */

static void make_method(void) {
        slot = EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, NULL);
        method = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
        if (!method)
                return;
        EC_KEY_METHOD_set_init(method, NULL, finish, NULL, NULL, NULL, NULL);
        EC_KEY_METHOD_set_sign(method, sign_digest, NULL, NULL);
}

/* The public half alone, which OpenSSL's own code looks at. */
static EC_KEY *public_half(EVP_PKEY *key) {
        unsigned char *der = NULL;
        const unsigned char *p;
        EC_KEY *ec;
        int len;

        len = i2d_PUBKEY(key, &der);
        p = der;
        ec = len > 0 ? d2i_EC_PUBKEY(NULL, &p, len) : NULL;
        OPENSSL_free(der);
        return ec;
}

int provider_key_new(EVP_PKEY **ret, KeyProvider *provider, EVP_PKEY *key, const char *place,
                     Error *e) {
        _cleanup_(provider_key_freep) ProviderKey *p = calloc(1, sizeof(*p));
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *made = EVP_PKEY_new();
        _cleanup_(EC_KEY_freep) EC_KEY *ec = NULL;

        assert(ret && provider && key && place);

        if (!p) {
                EVP_PKEY_free(key);
                key_provider_close(provider);
                return error_set(e, -ENOMEM, "out of memory");
        }
        *p = (ProviderKey){ provider, key };

        (void) pthread_once(&once, make_method);
        ec = EVP_PKEY_is_a(key, "EC") ? public_half(key) : NULL;
        if (!ec)
                return error_set(e, -CSIGN_E_BAD_CREDENTIAL,
                                 "%s: the key is not P-256 or P-384, as one of a provider must be",
                                 place);
        if (slot < 0 || !method || !made || EC_KEY_set_method(ec, method) != 1 ||
            EC_KEY_set_ex_data(ec, slot, p) != 1)
                return error_set(e, -ENOMEM, "out of memory");
        (void) TAKE(p); /* finish() has it */
        if (EVP_PKEY_assign_EC_KEY(made, ec) != 1)
                return error_set(e, -ENOMEM, "out of memory");
        (void) TAKE(ec);
        *ret = TAKE(made);
        return 0;
}
