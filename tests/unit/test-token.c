/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/token.h"
#include "tests/unit/test.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <sys/stat.h>

#include "lib/json.h"
#include "lib/ossl.h"

#define CLIENT_ID "acc_aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ISSUER    "https://localhost:8443"

static char folder[] = "/tmp/csign-token-XXXXXX";
static char path[64];

static int set_up(void **state) {
        if (!mkdtemp(folder))
                return -1;
        snprintf(path, sizeof(path), "%s/credential.key", folder);
        return 0;
}

static int tear_down(void **state) {
        unlink(path);
        return rmdir(folder);
}

static EVP_PKEY *generate(const char *type, const char *parameter) {
        EVP_PKEY *key;

        if (strcmp(type, "RSA") == 0)
                key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) atoi(parameter));
        else if (strcmp(type, "EC") == 0)
                key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", parameter);
        else
                key = EVP_PKEY_Q_keygen(NULL, NULL, type);
        assert_non_null(key);
        return key;
}

static void write_key(EVP_PKEY *key, const char *pass, mode_t mode) {
        FILE *f;

        unlink(path);
        f = fopen(path, "w");
        assert_non_null(f);
        assert_int_equal(fchmod(fileno(f), mode), 0);
        if (key)
                assert_int_equal(PEM_write_PKCS8PrivateKey(f, key, pass ? EVP_aes_128_cbc() : NULL,
                                                           pass, pass ? (int) strlen(pass) : 0,
                                                           NULL, NULL),
                                 1);
        else
                fputs("-----BEGIN NOTHING-----\n", f);
        fclose(f);
}

/* ---- the assertion ---- */

typedef struct Part {
        const char *text;
        size_t len;
} Part;

static void split(const char *jwt, Part parts[static 3]) {
        for (int i = 0; i < 3; i++) {
                parts[i].text = jwt;
                parts[i].len = strcspn(jwt, ".");
                jwt += parts[i].len + (i < 2);
        }
        assert_int_equal(*jwt, 0);
}

static json_t *decode(const Part *p) {
        _cleanup_(buf_done) Buf b = {};
        json_t *root = NULL;

        assert_int_equal(buf_decode_base64url(&b, p->text, p->len), 0);
        assert_int_equal(json_parse(b.data, b.len, &root, NULL), 0);
        return root;
}

/* A JWS has r and s side by side; OpenSSL verifies DER. */
static void to_der(Buf *sig) {
        ECDSA_SIG *s = ECDSA_SIG_new();
        size_t half = sig->len / 2;
        unsigned char *der = NULL;
        int len;

        assert_int_equal(ECDSA_SIG_set0(s, BN_bin2bn(sig->data, (int) half, NULL),
                                        BN_bin2bn(sig->data + half, (int) half, NULL)),
                         1);
        len = i2d_ECDSA_SIG(s, &der);
        assert_true(len > 0);
        buf_clear(sig);
        assert_int_equal(buf_append(sig, der, (size_t) len), 0);
        OPENSSL_free(der);
        ECDSA_SIG_free(s);
}

static void verify(const char *jwt, size_t signed_len, const Part *sig_part, EVP_PKEY *key,
                   const char *md, size_t sig_len) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        _cleanup_(buf_done) Buf sig = {};

        assert_int_equal(buf_decode_base64url(&sig, sig_part->text, sig_part->len), 0);
        assert_int_equal(sig.len, sig_len);
        if (EVP_PKEY_is_a(key, "EC"))
                to_der(&sig);
        assert_int_equal(EVP_DigestVerifyInit_ex(ctx, NULL, md, NULL, NULL, key, NULL), 1);
        assert_int_equal(
                EVP_DigestVerify(ctx, sig.data, sig.len, (const uint8_t *) jwt, signed_len), 1);
}

static void check_claims(const Part *part, int64_t now) {
        _cleanup_(json_decrefp) json_t *c = decode(part);
        json_int_t iat = json_integer_value(json_object_get(c, "iat"));
        json_int_t exp = json_integer_value(json_object_get(c, "exp"));

        assert_string_equal(json_string_value(json_object_get(c, "iss")), CLIENT_ID);
        assert_string_equal(json_string_value(json_object_get(c, "sub")), CLIENT_ID);
        assert_string_equal(json_string_value(json_object_get(c, "aud")), ISSUER);
        assert_true(iat == now && exp > iat && exp - iat <= 300);
        assert_true(strlen(json_string_value(json_object_get(c, "jti"))) >= 20);
}

