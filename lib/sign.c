/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold of a request for a signature, and of its answer. */

#include "lib/sign.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "lib/ossl.h"

uint32_t pss_salt_max(unsigned bits, size_t hash_size) {
        size_t em_len = (bits + 6) / 8; /* RFC 8017 section 9.1.1, emBits = bits - 1 */

        return em_len < hash_size + 2 ? 0 : (uint32_t) (em_len - hash_size - 2);
}

int sign_check_library(const KeyAlg *alg, OSSL_LIB_CTX *ctx, Error *e) {
        EVP_KEYMGMT *m;

        ERR_set_mark();
        m = EVP_KEYMGMT_fetch(ctx, alg->ossl_type, NULL);
        ERR_pop_to_mark();
        EVP_KEYMGMT_free(m);
        if (m)
                return 0;
        if (scheme_own_hash(scheme_of_key(alg)) == &hash_mu)
                return error_set_rule(e, -CSIGN_E_UNSUPPORTED_SCHEME, "library",
                                      "ML-DSA needs OpenSSL 3.5 or newer, this is %s",
                                      OpenSSL_version(OPENSSL_VERSION_STRING));
        return error_set_rule(e, -CSIGN_E_UNSUPPORTED_SCHEME, "library",
                              "this OpenSSL (%s) has no %s",
                              OpenSSL_version(OPENSSL_VERSION_STRING), alg->name);
}

static int check_salt(const SignRequest *req, const KeyAlg *alg, Error *e) {
        uint32_t max;

        if (req->scheme != SCHEME_RSA_PSS) {
                if (req->salt_len != 0 || req->mgf1_hash)
                        return error_set(e, -CSIGN_E_BAD_REQUEST,
                                         "salt length and MGF1 hash belong to rsa-pss, not to %s",
                                         scheme_name(req->scheme));
                return 0;
        }

        max = pss_salt_max(alg->bits, req->hash->size);
        if (req->salt_len > max)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "a salt of %u bytes does not fit: %s with %s has room for %u",
                                 req->salt_len, alg->name, req->hash->name, max);
        return 0;
}

int sign_request_check(const SignRequest *req, const KeyAlg *alg, Error *e) {
        assert(req && alg);

        if (req->scheme == SCHEME_NONE || !(alg->schemes & SCHEME_BIT(req->scheme)))
                return error_set_rule(e, -CSIGN_E_UNSUPPORTED_SCHEME, "key-algorithm",
                                      "a %s key cannot sign with scheme %s", alg->name,
                                      scheme_name(req->scheme));
        if (!req->hash)
                return error_set_rule(e, -CSIGN_E_UNSUPPORTED_SCHEME, "hash",
                                      "the hash is not one that csign signs with");
        if (scheme_hash_by_id(req->scheme, req->hash->id) != req->hash)
                return error_set_rule(e, -CSIGN_E_UNSUPPORTED_SCHEME, "hash",
                                      "%s does not go with hash %s", scheme_name(req->scheme),
                                      req->hash->name);
        if (req->hash != &hash_none && req->digest_len != req->hash->size)
                return error_set(e, -CSIGN_E_BAD_DIGEST, "a %s digest has %zu bytes, not %zu",
                                 req->hash->name, req->hash->size, req->digest_len);
        return check_salt(req, alg, e);
}

int sign_request_apply(const SignRequest *req, EVP_PKEY_CTX *ctx) {
        const HashAlg *mgf1 = req->mgf1_hash ? req->mgf1_hash : req->hash;

        if (req->scheme == SCHEME_RSA_PKCS1 &&
            EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) <= 0)
                return -EIO;
        if (req->scheme == SCHEME_RSA_PSS &&
            EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) <= 0)
                return -EIO;

        if (EVP_PKEY_CTX_set_signature_md(ctx, EVP_get_digestbyname(req->hash->name)) <= 0)
                return -EIO;

        if (req->scheme == SCHEME_RSA_PSS &&
            (EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_get_digestbyname(mgf1->name)) <= 0 ||
             EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, (int) req->salt_len) <= 0))
                return -EIO;
        return 0;
}

const OSSL_PARAM *sign_pure_params(Scheme scheme) {
        static int yes = 1;
        static const OSSL_PARAM mu[] = {
                OSSL_PARAM_int("mu", &yes), /* OSSL_SIGNATURE_PARAM_MU, since OpenSSL 3.5 */
                OSSL_PARAM_END,
        };

        return scheme_own_hash(scheme) == &hash_mu ? mu : NULL;
}

static bool verify_pure(const SignRequest *req, EVP_PKEY *key, const uint8_t *sig, size_t sig_len) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        return ctx &&
               EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, key,
                                       sign_pure_params(req->scheme)) == 1 &&
               EVP_DigestVerify(ctx, sig, sig_len, req->digest, req->digest_len) == 1;
}

static bool verify_digest(const SignRequest *req, EVP_PKEY *key, const uint8_t *sig,
                          size_t sig_len) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

        return ctx && EVP_PKEY_verify_init(ctx) > 0 && sign_request_apply(req, ctx) >= 0 &&
               EVP_PKEY_verify(ctx, sig, sig_len, req->digest, req->digest_len) == 1;
}

int sign_request_verify(const SignRequest *req, EVP_PKEY *key, const uint8_t *sig, size_t sig_len,
                        Error *e) {
        bool good;

        assert(req && key && sig);

        ERR_set_mark();
        good = scheme_own_hash(req->scheme) ? verify_pure(req, key, sig, sig_len)
                                            : verify_digest(req, key, sig, sig_len);
        ERR_pop_to_mark();
        if (!good)
                return error_set(e, -CSIGN_E_BAD_SIGNATURE,
                                 "the %s signature that came back does not verify with the key",
                                 scheme_name(req->scheme));
        return 0;
}
