/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>

#include "lib/alg.h"
#include "lib/sign.h"
#include "tests/unit/test.h"

DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)

/* The numbers are in sealed keys: this test is the place that says they never change. */
static void key_algorithms_keep_names_and_numbers(void **state) {
        static const struct {
                uint16_t id;
                const char *name, *type;
                unsigned bits, schemes;
                Scheme first;
        } expect[] = {
                { 1, "P-256", "EC", 256, 1 << 3, SCHEME_ECDSA },
                { 2, "P-384", "EC", 384, 1 << 3, SCHEME_ECDSA },
                { 3, "P-521", "EC", 521, 1 << 3, SCHEME_ECDSA },
                { 16, "RSA-2048", "RSA", 2048, 1 << 1 | 1 << 2, SCHEME_RSA_PKCS1 },
                { 17, "RSA-3072", "RSA", 3072, 1 << 1 | 1 << 2, SCHEME_RSA_PKCS1 },
                { 18, "RSA-4096", "RSA", 4096, 1 << 1 | 1 << 2, SCHEME_RSA_PKCS1 },
                { 32, "Ed25519", "ED25519", 0, 1 << 4, SCHEME_ED25519 },
                { 48, "ML-DSA-44", "ML-DSA-44", 0, 1 << 5, SCHEME_ML_DSA_44 },
                { 49, "ML-DSA-65", "ML-DSA-65", 0, 1 << 6, SCHEME_ML_DSA_65 },
                { 50, "ML-DSA-87", "ML-DSA-87", 0, 1 << 7, SCHEME_ML_DSA_87 },
        };
        size_t n = 0;

        for (; key_alg_at(n); n++) {
                const KeyAlg *a = key_alg_at(n);

                assert_ptr_equal(key_alg_by_name(a->name), a);
                assert_ptr_equal(key_alg_by_id(a->id), a);
                assert_int_not_equal(a->id, 0);
                assert_non_null(scheme_hash_by_name(scheme_of_key(a), a->default_hash));
                assert_in_range(a->signature_max, 1, SIGNATURE_MAX);
        }
        assert_int_equal(n, ELEMENTSOF(expect));

        for (size_t i = 0; i < ELEMENTSOF(expect); i++) {
                const KeyAlg *a = key_alg_by_name(expect[i].name);

                assert_non_null(a);
                assert_int_equal(a->id, expect[i].id);
                assert_string_equal(a->ossl_type, expect[i].type);
                assert_int_equal(a->bits, expect[i].bits);
                assert_int_equal(a->schemes, expect[i].schemes);
                assert_int_equal(scheme_of_key(a), expect[i].first);
        }
        assert_ptr_equal(key_alg_by_name("rsa-3072"), key_alg_by_name("RSA-3072"));
        assert_null(key_alg_by_name("RSA-1024"));
        assert_null(key_alg_by_name(""));
        assert_null(key_alg_by_id(0));
        assert_null(key_alg_by_id(0xffff));
}

static void hashes_have_two_names_and_the_right_size(void **state) {
        static const struct {
                const char *name, *alias;
                size_t size;
        } expect[] = {
                { "SHA224", "SHA2-224", 28 }, { "SHA256", "SHA2-256", 32 },
                { "SHA384", "SHA2-384", 48 }, { "SHA512", "SHA2-512", 64 },
                { "SHA3-256", NULL, 32 },     { "SHA3-384", NULL, 48 },
                { "SHA3-512", NULL, 64 },
        };
        size_t n = 0;

        for (; hash_alg_at(n); n++) {
                const HashAlg *h = hash_alg_at(n);

                assert_ptr_equal(hash_alg_by_id(h->id), h);
                assert_int_not_equal(h->id, 0);
                assert_true(h->size <= DIGEST_MAX);
        }
        assert_int_equal(n, ELEMENTSOF(expect));

        for (size_t i = 0; i < ELEMENTSOF(expect); i++) {
                const HashAlg *h = hash_alg_by_name(expect[i].name);

                assert_non_null(h);
                assert_string_equal(h->name, expect[i].name);
                assert_int_equal(h->size, expect[i].size);
                if (expect[i].alias)
                        assert_ptr_equal(hash_alg_by_name(expect[i].alias), h);
        }
        assert_ptr_equal(hash_alg_by_name("sha256"), hash_alg_by_name("SHA256"));
        assert_null(hash_alg_by_id(0));
}

