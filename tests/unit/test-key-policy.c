/* SPDX-License-Identifier: Apache-2.0 */
#include "service/key-policy.h"

#include "tests/unit/test.h"

static json_t *parse(const char *text) {
        json_t *v = NULL;
        Error e = {};

        assert_int_equal(json_parse(text, strlen(text), &v, &e), 0);
        return v;
}

static void policies_are_read(void **state) {
        static const struct {
                const char *json, *alg;
                int expect;
                const char *shown; /* NULL: as it was */
        } cases[] = {
                { "{}", "RSA-2048", 0, NULL },
                { "{\"schemes\":[\"rsa-pss\"]}", "RSA-2048", 0, "\"schemes\":[\"rsa-pss\"]" },
                { "{\"schemes\":null}", "RSA-2048", 0, "\"schemes\":[\"rsa-pkcs1\",\"rsa-pss\"]" },
                { "{\"hashes\":[\"sha384\",\"SHA2-256\"]}", "P-256", 0,
                  "\"hashes\":[\"SHA256\",\"SHA384\"]" },
                { "{\"hashes\":[\"none\"]}", "Ed25519", 0, "\"hashes\":[\"none\"]" },
                { "{\"hashes\":[\"mu\"]}", "ML-DSA-44", 0, "\"hashes\":[\"mu\"]" },
                { "{\"signatures_per_hour\":4294967295}", "P-256", 0,
                  "\"signatures_per_hour\":4294967295" },
                { "{\"schemes\":[\"ecdsa\"]}", "RSA-2048", -CSIGN_E_UNSUPPORTED_SCHEME, NULL },
                { "{\"schemes\":[\"rsa-pss\",7]}", "RSA-2048", -CSIGN_E_UNSUPPORTED_SCHEME, NULL },
                { "{\"hashes\":[\"SHA256\"]}", "Ed25519", -CSIGN_E_UNSUPPORTED_SCHEME, NULL },
                { "{\"hashes\":[\"none\"]}", "P-256", -CSIGN_E_UNSUPPORTED_SCHEME, NULL },
                { "{\"hashes\":[]}", "P-256", -CSIGN_E_BAD_REQUEST, NULL },
                { "{\"schemes\":\"ecdsa\"}", "P-256", -CSIGN_E_BAD_REQUEST, NULL },
                { "{\"signatures_per_day\":0}", "P-256", -CSIGN_E_BAD_REQUEST, NULL },
                { "{\"signatures_per_day\":4294967296}", "P-256", -CSIGN_E_BAD_REQUEST, NULL },
                { "{\"more\":1}", "P-256", -CSIGN_E_BAD_REQUEST, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(json_decrefp) json_t *json = parse(cases[i].json);
                const KeyAlg *alg = key_alg_by_name(cases[i].alg);
                KeyPolicy p = { .per_day = 5 }, before = p;
                _cleanup_(buf_done) Buf text = {};
                JsonOut o = JSON_OUT(&text);
                Error e = {};

                assert_int_equal(key_policy_read(&p, json, alg, alg->schemes, &e), cases[i].expect);
                if (cases[i].expect < 0)
                        assert_string_not_equal(e.detail, "");
                if (!cases[i].shown) {
                        assert_memory_equal(&p, &before, sizeof(p));
                        continue;
                }
                key_policy_write(&o, NULL, &p, alg, alg->schemes);
                assert_non_null(strstr(buf_str(&text), cases[i].shown));
                assert_non_null(strstr(buf_str(&text), "\"signatures_per_day\":5"));
        }
}

/* What it was made without cannot be allowed later. */
static void a_key_keeps_what_it_was_made_for(void **state) {
        _cleanup_(json_decrefp) json_t *json = parse("{\"schemes\":[\"rsa-pkcs1\"]}");
        const KeyAlg *alg = key_alg_by_name("RSA-2048");
        KeyPolicy p = {};
        Error e = {};

        assert_int_equal(key_policy_read(&p, json, alg, SCHEME_BIT(SCHEME_RSA_PSS), &e),
                         -CSIGN_E_UNSUPPORTED_SCHEME);
        assert_int_equal(p.schemes, 0);
        assert_int_equal(key_policy_schemes(&p, SCHEME_BIT(SCHEME_RSA_PSS)),
                         SCHEME_BIT(SCHEME_RSA_PSS));
}

static void use_is_decided(void **state) {
        static const struct {
                const char *json;
                Scheme scheme;
                const char *hash, *mgf1;
                int expect;
        } cases[] = {
                { "{}", SCHEME_RSA_PSS, "SHA512", NULL, 0 },
                { "{\"schemes\":[\"rsa-pss\"]}", SCHEME_RSA_PSS, "SHA512", NULL, 0 },
                { "{\"schemes\":[\"rsa-pss\"]}", SCHEME_RSA_PKCS1, "SHA512", NULL,
                  -CSIGN_E_UNSUPPORTED_SCHEME },
                { "{\"hashes\":[\"SHA256\"]}", SCHEME_RSA_PKCS1, "SHA256", NULL, 0 },
                { "{\"hashes\":[\"SHA256\"]}", SCHEME_RSA_PKCS1, "SHA224", NULL,
                  -CSIGN_E_UNSUPPORTED_SCHEME },
                { "{\"hashes\":[\"SHA256\"]}", SCHEME_RSA_PSS, "SHA256", "SHA256", 0 },
                { "{\"hashes\":[\"SHA256\"]}", SCHEME_RSA_PSS, "SHA256", "SHA224",
                  -CSIGN_E_UNSUPPORTED_SCHEME },
        };
        const KeyAlg *alg = key_alg_by_name("RSA-2048");

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(json_decrefp) json_t *json = parse(cases[i].json);
                SignRequest req = {
                        .scheme = cases[i].scheme,
                        .hash = hash_alg_by_name(cases[i].hash),
                        .mgf1_hash = cases[i].mgf1 ? hash_alg_by_name(cases[i].mgf1) : NULL,
                };
                KeyPolicy p = {};
                Error e = {};

                assert_int_equal(key_policy_read(&p, json, alg, alg->schemes, &e), 0);
                assert_int_equal(key_policy_check(&p, &req, "acme/x", &e), cases[i].expect);
                assert_string_equal(e.rule, cases[i].expect ? "usage-scheme" : "");
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(policies_are_read),
                cmocka_unit_test(a_key_keeps_what_it_was_made_for),
                cmocka_unit_test(use_is_decided),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
