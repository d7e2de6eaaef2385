/* SPDX-License-Identifier: Apache-2.0 */
/* Generates, opens and signs.  The plain PKCS#8 bytes never leave the two functions that hold them.
 */

#include "service/keystore/builtin.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/decoder.h>
#include <openssl/encoder.h>
#include <openssl/err.h>

#include "lib/ossl.h"
#include "service/keystore/opened.h"

DEFINE_CLEANUP(OSSL_ENCODER_CTX, OSSL_ENCODER_CTX_free)
DEFINE_CLEANUP(OSSL_DECODER_CTX, OSSL_DECODER_CTX_free)

#define SIGNERS_MAX 1024

struct Builtin {
        pthread_mutex_t lock;
        Keyring *keks;
        Signer *signers[SIGNERS_MAX];
        size_t n_signers;
        OpenedCache *cache;
        atomic_uint_fast64_t signatures, generated, opened, contexts_made;
};

int builtin_new(Builtin **ret, Keyring *keks, size_t cache_keys) {
        _cleanup_(builtin_freep) Builtin *b = NULL;
        int r;

        b = calloc(1, sizeof(*b));
        if (!b)
                return -ENOMEM;

        pthread_mutex_init(&b->lock, NULL);
        r = opened_cache_new(&b->cache, cache_keys);
        if (r < 0)
                return r;

        b->keks = keks;
        *ret = TAKE(b);
        return 0;
}

void builtin_free(Builtin *b) {
        if (!b)
                return;
        opened_cache_free(b->cache);
        keyring_unref(b->keks);
        pthread_mutex_destroy(&b->lock);
        free(b);
}

/* -- signers -- */

int builtin_signer_new(Builtin *b, Signer **ret) {
        _cleanup_(signer_freep) Signer *s = NULL;
        int r;

        r = signer_new(&s, &b->contexts_made);
        if (r < 0)
                return r;

        pthread_mutex_lock(&b->lock);
        if (b->n_signers < SIGNERS_MAX)
                b->signers[b->n_signers++] = s;
        else
                r = -EAGAIN;
        pthread_mutex_unlock(&b->lock);
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}

void builtin_signer_free(Builtin *b, Signer *s) {
        if (!s)
                return;
        pthread_mutex_lock(&b->lock);
        for (size_t i = 0; i < b->n_signers; i++)
                if (b->signers[i] == s) {
                        b->signers[i] = b->signers[--b->n_signers];
                        break;
                }
        pthread_mutex_unlock(&b->lock);
        signer_free(s);
}

void builtin_forget(Builtin *b, const char *key_id) {
        opened_cache_forget(b->cache, key_id);
        pthread_mutex_lock(&b->lock);
        for (size_t i = 0; i < b->n_signers; i++)
                signer_forget(b->signers[i]);
        pthread_mutex_unlock(&b->lock);
}

/* -- KEKs -- */

static Keyring *get_keks(Builtin *b) {
        Keyring *keks;

        pthread_mutex_lock(&b->lock);
        keks = keyring_ref(b->keks);
        pthread_mutex_unlock(&b->lock);
        return keks;
}

void builtin_set_keks(Builtin *b, Keyring *keks) {
        Keyring *before;

        pthread_mutex_lock(&b->lock);
        before = b->keks;
        b->keks = keks;
        pthread_mutex_unlock(&b->lock);

        keyring_unref(before);
        builtin_forget(b, NULL);
}

void builtin_status(Builtin *b, KeystoreStatus *ret) {
        _cleanup_(keyring_unrefp) Keyring *keks = get_keks(b);
        const Kek *kek;

        for (ret->n_keks = 0; (kek = keyring_at(keks, ret->n_keks)); ret->n_keks++)
                memcpy(ret->keks[ret->n_keks], kek_id(kek), KEK_ID_SIZE);
        ret->signatures = atomic_load(&b->signatures);
        ret->keys_generated = atomic_load(&b->generated);
        ret->keys_opened = atomic_load(&b->opened);
        ret->contexts_made = atomic_load(&b->contexts_made);
}

/* -- opening -- */

