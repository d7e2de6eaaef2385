/* SPDX-License-Identifier: Apache-2.0 */
/* A small direct-mapped table: two requests that fall on one slot only cost each other a set-up (2
 * µs). */

#include "service/keystore/signer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "lib/ossl.h"

#define SLOTS 256

typedef struct Slot {
        OpenedKey *key;
        Scheme scheme;
        const HashAlg *hash, *mgf1_hash;
        uint32_t salt_len;
        EVP_PKEY_CTX *sign;
        EVP_PKEY_CTX *verify; /* RSA only */
        EVP_MD_CTX *pure_sign;
        EVP_MD_CTX *pure_verify; /* Ed25519 only */
} Slot;

struct Signer {
        atomic_uint_fast64_t *contexts_made;
        pthread_mutex_t lock; /* its thread's, but when keys are forgotten */
        Slot slots[SLOTS];
};

static void slot_done(Slot *slot) {
        EVP_PKEY_CTX_free(slot->sign);
        EVP_PKEY_CTX_free(slot->verify);
        EVP_MD_CTX_free(slot->pure_sign);
        EVP_MD_CTX_free(slot->pure_verify);
        opened_key_unref(slot->key);
        *slot = (Slot){};
}

int signer_new(Signer **ret, atomic_uint_fast64_t *contexts_made) {
        Signer *s;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->contexts_made = contexts_made;
        pthread_mutex_init(&s->lock, NULL);
        *ret = s;
        return 0;
}

void signer_free(Signer *s) {
        if (!s)
                return;
        for (size_t i = 0; i < SLOTS; i++)
                slot_done(&s->slots[i]);
        pthread_mutex_destroy(&s->lock);
        free(s);
}

void signer_forget(Signer *s) {
        pthread_mutex_lock(&s->lock);
        for (size_t i = 0; i < SLOTS; i++)
                if (s->slots[i].key && atomic_load(&s->slots[i].key->forgotten))
                        slot_done(&s->slots[i]);
        pthread_mutex_unlock(&s->lock);
}

static Slot *slot_for(Signer *s, const OpenedKey *key, const SignRequest *req) {
        uint64_t h = key->serial * 31 + req->scheme * 7 + req->hash->id;

        return &s->slots[h % SLOTS];
}

static bool slot_fits(const Slot *slot, const OpenedKey *key, const SignRequest *req) {
        return slot->key == key && slot->scheme == req->scheme && slot->hash == req->hash &&
               slot->mgf1_hash == req->mgf1_hash && slot->salt_len == req->salt_len;
}

static int context_new(EVP_PKEY_CTX **ret, const OpenedKey *key, const SignRequest *req,
                       int (*init)(EVP_PKEY_CTX *ctx)) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key->pkey, NULL);

        if (!ctx || init(ctx) <= 0 || sign_request_apply(req, ctx) < 0)
                return -EIO;
        *ret = TAKE(ctx);
        return 0;
}

static int digest_contexts_new(Slot *slot, const OpenedKey *key, const SignRequest *req) {
        bool rsa = req->scheme != SCHEME_ECDSA;

        if (context_new(&slot->sign, key, req, EVP_PKEY_sign_init) < 0 ||
            (rsa && context_new(&slot->verify, key, req, EVP_PKEY_verify_init) < 0))
                return -EIO;
        return 0;
}

/* Each is initialised again for each use: libcrypto lets a one-shot context be used but once, and
 * fetches nothing when the key is the same. */
static int pure_contexts_new(Slot *slot, const OpenedKey *key, const SignRequest *req) {
        const OSSL_PARAM *params = sign_pure_params(req->scheme);

        slot->pure_sign = EVP_MD_CTX_new();
        if (!slot->pure_sign ||
            EVP_DigestSignInit_ex(slot->pure_sign, NULL, NULL, NULL, NULL, key->pkey, params) != 1)
                return -EIO;
        if (req->scheme != SCHEME_ED25519)
                return 0;

        slot->pure_verify = EVP_MD_CTX_new();
        if (!slot->pure_verify || EVP_DigestVerifyInit_ex(slot->pure_verify, NULL, NULL, NULL, NULL,
                                                          key->pkey, params) != 1)
                return -EIO;
        return 0;
}