static void assertions_verify_for_each_kind_of_key(void **state) {
        static const struct {
                const char *type, *parameter, *alg, *md;
                size_t sig_len;
        } cases[] = {
                { "EC", "P-256", "ES256", "SHA256", 64 },
                { "EC", "P-384", "ES384", "SHA384", 96 },
                { "RSA", "2048", "RS256", "SHA256", 256 },
                { "ED25519", "", "EdDSA", NULL, 64 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(EVP_PKEY_freep) EVP_PKEY *key =
                        generate(cases[i].type, cases[i].parameter);
                _cleanup_(credential_freep) Credential *c = NULL;
                _cleanup_(json_decrefp) json_t *header = NULL;
                _cleanup_(buf_done) Buf jwt = {}, again = {};
                Part parts[3];
                Error e = {};

                write_key(key, NULL, 0600);
                assert_int_equal(credential_load(&c, path, NULL, CLIENT_ID, &e), 0);
                assert_int_equal(token_assertion(c, CLIENT_ID, ISSUER, NULL, 1700000000, &jwt, &e),
                                 0);
                split(buf_str(&jwt), parts);

                header = decode(&parts[0]);
                assert_string_equal(json_string_value(json_object_get(header, "alg")),
                                    cases[i].alg);
                check_claims(&parts[1], 1700000000);
                verify(buf_str(&jwt), (size_t) (parts[2].text - 1 - buf_str(&jwt)), &parts[2], key,
                       cases[i].md, cases[i].sig_len);

                /* jti is used once. */
                assert_int_equal(
                        token_assertion(c, CLIENT_ID, ISSUER, NULL, 1700000000, &again, &e), 0);
                assert_string_not_equal(buf_str(&jwt), buf_str(&again));
        }
}

/* ---- the credential ---- */

static void the_certificate_carries_the_key(void **state) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = generate("EC", "P-256");
        _cleanup_(credential_freep) Credential *c = NULL;
        Error e = {};

        write_key(key, NULL, 0400);
        assert_int_equal(credential_load(&c, path, NULL, CLIENT_ID, &e), 0);
        assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(c->cert), key), 1);
        assert_int_equal(X509_verify(c->cert, key), 1);
        assert_true(X509_cmp_current_time(X509_get0_notBefore(c->cert)) < 0);
        assert_true(X509_cmp_current_time(X509_get0_notAfter(c->cert)) > 0);
}

static void unusable_credentials_are_named(void **state) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *good = generate("EC", "P-256");
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *curve = generate("EC", "secp256k1");
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *weak = generate("RSA", "1024");
        const struct {
                EVP_PKEY *key;
                const char *pass;
                mode_t mode;
                const char *word;
        } cases[] = {
                { good, NULL, 0644, "0644" },          { good, NULL, 0640, "0640" },
                { good, NULL, 0620, "0620" },          { good, NULL, 0604, "0604" },
                { good, "secret", 0600, "encrypted" }, { NULL, NULL, 0600, "no private key" },
                { curve, NULL, 0600, "P-256" },        { weak, NULL, 0600, "2048" },
        };
        Credential *c = NULL;
        Error e = {};

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                write_key(cases[i].key, cases[i].pass, cases[i].mode);
                assert_refused(credential_load(&c, path, NULL, CLIENT_ID, &e),
                               -CSIGN_E_BAD_CREDENTIAL, &e);
                assert_null(c);
                if (!strstr(e.detail, path) || !strstr(e.detail, cases[i].word))
                        fail_msg("case %zu: %s", i, e.detail);
        }
        unlink(path);
        assert_refused(credential_load(&c, path, NULL, CLIENT_ID, &e), -CSIGN_E_NO_CREDENTIAL, &e);
        assert_null(c);
}

/* ---- the service's answer ---- */

static void answers_are_read(void **state) {
        static const char good[] = "{\"access_token\":\"cst_abc\",\"token_type\":\"bearer\","
                                   "\"expires_in\":900,\"scope\":\"of a newer service\"}";
        char value[TOKEN_MAX];
        uint32_t expires = 0;
        Error e = {};

        assert_int_equal(token_parse(good, strlen(good), value, &expires, &e), 0);
        assert_string_equal(value, "cst_abc");
        assert_int_equal(expires, 900);
}

static void malformed_answers_are_refused(void **state) {
        static const char *const cases[] = {
                "",
                "[]",
                "{}",
                "{\"access_token\":\"a\",\"token_type\":\"Bearer\"}",
                "{\"access_token\":\"\",\"token_type\":\"Bearer\",\"expires_in\":900}",
                "{\"access_token\":\"a b\",\"token_type\":\"Bearer\",\"expires_in\":900}",
                "{\"access_token\":\"a\\r\\nX: y\",\"token_type\":\"Bearer\",\"expires_in\":900}",
                "{\"access_token\":\"a\",\"token_type\":\"mac\",\"expires_in\":900}",
                "{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":0}",
                "{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":-1}",
                "{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":\"900\"}",
                "{\"access_token\":7,\"token_type\":\"Bearer\",\"expires_in\":900}",
        };
        char value[TOKEN_MAX] = "untouched", longer[1024];
        uint32_t expires = 77;
        Error e = {};

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_refused(token_parse(cases[i], strlen(cases[i]), value, &expires, &e),
                               -CSIGN_E_BAD_ANSWER, &e);
        snprintf(longer, sizeof(longer),
                 "{\"access_token\":\"%0*d\",\"token_type\":\"Bearer\",\"expires_in\":900}",
                 TOKEN_MAX, 1);
        assert_refused(token_parse(longer, strlen(longer), value, &expires, &e),
                       -CSIGN_E_BAD_ANSWER, &e);
        assert_string_equal(value, "untouched");
        assert_int_equal(expires, 77);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(assertions_verify_for_each_kind_of_key),
                cmocka_unit_test(the_certificate_carries_the_key),
                cmocka_unit_test(unusable_credentials_are_named),
                cmocka_unit_test(answers_are_read),
                cmocka_unit_test(malformed_answers_are_refused),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