static int decode_pkcs8(const Secret *pkcs8, const KeyAlg *alg, EVP_PKEY **ret) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        _cleanup_(OSSL_DECODER_CTX_freep) OSSL_DECODER_CTX *ctx = NULL;
        const unsigned char *p = pkcs8->data;
        size_t left = pkcs8->len;

        ctx = OSSL_DECODER_CTX_new_for_pkey(&pkey, "DER", "PrivateKeyInfo", alg->ossl_type,
                                            EVP_PKEY_KEYPAIR, NULL, NULL);
        if (!ctx || OSSL_DECODER_from_data(ctx, &p, &left) != 1 || left != 0 ||
            key_alg_of_pkey(pkey) != alg) {
                ERR_clear_error();
                return -EBADMSG;
        }
        *ret = TAKE(pkey);
        return 0;
}

/* Decides what is believed of a blob: a KEK that we have, its tag, and that it is such a key. */
static int unseal_key(const Keyring *keks, const char *key_id, uint32_t version, const void *sealed,
                      size_t sealed_len, SealInfo *info, Secret *pkcs8, EVP_PKEY **ret, Error *e) {
        const Kek *kek;
        int r;

        r = keyring_find(keks, key_id, sealed, sealed_len, &kek, e);
        if (r < 0)
                return r;
        r = unseal(kek, key_id, version, sealed, sealed_len, info, pkcs8, e);
        if (r < 0)
                return r;
        r = sign_check_library(info->alg, NULL, e);
        if (r < 0)
                return r;
        if (decode_pkcs8(pkcs8, info->alg, ret) < 0)
                return error_set(e, -CSIGN_E_KEY_CORRUPT, "what %s was sealed from is no %s key",
                                 key_id, info->alg->name);
        return 0;
}

static int open_sealed(Builtin *b, const char *key_id, uint32_t version, const void *sealed,
                       size_t sealed_len, OpenedKey **ret, Error *e) {
        _cleanup_(keyring_unrefp) Keyring *keks = get_keks(b);
        _cleanup_(secret_done) Secret pkcs8 = {};
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        SealInfo info;
        int r;

        r = unseal_key(keks, key_id, version, sealed, sealed_len, &info, &pkcs8, &pkey, e);
        if (r < 0)
                return r;

        atomic_fetch_add_explicit(&b->opened, 1, memory_order_relaxed);
        return opened_key_new(ret, key_id, version, sealed, sealed_len, &info, pkey);
}

static int find_or_open(Builtin *b, const char *key_id, uint32_t version, const void *sealed,
                        size_t sealed_len, OpenedKey **ret, Error *e) {
        int r;

        *ret = opened_cache_find(b->cache, key_id, version, sealed, sealed_len);
        if (*ret)
                return 0;

        r = open_sealed(b, key_id, version, sealed, sealed_len, ret, e);
        if (r < 0)
                return r;

        opened_cache_add(b->cache, *ret);
        return 0;
}

/* -- generating -- */

static EVP_PKEY *generate(const KeyAlg *alg) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = NULL;
        EVP_PKEY *pkey = NULL;

        if (alg->group)
                return EVP_PKEY_Q_keygen(NULL, NULL, alg->ossl_type, alg->group);
        if (alg->bits)
                return EVP_PKEY_Q_keygen(NULL, NULL, alg->ossl_type, (size_t) alg->bits);

        ctx = EVP_PKEY_CTX_new_from_name(NULL, alg->ossl_type, NULL);
        if (!ctx || EVP_PKEY_keygen_init(ctx) <= 0 || EVP_PKEY_generate(ctx, &pkey) <= 0)
                return NULL;
        return pkey;
}

static int encode_pkcs8(EVP_PKEY *pkey, Secret *ret) {
        _cleanup_(OSSL_ENCODER_CTX_freep) OSSL_ENCODER_CTX *ctx = NULL;
        unsigned char *der = NULL;
        size_t len = 0;
        int r;

        ctx = OSSL_ENCODER_CTX_new_for_pkey(pkey, EVP_PKEY_KEYPAIR, "DER", "PrivateKeyInfo", NULL);
        if (!ctx || OSSL_ENCODER_to_data(ctx, &der, &len) != 1) {
                ERR_clear_error();
                return -EIO;
        }

        r = secret_new(ret, der, len);
        OPENSSL_clear_free(der, len);
        return r;
}

static int append_spki(EVP_PKEY *pkey, Buf *ret) {
        unsigned char *der = NULL;
        int len, r;

        len = i2d_PUBKEY(pkey, &der);
        if (len <= 0)
                return -EIO;

        r = buf_append(ret, der, (size_t) len);
        OPENSSL_free(der);
        return r;
}

