/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/digest-info.h"

#include <openssl/objects.h>
#include <openssl/x509.h>

#include "lib/ossl.h"
#include "tests/unit/test.h"

/* OpenSSL's own encoding is the judge. */
static size_t encode(const HashAlg *hash, const char *name, const uint8_t *digest, uint8_t **ret) {
        X509_SIG *s = X509_SIG_new();
        ASN1_OCTET_STRING *octets;
        X509_ALGOR *alg;
        int len;

        X509_SIG_getm(s, &alg, &octets);
        X509_ALGOR_set0(alg, OBJ_nid2obj(OBJ_txt2nid(name)), V_ASN1_NULL, NULL);
        ASN1_OCTET_STRING_set(octets, digest, (int) hash->size);
        *ret = NULL;
        len = i2d_X509_SIG(s, ret);
        X509_SIG_free(s);
        assert_true(len > 0);
        return (size_t) len;
}

static void every_hash_is_recognised(void **state) {
        uint8_t digest[64];
        const HashAlg *hash;

        memset(digest, 0xa5, sizeof(digest));
        for (size_t i = 0; (hash = hash_alg_at(i)); i++) {
                const HashAlg *found = NULL;
                const uint8_t *at = NULL;
                uint8_t *der;
                size_t len = encode(hash, hash->name, digest, &der);

                assert_int_equal(digest_info_parse(der, len, &found, &at), 0);
                assert_ptr_equal(found, hash);
                assert_memory_equal(at, digest, hash->size);

                assert_int_equal(digest_info_parse(der, len - 1, &found, &at), -EBADMSG);
                der[len - hash->size - 1]++;
                assert_int_equal(digest_info_parse(der, len, &found, &at), -EBADMSG);
                OPENSSL_free(der);
        }
}

static void sha1_and_bare_digests_are_not(void **state) {
        const HashAlg sha1 = { .name = "SHA1", .size = 20 }, *found = NULL;
        uint8_t digest[51] = { 0 };
        const uint8_t *at = NULL;
        uint8_t *der;
        size_t len = encode(&sha1, "SHA1", digest, &der);

        assert_int_equal(digest_info_parse(der, len, &found, &at), -EBADMSG);
        OPENSSL_free(der);
        for (len = 0; len <= sizeof(digest); len++)
                assert_int_equal(digest_info_parse(digest, len, &found, &at), -EBADMSG);
        assert_null(found);
        assert_null(at);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_hash_is_recognised),
                cmocka_unit_test(sha1_and_bare_digests_are_not),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
