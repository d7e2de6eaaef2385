/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jwt.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "lib/ossl.h"
#include "tests/unit/test.h"

#define ISSUER "https://localhost:8443"
#define NOW    1000000

static const char good_header[] = "{\"alg\":\"ES256\",\"typ\":\"JWT\"}";
static const char good_claims[] = "{\"iss\":\"acc_a\",\"sub\":\"acc_a\",\"aud\":\"" ISSUER
                                  "\",\"iat\":1000000,\"exp\":1000120,\"jti\":\"one\"}";

/* header.claims.signature; the signature is JWS's for an EC key, and OpenSSL's else. */
static void make(const char *header, const char *claims, EVP_PKEY *key, const char *hash,
                 Buf *ret) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        unsigned char sig[1024], raw[96] = {};
        size_t len = sizeof(sig), half;

        buf_clear(ret);
        assert_int_equal(buf_append_base64url(ret, header, strlen(header)), 0);
        assert_int_equal(buf_append_str(ret, "."), 0);
        assert_int_equal(buf_append_base64url(ret, claims, strlen(claims)), 0);
        assert_int_equal(EVP_DigestSignInit_ex(ctx, NULL, hash, NULL, NULL, key, NULL), 1);
        assert_int_equal(EVP_DigestSign(ctx, sig, &len, ret->data, ret->len), 1);
        assert_int_equal(buf_append_str(ret, "."), 0);

        if (EVP_PKEY_is_a(key, "EC")) {
                const unsigned char *p = sig;
                ECDSA_SIG *es = d2i_ECDSA_SIG(NULL, &p, (long) len);

                half = (size_t) (EVP_PKEY_get_bits(key) + 7) / 8;
                BN_bn2binpad(ECDSA_SIG_get0_r(es), raw, (int) half);
                BN_bn2binpad(ECDSA_SIG_get0_s(es), raw + half, (int) half);
                ECDSA_SIG_free(es);
                assert_int_equal(buf_append_base64url(ret, raw, 2 * half), 0);
        } else
                assert_int_equal(buf_append_base64url(ret, sig, len), 0);
}

static int parse_and_check(const char *text, EVP_PKEY *key, uint64_t now, Error *e) {
        _cleanup_(jwt_done) Jwt j = {};
        int r;

        r = jwt_parse(text, &j, e);
        if (r >= 0)
                r = jwt_verify(&j, key, e);
        return r < 0 ? r : jwt_check_claims(&j, ISSUER, now, e);
}

static void a_good_assertion_passes(void **state) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
        _cleanup_(buf_done) Buf text = {};
        _cleanup_(jwt_done) Jwt j = {};
        Error e = {};

        make(good_header, good_claims, key, "SHA256", &text);
        assert_int_equal(parse_and_check(buf_str(&text), key, NOW, &e), 0);
        assert_int_equal(jwt_parse(buf_str(&text), &j, &e), 0);
        assert_string_equal(j.iss, "acc_a");
        assert_string_equal(j.jti, "one");
}

static void headers_hold_three_names_and_no_more(void **state) {
        static const struct {
                const char *name, *header;
        } cases[] = {
                { "no alg", "{\"typ\":\"JWT\"}" },
                { "alg not a string", "{\"alg\":1}" },
                { "alg twice", "{\"alg\":\"none\",\"alg\":\"ES256\"}" },
                { "typ of something else", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}" },
                { "crit", "{\"alg\":\"ES256\",\"crit\":[\"b64\"],\"b64\":false}" },
                { "a key of its own", "{\"alg\":\"ES256\",\"jwk\":{}}" },
                { "a key from elsewhere", "{\"alg\":\"ES256\",\"jku\":\"https://evil\"}" },
                { "a certificate", "{\"alg\":\"ES256\",\"x5c\":[]}" },
                { "not an object", "[]" },
                { "not JSON", "alg=ES256" },
        };
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(buf_done) Buf text = {};
                Error e = {};

                make(cases[i].header, good_claims, key, "SHA256", &text);
                assert_refused(parse_and_check(buf_str(&text), key, NOW, &e), -CSIGN_E_BAD_REQUEST,
                               &e);
        }
}