static int slot_fill(Slot *slot, OpenedKey *key, const SignRequest *req) {
        int r;

        *slot = (Slot){
                .key = opened_key_ref(key),
                .scheme = req->scheme,
                .hash = req->hash,
                .mgf1_hash = req->mgf1_hash,
                .salt_len = req->salt_len,
        };

        r = scheme_own_hash(req->scheme) ? pure_contexts_new(slot, key, req)
                                         : digest_contexts_new(slot, key, req);
        if (r < 0)
                slot_done(slot);
        return r;
}

static bool slot_make(Slot *slot, const SignRequest *req, uint8_t *sig, size_t *len) {
        if (slot->sign)
                return EVP_PKEY_sign(slot->sign, sig, len, req->digest, req->digest_len) == 1;
        return EVP_DigestSignInit_ex(slot->pure_sign, NULL, NULL, NULL, NULL, NULL,
                                     sign_pure_params(req->scheme)) == 1 &&
               EVP_DigestSign(slot->pure_sign, sig, len, req->digest, req->digest_len) == 1;
}

/* A signature that was computed with a fault gives an RSA key away, and an Ed25519 key. */
static bool slot_check(Slot *slot, const SignRequest *req, const uint8_t *sig, size_t len) {
        if (slot->verify)
                return EVP_PKEY_verify(slot->verify, sig, len, req->digest, req->digest_len) == 1;
        if (slot->pure_verify)
                return EVP_DigestVerifyInit_ex(slot->pure_verify, NULL, NULL, NULL, NULL, NULL,
                                               sign_pure_params(req->scheme)) == 1 &&
                       EVP_DigestVerify(slot->pure_verify, sig, len, req->digest,
                                        req->digest_len) == 1;
        return true;
}

static int slot_sign(Slot *slot, const SignRequest *req, Buf *sig, Error *e) {
        size_t len = slot->key->info.alg->signature_max;
        uint8_t *out;
        int r;

        r = buf_reserve(sig, len);
        if (r < 0)
                return r;

        out = sig->data + sig->len;
        if (!slot_make(slot, req, out, &len))
                return error_set(e, -EIO, "libcrypto cannot sign with %s", req->key_id);

        if (!slot_check(slot, req, out, len))
                return error_set(
                        e, -CSIGN_E_BAD_SIGNATURE,
                        "a signature with %s does not verify: the machine computes wrongly",
                        req->key_id);
        sig->len += len;
        return 0;
}

static int sign_locked(Signer *s, OpenedKey *key, const SignRequest *req, Buf *sig, Error *e) {
        Slot *slot = slot_for(s, key, req);
        int r;

        if (!slot_fits(slot, key, req)) {
                slot_done(slot);
                if (slot_fill(slot, key, req) < 0) {
                        ERR_clear_error();
                        return error_set(e, -EIO, "libcrypto cannot set up %s with %s",
                                         scheme_name(req->scheme), req->hash->name);
                }
                atomic_fetch_add_explicit(s->contexts_made, 1, memory_order_relaxed);
        }

        r = slot_sign(slot, req, sig, e);
        if (r < 0)
                ERR_clear_error();
        if (r < 0 || atomic_load(&key->forgotten))
                slot_done(slot);
        return r;
}

int signer_sign(Signer *s, OpenedKey *key, const SignRequest *req, Buf *sig, Error *e) {
        int r;

        pthread_mutex_lock(&s->lock);
        r = sign_locked(s, key, req, sig, e);
        pthread_mutex_unlock(&s->lock);
        return r;
}
