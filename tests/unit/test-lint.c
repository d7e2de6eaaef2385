/* SPDX-License-Identifier: Apache-2.0 */
#include "service/ca/lint.h"

#include <time.h>

#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "lib/ossl.h"
#include "tests/unit/test.h"

#define DAYS_MAX 460

/* One certificate that is right, in parts that a case can spoil. */
typedef struct Parts {
        CertProfile profile;
        long version;
        const char *serial; /* hex */
        long from, until;   /* seconds from now */
        const char *common_name, *country;
        int country_type;
        bool other_issuer, other_key, small_key, weak_digest, other_inner, odd_time,
                no_authority_id;
        const char *basic, *usage, *extended, *more, *more_value, *names, *urls;
} Parts;

static const Parts good = {
        .profile = CERT_CODE_SIGNING,
        .version = X509_VERSION_3,
        .serial = "4abcdef0123456789abcdef012345678",
        .from = -300,
        .until = 400L * 86400,
        .common_name = "Release",
        .country = "DE",
        .country_type = V_ASN1_PRINTABLESTRING,
        .basic = "critical,CA:FALSE",
        .usage = "critical,digitalSignature",
        .extended = "codeSigning",
};

static void add(X509 *x, X509 *issuer, int nid, const char *value) {
        X509_EXTENSION *ext;
        X509V3_CTX ctx;

        if (!value)
                return;
        X509V3_set_ctx_nodb(&ctx);
        X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
        ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
        assert_non_null(ext);
        assert_int_equal(X509_add_ext(x, ext, -1), 1);
        X509_EXTENSION_free(ext);
}

static void set_serial(X509 *x, const char *hex) {
        BIGNUM *bn = NULL;

        assert_true(BN_hex2bn(&bn, hex) > 0);
        assert_non_null(BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)));
        BN_free(bn);
}

static void set_subject(X509 *x, const Parts *p) {
        X509_NAME *name = X509_get_subject_name(x);

        if (p->country)
                assert_int_equal(X509_NAME_add_entry_by_NID(name, NID_countryName, p->country_type,
                                                            (const unsigned char *) p->country, -1,
                                                            -1, 0),
                                 1);
        if (p->common_name)
                assert_int_equal(X509_NAME_add_entry_by_NID(name, NID_commonName, V_ASN1_UTF8STRING,
                                                            (const unsigned char *) p->common_name,
                                                            -1, -1, 0),
                                 1);
}

static void set_times(X509 *x, const Parts *p) {
        time_t now = time(NULL);

        assert_non_null(ASN1_TIME_set(X509_getm_notBefore(x), now + p->from));
        assert_non_null(ASN1_TIME_set(X509_getm_notAfter(x), now + p->until));
        if (p->odd_time) /* GeneralizedTime, where UTCTime has to be */
                assert_non_null(ASN1_GENERALIZEDTIME_set(X509_getm_notBefore(x), now + p->from));
}

/* An authority to issue from: its name, and its key's identifier. */
static X509 *authority(EVP_PKEY *key, const char *name) {
        X509 *x = X509_new();

        assert_non_null(x);
        X509_set_version(x, X509_VERSION_3);
        set_serial(x, good.serial);
        set_times(x, &(Parts){ .from = -600, .until = 3000L * 86400 });
        set_subject(x, &(Parts){ .common_name = name });
        X509_set_issuer_name(x, X509_get_subject_name(x));
        X509_set_pubkey(x, key);
        add(x, x, NID_subject_key_identifier, "hash");
        assert_true(X509_sign(x, key, EVP_sha256()) > 0);
        return x;
}

static void add_extensions(X509 *x, X509 *issuer, const Parts *p) {
        add(x, issuer, NID_basic_constraints, p->basic);
        add(x, issuer, NID_key_usage, p->usage);
        add(x, issuer, NID_ext_key_usage, p->extended);
        add(x, issuer, NID_subject_key_identifier, "hash");
        if (!p->no_authority_id)
                add(x, issuer, NID_authority_key_identifier, "keyid:always");
        add(x, issuer, NID_subject_alt_name, p->names);
        add(x, issuer, NID_crl_distribution_points, p->urls);
        if (p->more) {
                int nid = OBJ_txt2nid(p->more);

                add(x, issuer, nid != NID_undef ? nid : OBJ_create(p->more, p->more, p->more),
                    p->more_value);
        }
}

