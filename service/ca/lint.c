/* SPDX-License-Identifier: Apache-2.0 */
/* The rules, one function each, in the order in which they are asked. */

#include "service/ca/lint.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#define SERIAL_BITS_MIN  64
#define SERIAL_BYTES_MAX 20
#define RSA_BITS_MIN     2048

static bool is_authority(const LintTerms *t) {
        return t->profile == CERT_ROOT || t->profile == CERT_ISSUING;
}

static int fault(Error *e, const char *rule, const char *what) {
        ERR_clear_error();
        return error_set_rule(e, -CSIGN_E_BAD_REQUEST, rule, "the certificate is not issued: %s",
                              what);
}

/* ---- what every certificate has ---- */

static int lint_version(X509 *x, const LintTerms *t, Error *e) {
        return X509_get_version(x) == X509_VERSION_3
                       ? 0
                       : fault(e, "lint-version", "it is not X.509 v3");
}

/* 64 bits cannot be guessed; a number so short has not got them. */
static int lint_serial(X509 *x, const LintTerms *t, Error *e) {
        const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
        BIGNUM *bn = ASN1_INTEGER_to_BN(serial, NULL);
        bool negative = bn && BN_is_negative(bn);
        int bits = bn ? BN_num_bits(bn) : 0;

        BN_free(bn);
        if (negative)
                return fault(e, "lint-serial", "its serial number is negative");
        if (bits < SERIAL_BITS_MIN)
                return fault(e, "lint-serial", "its serial number has fewer than 64 bits");
        if (bits > SERIAL_BYTES_MAX * 8 - 1)
                return fault(e, "lint-serial", "its serial number has more than 20 bytes");
        return 0;
}

static int lint_algorithm(X509 *x, const LintTerms *t, Error *e) {
        const X509_ALGOR *outer;
        int md, bits;

        X509_get0_signature(NULL, &outer, x);
        if (X509_ALGOR_cmp(outer, X509_get0_tbs_sigalg(x)) != 0)
                return fault(e, "lint-algorithm", "its two signature algorithms differ");
        if (X509_get_signature_info(x, &md, NULL, &bits, NULL) != 1 || bits < 112)
                return fault(e, "lint-algorithm",
                             "its signature has less than 112 bits of strength");
        return 0;
}

/* RFC 5280 4.1.2.5: Zulu, seconds, no fraction; UTCTime up to 2049 and GeneralizedTime after. */
static bool time_is_plain(const ASN1_TIME *time) {
        const char *text = (const char *) ASN1_STRING_get0_data(time);
        int len = ASN1_STRING_length(time);
        struct tm tm;

        if (ASN1_TIME_to_tm(time, &tm) != 1 || len < 1 || text[len - 1] != 'Z')
                return false;
        return ASN1_STRING_type(time) == V_ASN1_UTCTIME ? len == 13 && tm.tm_year + 1900 < 2050
                                                        : len == 15 && tm.tm_year + 1900 >= 2050;
}

static int lint_dates(X509 *x, const LintTerms *t, Error *e) {
        const ASN1_TIME *from = X509_get0_notBefore(x), *to = X509_get0_notAfter(x);
        int days, seconds;

        if (!time_is_plain(from) || !time_is_plain(to))
                return fault(e, "lint-dates", "its dates are not in RFC 5280's form");
        if (ASN1_TIME_diff(&days, &seconds, from, to) != 1 || days < 0 || seconds < 0 ||
            (days == 0 && seconds == 0))
                return fault(e, "lint-dates", "it ends before it begins");
        if ((unsigned) days >= t->days_max)
                return fault(e, "lint-dates", "it is valid for longer than it may be");
        if (X509_cmp_time(to, NULL) <= 0)
                return fault(e, "lint-dates", "it has ended already");
        if (t->issuer && ASN1_TIME_compare(to, X509_get0_notAfter(t->issuer)) > 0)
                return fault(e, "lint-dates",
                             "it would outlive its authority: make a new one: csign ca renew");
        return 0;
}

/* ---- names ---- */

/* RFC 5280, appendix A: ub-... of what csign puts into names. */
static size_t attribute_max(int nid) {
        return nid == NID_countryName ? 2 : COMMON_NAME_MAX;
}

