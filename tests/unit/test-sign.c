/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>

#include "lib/sign.h"
#include "tests/unit/test.h"

DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
DEFINE_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free)

static const uint8_t digest[DIGEST_MAX] = { 1, 2, 3 };

static SignRequest request(Scheme scheme, const char *hash) {
        const HashAlg *h = scheme_hash_by_name(scheme, hash);

        return (SignRequest){
                .key_id = "key_aaaaaaaaaaaaaaaaaaaaaaaaaa",
                .version = 1,
                .scheme = scheme,
                .hash = h,
                .digest = digest,
                .digest_len = h->size,
        };
}

static void what_a_key_cannot_do_is_named(void **state) {
        static const struct {
                const char *alg;
                Scheme scheme;
                const char *hash;
                int digest_off; /* added to the right length */
                uint32_t salt;
                const char *mgf1;
                int expect;
        } cases[] = {
                { "P-256", SCHEME_ECDSA, "SHA256", 0, 0, NULL, 0 },
                { "P-256", SCHEME_ECDSA, "SHA3-512", 0, 0, NULL, 0 },
                { "RSA-2048", SCHEME_RSA_PKCS1, "SHA512", 0, 0, NULL, 0 },
                { "RSA-2048", SCHEME_RSA_PSS, "SHA256", 0, 32, NULL, 0 },
                { "RSA-2048", SCHEME_RSA_PSS, "SHA256", 0, 0, "SHA512", 0 },
                { "RSA-2048", SCHEME_RSA_PSS, "SHA256", 0, 222, NULL, 0 },
                { "Ed25519", SCHEME_ED25519, "none", 0, 0, NULL, 0 },
                { "Ed25519", SCHEME_ED25519, "none", 64, 0, NULL, 0 },
                { "ML-DSA-65", SCHEME_ML_DSA_65, "mu", 0, 0, NULL, 0 },
                { "ML-DSA-65", SCHEME_ML_DSA_65, "mu", -1, 0, NULL, -CSIGN_E_BAD_DIGEST },
                { "ML-DSA-65", SCHEME_ML_DSA_44, "mu", 0, 0, NULL, -CSIGN_E_UNSUPPORTED_SCHEME },
                { "ML-DSA-65", SCHEME_ML_DSA_65, "mu", 0, 32, NULL, -CSIGN_E_BAD_REQUEST },
                { "Ed25519", SCHEME_ECDSA, "SHA512", 0, 0, NULL, -CSIGN_E_UNSUPPORTED_SCHEME },
                { "P-256", SCHEME_RSA_PKCS1, "SHA256", 0, 0, NULL, -CSIGN_E_UNSUPPORTED_SCHEME },
                { "P-521", SCHEME_RSA_PSS, "SHA256", 0, 0, NULL, -CSIGN_E_UNSUPPORTED_SCHEME },
                { "RSA-3072", SCHEME_ECDSA, "SHA256", 0, 0, NULL, -CSIGN_E_UNSUPPORTED_SCHEME },
                { "RSA-3072", SCHEME_NONE, "SHA256", 0, 0, NULL, -CSIGN_E_UNSUPPORTED_SCHEME },
                { "P-256", SCHEME_ECDSA, "SHA256", -1, 0, NULL, -CSIGN_E_BAD_DIGEST },
                { "P-256", SCHEME_ECDSA, "SHA256", 1, 0, NULL, -CSIGN_E_BAD_DIGEST },
                { "P-256", SCHEME_ECDSA, "SHA384", -48, 0, NULL, -CSIGN_E_BAD_DIGEST },
                { "RSA-2048", SCHEME_RSA_PSS, "SHA256", 0, 223, NULL, -CSIGN_E_BAD_REQUEST },
                { "RSA-2048", SCHEME_RSA_PSS, "SHA256", 0, UINT32_MAX, NULL, -CSIGN_E_BAD_REQUEST },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                SignRequest req = request(cases[i].scheme, cases[i].hash);
                Error e = {};
                int r;

                req.digest_len = (size_t) ((int) req.digest_len + cases[i].digest_off);
                req.salt_len = cases[i].salt;
                req.mgf1_hash = cases[i].mgf1 ? hash_alg_by_name(cases[i].mgf1) : NULL;
                r = sign_request_check(&req, key_alg_by_name(cases[i].alg), &e);
                if (cases[i].expect == 0)
                        assert_int_equal(r, 0);
                else
                        assert_refused(r, cases[i].expect, &e);
        }
}

static void a_request_without_a_hash_is_refused(void **state) {
        SignRequest req = request(SCHEME_ECDSA, "SHA256");
        Error e = {};

        req.hash = NULL;
        assert_refused(sign_request_check(&req, key_alg_by_name("P-256"), &e),
                       -CSIGN_E_UNSUPPORTED_SCHEME, &e);
}