static X509 *make(const Parts *p, X509 *issuer, X509 *named, EVP_PKEY *issuer_key, EVP_PKEY *key) {
        _cleanup_(X509_freep) X509 *x = X509_new();
        unsigned char *der = NULL;
        const unsigned char *q;
        X509 *read;
        int len;

        assert_non_null(x);
        X509_set_version(x, p->version);
        set_serial(x, p->serial);
        set_times(x, p);
        set_subject(x, p);
        X509_set_issuer_name(x, X509_get_subject_name(named));
        X509_set_pubkey(x, key);
        if (p->version == X509_VERSION_3)
                add_extensions(x, p->other_issuer ? named : issuer, p);
        assert_true(X509_sign(x, issuer_key, p->weak_digest ? EVP_sha1() : EVP_sha256()) > 0);
        if (p->other_inner)
                X509_ALGOR_set_md((X509_ALGOR *) X509_get0_tbs_sigalg(x), EVP_sha384());
        len = i2d_X509(x, &der);
        assert_true(len > 0);
        q = der;
        read = d2i_X509(NULL, &q, len);
        OPENSSL_free(der);
        assert_non_null(read);
        return read;
}

static int lint(const Parts *p, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *issuer_key = EVP_EC_gen("P-256");
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key =
                p->small_key ? EVP_RSA_gen(1024U) : EVP_EC_gen("P-384");
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *other = EVP_EC_gen("P-256");
        _cleanup_(X509_freep) X509 *issuer = authority(issuer_key, "Authority");
        _cleanup_(X509_freep) X509 *second = authority(other, "Another");
        _cleanup_(X509_freep) X509 *x = NULL;
        LintTerms terms = {
                .profile = p->profile,
                .issuer = issuer,
                .key = p->other_key ? other : key,
                .days_max = DAYS_MAX,
        };

        x = make(p, issuer, p->other_issuer ? second : issuer, issuer_key, key);
        return certificate_lint(x, &terms, e);
}

/* ---- tests ---- */

static void what_is_right_is_let_through(void **state) {
        Parts named = good, authority_parts = good, server = good, longest = good;
        Error e = {};

        assert_int_equal(lint(&good, &e), 0);
        named.names = "URI:csign://acme/release,email:release@acme.example";
        named.urls = "URI:http://pki.example/crl";
        named.extended = "codeSigning,emailProtection,1.3.6.1.4.1.311.10.3.13";
        named.country = NULL;
        assert_int_equal(lint(&named, &e), 0);
        longest.until = longest.from + DAYS_MAX * 86400L - 1;
        assert_int_equal(lint(&longest, &e), 0);
        authority_parts.profile = CERT_ISSUING;
        authority_parts.basic = "critical,CA:TRUE,pathlen:0";
        authority_parts.usage = "critical,keyCertSign,cRLSign";
        assert_int_equal(lint(&authority_parts, &e), 0);
        server.profile = CERT_TLS_SERVER;
        server.extended = "serverAuth";
        server.names = "DNS:localhost";
        assert_int_equal(lint(&server, &e), 0);
        assert_string_equal(e.detail, "");
}

#define LONG_NAME "Release aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
typedef struct Case {
        const char *rule;
        void (*spoil)(Parts *p);
} Case;

#define SPOIL(name, change)                                                                        \
        static void name(Parts *p) {                                                               \
                change;                                                                            \
        }

SPOIL(version_1, p->version = X509_VERSION_1)
SPOIL(short_serial, p->serial = "abcdef012345678")
SPOIL(negative_serial, p->serial = "-4abcdef0123456789abcdef012345678")
SPOIL(long_serial, p->serial = "4abcdef0123456789abcdef0123456789abcdef012345678")
SPOIL(weak_digest, p->weak_digest = true)
SPOIL(two_algorithms, p->other_inner = true)
SPOIL(odd_time, p->odd_time = true)
SPOIL(backwards, p->until = p->from - 1)
SPOIL(too_long, p->until = p->from + DAYS_MAX * 86400L)
SPOIL(over, (p->from = -7200, p->until = -3600))
SPOIL(no_subject, (p->common_name = NULL, p->country = NULL))
SPOIL(long_name, p->common_name = LONG_NAME)
SPOIL(control, p->common_name = "Rel\x07"
                                "ease")