static bool attribute_is_fine(const X509_NAME_ENTRY *entry) {
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
        const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
        unsigned char *text = NULL;
        int len = ASN1_STRING_to_UTF8(&text, value);
        size_t characters = 0;
        bool ok = len > 0;

        for (int i = 0; i < len; i++) {
                ok = ok && text[i] >= 0x20 && text[i] != 0x7f;
                characters += (text[i] & 0xc0) != 0x80;
        }
        OPENSSL_free(text);
        return ok && characters <= attribute_max(nid) &&
               (nid != NID_countryName ||
                (characters == 2 && ASN1_STRING_type(value) == V_ASN1_PRINTABLESTRING)) &&
               (ASN1_STRING_type(value) == V_ASN1_UTF8STRING ||
                ASN1_STRING_type(value) == V_ASN1_PRINTABLESTRING);
}

static int lint_subject(X509 *x, const LintTerms *t, Error *e) {
        const X509_NAME *name = X509_get_subject_name(x);

        if (X509_NAME_entry_count(name) == 0)
                return fault(e, "lint-subject", "its subject is empty");
        for (int i = 0; i < X509_NAME_entry_count(name); i++)
                if (!attribute_is_fine(X509_NAME_get_entry(name, i)))
                        return fault(e, "lint-subject",
                                     "a part of its subject is empty, has control characters, or "
                                     "is longer than 64 characters (a country: two letters)");
        return 0;
}

static int lint_issuer(X509 *x, const LintTerms *t, Error *e) {
        const X509_NAME *above = X509_get_subject_name(t->issuer ? t->issuer : x);

        if (X509_NAME_cmp(X509_get_issuer_name(x), above) != 0)
                return fault(e, "lint-issuer", "its issuer is not the authority's subject");
        return 0;
}

/* ---- the key ---- */

static int lint_key(X509 *x, const LintTerms *t, Error *e) {
        EVP_PKEY *key = X509_get0_pubkey(x);

        if (!key || EVP_PKEY_eq(key, t->key) != 1)
                return fault(e, "lint-key", "it has another public key than the one asked for");
        if (EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) < RSA_BITS_MIN)
                return fault(e, "lint-key", "its RSA key has fewer than 2048 bits");
        if (EVP_PKEY_get_security_bits(key) < 112)
                return fault(e, "lint-key", "its key has less than 112 bits of strength");
        return 0;
}

/* ---- extensions ---- */

static bool is_critical(X509 *x, int nid) {
        int at = X509_get_ext_by_NID(x, nid, -1);

        return at >= 0 && X509_EXTENSION_get_critical(X509_get_ext(x, at));
}

static int lint_duplicate(X509 *x, const LintTerms *t, Error *e) {
        for (int i = 0; i < X509_get_ext_count(x); i++) {
                const ASN1_OBJECT *object = X509_EXTENSION_get_object(X509_get_ext(x, i));

                if (X509_get_ext_by_OBJ(x, object, i) >= 0)
                        return fault(e, "lint-duplicate", "an extension is there twice");
        }
        return 0;
}

static int lint_unknown(X509 *x, const LintTerms *t, Error *e) {
        static const int known[] = { NID_basic_constraints, NID_key_usage, NID_ext_key_usage };

        for (int i = 0; i < X509_get_ext_count(x); i++) {
                X509_EXTENSION *ext = X509_get_ext(x, i);
                int nid = OBJ_obj2nid(X509_EXTENSION_get_object(ext));
                bool found = !X509_EXTENSION_get_critical(ext);

                for (size_t k = 0; k < ELEMENTSOF(known); k++)
                        found = found || nid == known[k];
                if (!found)
                        return fault(e, "lint-unknown",
                                     "a critical extension is none that every verifier knows");
        }
        return 0;
}

static int lint_constraints(X509 *x, const LintTerms *t, Error *e) {
        long expected = t->profile == CERT_ROOT ? 1 : 0;
        uint32_t flags = X509_get_extension_flags(x);

        if (flags & EXFLAG_INVALID)
                return fault(e, "lint-constraints", "an extension does not decode");
        if (!is_critical(x, NID_basic_constraints))
                return fault(e, "lint-constraints", "it has no critical basicConstraints");
        if (!is_authority(t))
                return flags & EXFLAG_CA ? fault(e, "lint-constraints", "it would be an authority")
                                         : 0;
        if (!(flags & EXFLAG_CA))
                return fault(e, "lint-constraints", "it would not be an authority");
        /* Those that issue without a root have the path length of those that issue. */
        if (X509_get_pathlen(x) != expected)
                return fault(e, "lint-constraints", "its path length is not what its kind has");
        return 0;
}

static int lint_key_usage(X509 *x, const LintTerms *t, Error *e) {
        uint32_t expected = is_authority(t) ? KU_KEY_CERT_SIGN | KU_CRL_SIGN : KU_DIGITAL_SIGNATURE;

        if (!is_critical(x, NID_key_usage))
                return fault(e, "lint-key-usage", "it has no critical keyUsage");
        if (X509_get_key_usage(x) != expected)
                return fault(e, "lint-key-usage", "its keyUsage is not what its kind has");
        return 0;
}