/* The only copy of a key that there will be: see that it opens, and as the same key. */
static int check_sealed(Builtin *b, const char *key_id, uint32_t version, const Buf *sealed,
                        EVP_PKEY *pkey, Error *e) {
        _cleanup_(opened_key_unrefp) OpenedKey *opened = NULL;
        int r;

        r = open_sealed(b, key_id, version, sealed->data, sealed->len, &opened, e);
        if (r < 0)
                return r;
        if (EVP_PKEY_eq(opened->pkey, pkey) != 1)
                return error_set(e, -EIO, "a new key changed while it was sealed");
        return 0;
}

int builtin_generate(Builtin *b, const char *key_id, uint32_t version, const SealInfo *info,
                     Buf *ret_spki, Buf *ret_sealed, Error *e) {
        _cleanup_(keyring_unrefp) Keyring *keks = get_keks(b);
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        _cleanup_(secret_done) Secret pkcs8 = {};
        _cleanup_(buf_done) Buf spki = {}, sealed = {};
        int r;

        r = sign_check_library(info->alg, NULL, e);
        if (r < 0)
                return r;

        pkey = generate(info->alg);
        if (!pkey) {
                ERR_clear_error();
                return error_set(e, -EIO, "libcrypto cannot make a %s key", info->alg->name);
        }

        r = encode_pkcs8(pkey, &pkcs8);
        if (r < 0)
                return error_set(e, r, "cannot encode the new key");

        r = seal(keyring_at(keks, 0), key_id, version, info, &pkcs8, &sealed, e);
        if (r < 0)
                return r;

        r = check_sealed(b, key_id, version, &sealed, pkey, e);
        if (r < 0)
                return r;

        r = append_spki(pkey, &spki);
        if (r < 0)
                return error_set(e, r, "cannot encode the new public key");

        if (buf_append(ret_spki, spki.data, spki.len) < 0 ||
            buf_append(ret_sealed, sealed.data, sealed.len) < 0)
                return -ENOMEM;
        atomic_fetch_add_explicit(&b->generated, 1, memory_order_relaxed);
        return 0;
}

/* -- sealing anew -- */

int builtin_reseal(Builtin *b, const char *key_id, uint32_t version, const void *sealed,
                   size_t sealed_len, Buf *ret, Error *e) {
        _cleanup_(keyring_unrefp) Keyring *keks = get_keks(b);
        _cleanup_(secret_done) Secret pkcs8 = {};
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        _cleanup_(buf_done) Buf resealed = {};
        const Kek *primary = keyring_at(keks, 0);
        SealInfo info;
        int r;

        r = unseal_key(keks, key_id, version, sealed, sealed_len, &info, &pkcs8, &pkey, e);
        if (r < 0)
                return r;
        if (memcmp(sealed_kek_id(sealed, sealed_len), kek_id(primary), KEK_ID_SIZE) == 0)
                return buf_append(ret, sealed, sealed_len);

        r = seal(primary, key_id, version, &info, &pkcs8, &resealed, e);
        if (r >= 0)
                r = check_sealed(b, key_id, version, &resealed, pkey, e);
        return r < 0 ? r : buf_append(ret, resealed.data, resealed.len);
}

/* -- signing -- */

/* What was sealed with the key decides, whatever the service believes. */
static int check_sealed_bounds(const SealInfo *info, const SignRequest *req, KeyUsage usage,
                               Error *e) {
        if (usage != info->usage)
                return error_set_rule(e, -CSIGN_E_NOT_PERMITTED, "key-usage",
                                      "%s was not made for this usage", req->key_id);
        if (!(info->schemes & SCHEME_BIT(req->scheme)))
                return error_set_rule(e, -CSIGN_E_UNSUPPORTED_SCHEME, "key-schemes",
                                      "%s was not made to sign with scheme %s", req->key_id,
                                      scheme_name(req->scheme));
        return sign_request_check(req, info->alg, e);
}

int builtin_sign(Builtin *b, Signer *signer, const SignRequest *req, KeyUsage usage,
                 const void *sealed, size_t sealed_len, Buf *sig, Error *e) {
        _cleanup_(opened_key_unrefp) OpenedKey *key = NULL;
        int r;

        r = find_or_open(b, req->key_id, req->version, sealed, sealed_len, &key, e);
        if (r < 0)
                return r;

        r = check_sealed_bounds(&key->info, req, usage, e);
        if (r < 0)
                return r;

        r = signer_sign(signer, key, req, sig, e);
        if (r < 0)
                return r;

        atomic_fetch_add_explicit(&b->signatures, 1, memory_order_relaxed);
        return 0;
}