SPOIL(country_utf8, p->country_type = V_ASN1_UTF8STRING)
SPOIL(other_issuer, p->other_issuer = true)
SPOIL(other_key, p->other_key = true)
SPOIL(small_key, p->small_key = true)
SPOIL(twice, (p->more = "keyUsage", p->more_value = "critical,digitalSignature"))
SPOIL(unknown_critical, (p->more = "1.2.3.4.5", p->more_value = "critical,ASN1:UTF8String:x"))
SPOIL(no_constraints, p->basic = NULL)
SPOIL(soft_constraints, p->basic = "CA:FALSE")
SPOIL(an_authority, p->basic = "critical,CA:TRUE,pathlen:0")
SPOIL(no_authority, (p->profile = CERT_ISSUING, p->usage = "critical,keyCertSign,cRLSign"))
SPOIL(no_path_length, (p->profile = CERT_ISSUING, p->usage = "critical,keyCertSign,cRLSign",
                       p->basic = "critical,CA:TRUE"))
SPOIL(no_usage, p->usage = NULL)
SPOIL(soft_usage, p->usage = "digitalSignature")
SPOIL(certifies, p->usage = "critical,digitalSignature,keyCertSign")
SPOIL(no_extended, p->extended = NULL)
SPOIL(not_code, p->extended = "emailProtection")
SPOIL(server_too, p->extended = "codeSigning,serverAuth")
SPOIL(any_too, p->extended = "codeSigning,anyExtendedKeyUsage")
SPOIL(time_too, p->extended = "codeSigning,timeStamping")
SPOIL(server_codes,
      (p->profile = CERT_TLS_SERVER, p->extended = "serverAuth,codeSigning", p->names = "DNS:x"))
SPOIL(no_authority_id, p->no_authority_id = true)
SPOIL(server_without_names, (p->profile = CERT_TLS_SERVER, p->extended = "serverAuth"))
SPOIL(file_url, p->urls = "URI:ldap://pki.example/crl")

static const Case cases[] = {
        { "lint-version", version_1 },
        { "lint-serial", short_serial },
        { "lint-serial", negative_serial },
        { "lint-serial", long_serial },
        { "lint-algorithm", weak_digest },
        { "lint-algorithm", two_algorithms },
        { "lint-dates", odd_time },
        { "lint-dates", backwards },
        { "lint-dates", too_long },
        { "lint-dates", over },
        { "lint-subject", no_subject },
        { "lint-subject", long_name },
        { "lint-subject", control },
        { "lint-subject", country_utf8 },
        { "lint-issuer", other_issuer },
        { "lint-key", other_key },
        { "lint-key", small_key },
        { "lint-duplicate", twice },
        { "lint-unknown", unknown_critical },
        { "lint-constraints", no_constraints },
        { "lint-constraints", soft_constraints },
        { "lint-constraints", an_authority },
        { "lint-constraints", no_authority },
        { "lint-constraints", no_path_length },
        { "lint-key-usage", no_usage },
        { "lint-key-usage", soft_usage },
        { "lint-key-usage", certifies },
        { "lint-extended-key-usage", no_extended },
        { "lint-extended-key-usage", not_code },
        { "lint-extended-key-usage", server_too },
        { "lint-extended-key-usage", any_too },
        { "lint-extended-key-usage", time_too },
        { "lint-extended-key-usage", server_codes },
        { "lint-key-identifier", no_authority_id },
        { "lint-names", server_without_names },
        { "lint-urls", file_url },
};

static void each_rule_refuses_what_breaks_it(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Parts p = good;
                Error e = {};

                cases[i].spoil(&p);
                assert_refused(lint(&p, &e), -CSIGN_E_BAD_REQUEST, &e);
                if (strcmp(e.rule, cases[i].rule) != 0)
                        print_message("case %zu: %s\n", i, e.detail);
                assert_string_equal(e.rule, cases[i].rule);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_right_is_let_through),
                cmocka_unit_test(each_rule_refuses_what_breaks_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