static void the_key_says_which_algorithm(void **state) {
        static const struct {
                const char *alg, *type;
                const char *hash;
                int expect;
        } cases[] = {
                { "ES256", "P-256", "SHA256", 0 },
                { "ES384", "P-384", "SHA384", 0 },
                { "RS256", "RSA", "SHA256", 0 },
                { "none", "P-256", "SHA256", -CSIGN_E_UNAUTHENTICATED },
                { "HS256", "P-256", "SHA256", -CSIGN_E_UNAUTHENTICATED },
                { "ES384", "P-256", "SHA384", -CSIGN_E_UNAUTHENTICATED },
                { "ES256", "P-384", "SHA256", -CSIGN_E_UNAUTHENTICATED },
                { "RS256", "P-256", "SHA256", -CSIGN_E_UNAUTHENTICATED },
                { "ES256", "RSA", "SHA256", -CSIGN_E_UNAUTHENTICATED },
                { "RS512", "RSA", "SHA512", -CSIGN_E_UNAUTHENTICATED },
                { "PS256", "RSA", "SHA256",
                  -CSIGN_E_UNAUTHENTICATED }, /* it is PKCS#1 v1.5 that signed */
                { "es256", "P-256", "SHA256", -CSIGN_E_UNAUTHENTICATED },
        };
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *p256 = EVP_EC_gen("P-256"), *p384 = EVP_EC_gen("P-384"),
                                           *rsa = EVP_RSA_gen(2048);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                EVP_PKEY *key = strcmp(cases[i].type, "RSA") == 0     ? rsa
                                : strcmp(cases[i].type, "P-256") == 0 ? p256
                                                                      : p384;
                _cleanup_(buf_done) Buf text = {};
                char header[64];
                Error e = {};

                snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", cases[i].alg);
                make(header, good_claims, key, cases[i].hash, &text);
                assert_int_equal(parse_and_check(buf_str(&text), key, NOW, &e), cases[i].expect);
                if (cases[i].expect < 0)
                        assert_string_equal(e.rule, "assertion-signature");
        }
}

static void another_keys_signature_is_none(void **state) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
        _cleanup_(buf_done) Buf text = {};
        Error e = {};

        make(good_header, good_claims, other, "SHA256", &text);
        assert_refused(parse_and_check(buf_str(&text), key, NOW, &e), -CSIGN_E_UNAUTHENTICATED, &e);
}

static void one_changed_letter_is_noticed(void **state) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
        _cleanup_(buf_done) Buf text = {};

        make(good_header, good_claims, key, "SHA256", &text);
        for (size_t i = 0; i < text.len; i++) {
                char old = (char) text.data[i];
                Error e = {};

                text.data[i] = old == 'A' ? 'B' : 'A';
                assert_true(parse_and_check(buf_str(&text), key, NOW, &e) < 0);
                assert_string_not_equal(e.detail, "");
                text.data[i] = (uint8_t) old;
        }
}

#define C(iss, sub, aud, rest) "{\"iss\":\"" iss "\",\"sub\":\"" sub "\",\"aud\":" aud "," rest "}"
#define TIMES                  "\"iat\":1000000,\"exp\":1000120,\"jti\":\"j\""
#define AUD                    "\"" ISSUER "\""