/* Code that is signed and servers that are spoken to are not mixed (CSBR 7.1.2.3 f). */
static int lint_extended_key_usage(X509 *x, const LintTerms *t, Error *e) {
        uint32_t usage = X509_get_extended_key_usage(x);
        bool there = X509_get_ext_by_NID(x, NID_ext_key_usage, -1) >= 0;

        if (t->profile == CERT_ROOT)
                return there ? fault(e, "lint-extended-key-usage", "a root has none") : 0;
        if (t->profile == CERT_ISSUING && !there)
                return 0; /* the system's, which issues itself */
        if (t->profile == CERT_TLS_SERVER)
                return there && usage == XKU_SSL_SERVER
                               ? 0
                               : fault(e, "lint-extended-key-usage", "it is not serverAuth alone");
        if (!there || !(usage & XKU_CODE_SIGN))
                return fault(e, "lint-extended-key-usage", "it has no codeSigning");
        if (usage & (XKU_ANYEKU | XKU_SSL_SERVER | XKU_TIMESTAMP))
                return fault(e, "lint-extended-key-usage",
                             "serverAuth, timeStamping and any do not go with codeSigning");
        return 0;
}

static int lint_key_identifier(X509 *x, const LintTerms *t, Error *e) {
        const ASN1_OCTET_STRING *own = X509_get0_subject_key_id(x);
        const ASN1_OCTET_STRING *named = X509_get0_authority_key_id(x);
        const ASN1_OCTET_STRING *above = t->issuer ? X509_get0_subject_key_id(t->issuer) : own;

        if (!own || ASN1_STRING_length(own) == 0)
                return fault(e, "lint-key-identifier", "it has no subjectKeyIdentifier");
        if (!named && t->issuer)
                return fault(e, "lint-key-identifier", "it has no authorityKeyIdentifier");
        if (named && (!above || ASN1_OCTET_STRING_cmp(named, above) != 0))
                return fault(e, "lint-key-identifier",
                             "its authorityKeyIdentifier is not the authority's");
        return 0;
}

static int lint_names(X509 *x, const LintTerms *t, Error *e) {
        int at = X509_get_ext_by_NID(x, NID_subject_alt_name, -1);
        GENERAL_NAMES *names = at < 0 ? NULL : X509V3_EXT_d2i(X509_get_ext(x, at));
        int n = names ? sk_GENERAL_NAME_num(names) : 0;

        GENERAL_NAMES_free(names);
        if (at >= 0 && n == 0)
                return fault(e, "lint-names", "its subjectAltName is empty or does not decode");
        if (t->profile == CERT_TLS_SERVER && at < 0)
                return fault(e, "lint-names", "a server's has a subjectAltName");
        return 0;
}

/* Where its list is, as something that can be fetched; a verifier would wait for anything else. */
static bool points_at_url(const DIST_POINT *point) {
        const GENERAL_NAMES *names = point->distpoint && point->distpoint->type == 0
                                             ? point->distpoint->name.fullname
                                             : NULL;
        const GENERAL_NAME *name = names ? sk_GENERAL_NAME_value(names, 0) : NULL;

        return name && name->type == GEN_URI &&
               strncmp((const char *) ASN1_STRING_get0_data(name->d.uniformResourceIdentifier),
                       "http", 4) == 0;
}

static int lint_urls(X509 *x, const LintTerms *t, Error *e) {
        int at = X509_get_ext_by_NID(x, NID_crl_distribution_points, -1);
        CRL_DIST_POINTS *points = at < 0 ? NULL : X509V3_EXT_d2i(X509_get_ext(x, at));
        bool ok = at < 0 || (points && sk_DIST_POINT_num(points) > 0);

        for (int i = 0; ok && i < sk_DIST_POINT_num(points); i++)
                ok = points_at_url(sk_DIST_POINT_value(points, i));
        CRL_DIST_POINTS_free(points);
        return ok ? 0 : fault(e, "lint-urls", "its cRLDistributionPoints is no URL");
}

int certificate_lint(X509 *x, const LintTerms *t, Error *e) {
        static int (*const rules[])(X509 *, const LintTerms *, Error *) = {
                lint_version,        lint_serial,      lint_algorithm, lint_dates,
                lint_subject,        lint_issuer,      lint_key,       lint_duplicate,
                lint_unknown,        lint_constraints, lint_key_usage, lint_extended_key_usage,
                lint_key_identifier, lint_names,       lint_urls,
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(rules); i++)
                r = rules[i](x, t, e);
        return r;
}