static void a_hash_must_go_with_its_scheme(void **state) {
        SignRequest ec = request(SCHEME_ECDSA, "SHA512"), ed = request(SCHEME_ED25519, "none");
        Error e = {};

        ec.hash = &hash_mu;
        assert_refused(sign_request_check(&ec, key_alg_by_name("P-256"), &e),
                       -CSIGN_E_UNSUPPORTED_SCHEME, &e);
        ec.hash = &hash_none;
        assert_refused(sign_request_check(&ec, key_alg_by_name("P-256"), &e),
                       -CSIGN_E_UNSUPPORTED_SCHEME, &e);
        ed.hash = hash_alg_by_name("SHA512");
        ed.digest_len = 64;
        assert_refused(sign_request_check(&ed, key_alg_by_name("Ed25519"), &e),
                       -CSIGN_E_UNSUPPORTED_SCHEME, &e);
}

static void salts_fit_as_rfc_8017_says(void **state) {
        assert_int_equal(pss_salt_max(2048, 32), 222);
        assert_int_equal(pss_salt_max(3072, 32), 350);
        assert_int_equal(pss_salt_max(4096, 64), 446);
        assert_int_equal(pss_salt_max(512, 64), 0);
}

/* Signs as the key store would, with what sign_request_apply() sets. */
static size_t sign(const SignRequest *req, EVP_PKEY *key, uint8_t sig[static SIGNATURE_MAX]) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx =
                EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
        size_t len = SIGNATURE_MAX;

        assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
        assert_int_equal(sign_request_apply(req, ctx), 0);
        assert_int_equal(EVP_PKEY_sign(ctx, sig, &len, req->digest, req->digest_len), 1);
        return len;
}

static void only_the_right_signature_verifies(void **state) {
        static const struct {
                const char *type;
                Scheme scheme;
                const char *hash, *mgf1;
                uint32_t salt;
        } cases[] = {
                { "EC", SCHEME_ECDSA, "SHA256", NULL, 0 },
                { "EC", SCHEME_ECDSA, "SHA3-384", NULL, 0 },
                { "RSA", SCHEME_RSA_PKCS1, "SHA256", NULL, 0 },
                { "RSA", SCHEME_RSA_PKCS1, "SHA3-256", NULL, 0 },
                { "RSA", SCHEME_RSA_PSS, "SHA256", NULL, 32 },
                { "RSA", SCHEME_RSA_PSS, "SHA384", "SHA256", 0 },
                { "RSA", SCHEME_RSA_PSS, "SHA512", NULL, 20 },
        };
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *rsa =
                EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 2048);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                EVP_PKEY *key = strcmp(cases[i].type, "EC") == 0 ? ec : rsa;
                SignRequest req = request(cases[i].scheme, cases[i].hash);
                uint8_t sig[SIGNATURE_MAX], other[DIGEST_MAX] = { 9 };
                Error e = {};
                size_t len;

                req.salt_len = cases[i].salt;
                req.mgf1_hash = cases[i].mgf1 ? hash_alg_by_name(cases[i].mgf1) : NULL;
                len = sign(&req, key, sig);
                assert_int_equal(sign_request_verify(&req, key, sig, len, &e), 0);

                sig[len - 1] ^= 1;
                assert_refused(sign_request_verify(&req, key, sig, len, &e), -CSIGN_E_BAD_SIGNATURE,
                               &e);
                sig[len - 1] ^= 1;
                assert_refused(sign_request_verify(&req, key, sig, len - 1, &e),
                               -CSIGN_E_BAD_SIGNATURE, &e);
                assert_refused(sign_request_verify(&req, key, sig, 0, &e), -CSIGN_E_BAD_SIGNATURE,
                               &e);
                req.digest = other;
                assert_refused(sign_request_verify(&req, key, sig, len, &e), -CSIGN_E_BAD_SIGNATURE,
                               &e);
        }
}

static void a_pss_signature_with_another_salt_is_not_the_one_asked_for(void **state) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key =
                EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 2048);
        SignRequest req = request(SCHEME_RSA_PSS, "SHA256");
        uint8_t sig[SIGNATURE_MAX];
        Error e = {};
        size_t len;

        req.salt_len = 20;
        len = sign(&req, key, sig);
        req.salt_len = 32;
        assert_refused(sign_request_verify(&req, key, sig, len, &e), -CSIGN_E_BAD_SIGNATURE, &e);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_a_key_cannot_do_is_named),
                cmocka_unit_test(a_request_without_a_hash_is_refused),
                cmocka_unit_test(a_hash_must_go_with_its_scheme),
                cmocka_unit_test(salts_fit_as_rfc_8017_says),
                cmocka_unit_test(only_the_right_signature_verifies),
                cmocka_unit_test(a_pss_signature_with_another_salt_is_not_the_one_asked_for),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
