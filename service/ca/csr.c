/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: made as certificates are (sign.c), but with the key's own algorithm and signature. */

#include "service/ca/csr.h"

#include <errno.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "lib/mu.h"
#include "lib/ossl.h"
#include "service/ca/ca-impl.h"

DEFINE_CLEANUP(X509_REQ, X509_REQ_free)

#define TBS_MAX ((size_t) 32 * 1024)

/* A key of the same kind: what it leaves in the request is the algorithm's identifier. */
static EVP_PKEY *throw_away_like(const KeyAlg *alg) {
        if (strcmp(alg->ossl_type, "RSA") == 0)
                return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 2048);
        return alg->group ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", alg->group)
                          : EVP_PKEY_Q_keygen(NULL, NULL, alg->ossl_type);
}

static int fill(X509_REQ *x, EVP_PKEY *key, const CsrRequest *req, Error *e) {
        STACK_OF(X509_EXTENSION) *list = NULL;
        int r;

        r = policy_extensions(req->policy, req->path, &list, e);
        if (r >= 0 &&
            (X509_REQ_set_version(x, X509_REQ_VERSION_1) != 1 ||
             !policy_subject(req->policy, req->common_name, X509_REQ_get_subject_name(x)) ||
             X509_REQ_set_pubkey(x, key) != 1 || X509_REQ_add_extensions(x, list) != 1))
                r = openssl_fail(e, "cannot make the request");
        sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
        return r;
}

/* What the key store signs in place of the bytes. */
static int represent(const HashAlg *hash, EVP_PKEY *key, const Buf *tbs,
                     uint8_t digest[static DIGEST_MAX], SignRequest *req) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *mu = NULL;
        size_t len = 0;

        req->hash = hash;
        req->digest = digest;
        req->digest_len = hash->size;
        if (hash == &hash_none) {
                req->digest = tbs->data;
                req->digest_len = tbs->len;
                return 0;
        }
        if (hash != &hash_mu)
                return EVP_Q_digest(NULL, hash->name, NULL, tbs->data, tbs->len, digest, &len) == 1
                               ? 0
                               : -EIO;
        mu = mu_begin(NULL, key, (const uint8_t *) "", 0);
        return mu && EVP_DigestUpdate(mu, tbs->data, tbs->len) == 1 &&
                               EVP_DigestFinalXOF(mu, digest, MU_SIZE) == 1
                       ? 0
                       : -EIO;
}

static int sign_tbs(Keystore *ks, const CsrRequest *req, EVP_PKEY *key, const Buf *tbs, Buf *sig,
                    Error *e) {
        Scheme scheme = scheme_of_key(req->alg);
        SignRequest sign = {
                .key_id = req->key_id,
                .version = req->version,
                .scheme = scheme,
        };
        KeystoreSign call = {
                .req = &sign,
                .usage = KEY_USAGE_SIGN,
                .sealed = req->sealed->data,
                .sealed_len = req->sealed->len,
                .sig = sig,
        };
        uint8_t digest[DIGEST_MAX];
        int r;

        r = represent(scheme_hash_by_name(scheme, req->alg->default_hash), key, tbs, digest, &sign);
        if (r < 0)
                return openssl_fail(e, "cannot hash the request");
        r = keystore_sign(ks, &call);
        if (r < 0 && e)
                *e = call.e;
        return r;
}

static int sign(Keystore *ks, const CsrRequest *req, EVP_PKEY *key, X509_REQ *x, Error *e) {
        const EVP_MD *md = scheme_own_hash(scheme_of_key(req->alg))
                                   ? NULL
                                   : EVP_get_digestbyname(req->alg->default_hash);
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *other = throw_away_like(req->alg);
        _cleanup_(buf_done) Buf tbs = BUF_MAX(TBS_MAX), sig = BUF_MAX(SIGNATURE_MAX);
        const ASN1_BIT_STRING *bits;
        unsigned char *p = NULL;
        int len, r;

        if (!other || X509_REQ_sign(x, other, md) <= 0)
                return openssl_fail(e, "cannot prepare the request's signature");
        len = i2d_re_X509_REQ_tbs(x, &p);
        r = take_der(&tbs, p, len, e);
        if (r >= 0)
                r = sign_tbs(ks, req, key, &tbs, &sig, e);
        X509_REQ_get0_signature(x, &bits, NULL);
        return r < 0 ? r : put_signature(bits, &sig, e);
}

static int encode(X509_REQ *x, EVP_PKEY *key, Buf *ret, Error *e) {
        _cleanup_(X509_REQ_freep) X509_REQ *read = NULL;
        const unsigned char *q;
        unsigned char *p = NULL;
        int len = i2d_X509_REQ(x, &p), r;

        r = take_der(ret, p, len, e);
        if (r < 0)
                return r;
        q = ret->data;
        read = d2i_X509_REQ(NULL, &q, (long) ret->len);
        return read && X509_REQ_verify(read, key) == 1
                       ? 0
                       : openssl_fail(e, "the new request does not verify");
}

int csr_make(Keystore *ks, const CsrRequest *req, Buf *ret, Error *e) {
        const unsigned char *p = req->spki->data;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long) req->spki->len);
        _cleanup_(X509_REQ_freep) X509_REQ *x = X509_REQ_new();
        int r;

        r = common_name_check(req->common_name, e);
        if (r >= 0)
                r = sign_check_library(req->alg, NULL, e);
        if (r < 0)
                return r;
        if (!key || !x)
                return openssl_fail(e, "the key's public half does not decode");
        r = fill(x, key, req, e);
        if (r >= 0)
                r = sign(ks, req, key, x, e);
        return r < 0 ? r : encode(x, key, ret, e);
}