static void weak_and_unknown_hashes_are_not_there(void **state) {
        static const char *const names[] = {
                "SHA1", "SHA-1", "MD5", "", "SHA", "SHA25", "SHA2566"
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                assert_null(hash_alg_by_name(names[i]));
}

static void schemes_go_both_ways(void **state) {
        assert_string_equal(scheme_name(SCHEME_RSA_PKCS1), "rsa-pkcs1");
        assert_string_equal(scheme_name(SCHEME_RSA_PSS), "rsa-pss");
        assert_string_equal(scheme_name(SCHEME_ECDSA), "ecdsa");
        assert_string_equal(scheme_name(SCHEME_ED25519), "ed25519");
        assert_string_equal(scheme_name(SCHEME_ML_DSA_65), "ml-dsa-65");
        assert_string_equal(scheme_name((Scheme) 99), "none");
        for (Scheme s = SCHEME_RSA_PKCS1; s < SCHEME_END_; s++) {
                assert_int_equal(scheme_by_name(scheme_name(s)), s);
                assert_int_equal(scheme_by_id(s), s);
        }
        assert_int_equal(scheme_by_id(SCHEME_END_), SCHEME_NONE);
        assert_int_equal(scheme_by_name("none"), SCHEME_NONE);
        assert_int_equal(scheme_by_name(""), SCHEME_NONE);
}

/* "none" and "mu" are no hashes for anybody else. */
static void pure_schemes_have_a_hash_of_their_own(void **state) {
        assert_ptr_equal(scheme_hash_by_name(SCHEME_ED25519, "none"), &hash_none);
        assert_ptr_equal(scheme_hash_by_name(SCHEME_ML_DSA_44, "mu"), &hash_mu);
        assert_ptr_equal(scheme_hash_by_id(SCHEME_ED25519, 32), &hash_none);
        assert_ptr_equal(scheme_hash_by_id(SCHEME_ML_DSA_87, 33), &hash_mu);
        assert_null(scheme_hash_by_name(SCHEME_ED25519, "SHA512"));
        assert_null(scheme_hash_by_name(SCHEME_ED25519, "mu"));
        assert_null(scheme_hash_by_name(SCHEME_ML_DSA_65, "none"));
        assert_null(scheme_hash_by_name(SCHEME_ML_DSA_65, NULL));
        assert_null(scheme_hash_by_name(SCHEME_ECDSA, "mu"));
        assert_null(scheme_hash_by_id(SCHEME_ECDSA, 32));
        assert_null(scheme_hash_by_id(SCHEME_ML_DSA_65, 2));
        assert_null(hash_alg_by_name("none"));
        assert_null(hash_alg_by_name("mu"));
        assert_ptr_equal(scheme_hash_by_name(SCHEME_RSA_PSS, "SHA384"), hash_alg_by_name("SHA384"));
        assert_int_equal(hash_mu.size, DIGEST_MAX);
}

static void a_key_tells_its_algorithm(void **state) {
        static const struct {
                const char *type, *arg, *expect;
                int bits;
        } cases[] = {
                { "EC", "P-256", "P-256", 0 },     { "EC", "P-384", "P-384", 0 },
                { "EC", "P-521", "P-521", 0 },     { "EC", "prime256v1", "P-256", 0 },
                { "EC", "secp256k1", NULL, 0 },    { "EC", "brainpoolP256r1", NULL, 0 },
                { "RSA", NULL, "RSA-2048", 2048 }, { "RSA", NULL, NULL, 1024 },
                { "RSA", NULL, NULL, 2056 },       { "ED25519", NULL, "Ed25519", 0 },
                { "X25519", NULL, NULL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
                const KeyAlg *expect = cases[i].expect ? key_alg_by_name(cases[i].expect) : NULL;

                if (cases[i].bits)
                        key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) cases[i].bits);
                else if (cases[i].arg)
                        key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", cases[i].arg);
                else
                        key = EVP_PKEY_Q_keygen(NULL, NULL, cases[i].type);
                assert_non_null(key);
                assert_ptr_equal(key_alg_of_pkey(key), expect);
                if (expect)
                        assert_true((size_t) EVP_PKEY_get_size(key) <= expect->signature_max);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(key_algorithms_keep_names_and_numbers),
                cmocka_unit_test(hashes_have_two_names_and_the_right_size),
                cmocka_unit_test(weak_and_unknown_hashes_are_not_there),
                cmocka_unit_test(schemes_go_both_ways),
                cmocka_unit_test(pure_schemes_have_a_hash_of_their_own),
                cmocka_unit_test(a_key_tells_its_algorithm),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