static void claims_are_checked(void **state) {
        static const struct {
                const char *claims;
                int expect;
                const char *rule;
        } cases[] = {
                { C("acc_a", "acc_b", AUD, TIMES), -CSIGN_E_UNAUTHENTICATED, "assertion-issuer" },
                { C("acc_a", "acc_a", "\"" ISSUER "/\"", TIMES), -CSIGN_E_UNAUTHENTICATED,
                  "assertion-audience" },
                { C("acc_a", "acc_a", "\"" ISSUER "/v1/oauth/token\"", TIMES),
                  -CSIGN_E_UNAUTHENTICATED, "assertion-audience" },
                { C("acc_a", "acc_a", "[\"" ISSUER "\"]", TIMES), -CSIGN_E_BAD_REQUEST, "" },
                { C("acc_a", "acc_a", AUD, "\"iat\":1000000,\"exp\":1000301,\"jti\":\"j\""),
                  -CSIGN_E_UNAUTHENTICATED, "assertion-time" },
                { C("acc_a", "acc_a", AUD, "\"iat\":1000000,\"exp\":1000000,\"jti\":\"j\""),
                  -CSIGN_E_UNAUTHENTICATED, "assertion-time" },
                { C("acc_a", "acc_a", AUD, "\"iat\":999800,\"exp\":999940,\"jti\":\"j\""),
                  -CSIGN_E_UNAUTHENTICATED, "assertion-time" }, /* 60 s ago: the leeway's end */
                { C("acc_a", "acc_a", AUD, "\"iat\":999800,\"exp\":999941,\"jti\":\"j\""), 0, "" },
                { C("acc_a", "acc_a", AUD, "\"iat\":1000060,\"exp\":1000120,\"jti\":\"j\""), 0,
                  "" },
                { C("acc_a", "acc_a", AUD, "\"iat\":1000061,\"exp\":1000120,\"jti\":\"j\""),
                  -CSIGN_E_UNAUTHENTICATED, "assertion-time" },
                { C("acc_a", "acc_a", AUD, TIMES ",\"nbf\":1000061"), -CSIGN_E_UNAUTHENTICATED,
                  "assertion-time" },
                { C("acc_a", "acc_a", AUD, TIMES ",\"nbf\":1000000"), 0, "" },
                { C("acc_a", "acc_a", AUD, TIMES ",\"scope\":\"all\""), -CSIGN_E_BAD_REQUEST, "" },
                { C("acc_a", "acc_a", AUD, "\"iat\":1000000,\"exp\":1000120"), -CSIGN_E_BAD_REQUEST,
                  "" },
                { C("acc_a", "acc_a", AUD, "\"iat\":1000000,\"exp\":1000120,\"jti\":\"\""),
                  -CSIGN_E_BAD_REQUEST, "" },
                { C("acc_a", "acc_a", AUD, "\"iat\":-1,\"exp\":100,\"jti\":\"j\""),
                  -CSIGN_E_BAD_REQUEST, "" },
                { C("acc_a", "acc_a", AUD, "\"iat\":1e6,\"exp\":1000120,\"jti\":\"j\""),
                  -CSIGN_E_BAD_REQUEST, "" },
                { C("acc_a", "acc_a", AUD,
                    "\"iat\":1000000,\"exp\":9223372036854775807,\"jti\":\"j\""),
                  -CSIGN_E_UNAUTHENTICATED, "assertion-time" },
        };
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(buf_done) Buf text = {};
                Error e = {};

                make(good_header, cases[i].claims, key, "SHA256", &text);
                assert_int_equal(parse_and_check(buf_str(&text), key, NOW, &e), cases[i].expect);
                assert_string_equal(e.rule, cases[i].rule);
        }
}

static void the_form_is_three_parts(void **state) {
        static const char *const texts[] = {
                "",        ".",        "..",           "a.b",          "a.b.c.d",
                "e30.e30", "e30.e30.", "e30.e30.e30=", "e30=.e30.e30", " e30.e30.e30",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                Jwt j = {};
                Error e = {};

                assert_refused(jwt_parse(texts[i], &j, &e), -CSIGN_E_BAD_REQUEST, &e);
                assert_null(j.signature.data);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_good_assertion_passes),
                cmocka_unit_test(headers_hold_three_names_and_no_more),
                cmocka_unit_test(the_key_says_which_algorithm),
                cmocka_unit_test(another_keys_signature_is_none),
                cmocka_unit_test(one_changed_letter_is_noticed),
                cmocka_unit_test(claims_are_checked),
                cmocka_unit_test(the_form_is_three_parts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
