/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in authority: P-256, its key in the key store.  A certificate is made from parts that
 * are fixed for its profile, linted, signed (sign.c), and verified before anybody gets it. */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "lib/ossl.h"
#include "service/ca/ca-impl.h"
#include "service/ca/lint.h"
#include "service/clock.h"

#define ROOT_DAYS    7300
#define ISSUING_DAYS 3650
#define KEY_VERSION  1

typedef struct Extension {
        int nid;
        const char *value;
} Extension;

/* clang-format off */
static const Extension root_extensions[] = {
        { NID_basic_constraints, "critical,CA:TRUE,pathlen:1" },
        { NID_key_usage, "critical,keyCertSign,cRLSign" },
        {},
};
static const Extension issuing_extensions[] = {
        { NID_basic_constraints, "critical,CA:TRUE,pathlen:0" },
        { NID_key_usage, "critical,keyCertSign,cRLSign" },
        { NID_ext_key_usage, "codeSigning,emailProtection," OID_LIFETIME_SIGNING },
        {},
};
static const Extension system_extensions[] = {
        { NID_basic_constraints, "critical,CA:TRUE,pathlen:0" },
        { NID_key_usage, "critical,keyCertSign,cRLSign" },
        {},
};
static const Extension code_signing_extensions[] = {
        { NID_basic_constraints, "critical,CA:FALSE" },
        { NID_key_usage, "critical,digitalSignature" },
        {},
};
static const Extension tls_server_extensions[] = {
        { NID_basic_constraints, "critical,CA:FALSE" },
        { NID_key_usage, "critical,digitalSignature" },
        { NID_ext_key_usage, "serverAuth" },
        {},
};
/* clang-format on */

/* ---- names, numbers, times ---- */

/* 128 random bits, positive, and never short. */
static bool set_serial(X509 *x, char hex[static CERT_SERIAL_MAX]) {
        unsigned char raw[16];
        BIGNUM *bn = NULL;
        bool ok = false;

        if (RAND_bytes(raw, sizeof(raw)) != 1)
                return false;
        raw[0] = (unsigned char) ((raw[0] & 0x7f) | 0x40);
        bn = BN_bin2bn(raw, sizeof(raw), NULL);
        if (bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x))) {
                for (size_t i = 0; i < sizeof(raw); i++)
                        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
                ok = true;
        }
        BN_free(bn);
        return ok;
}

/* ASN1_TIME_set() chooses between UTCTime and GeneralizedTime as RFC 5280 wants it. */
static bool set_times(X509 *x, uint64_t not_before, uint64_t not_after) {
        return ASN1_TIME_set(X509_getm_notBefore(x), (time_t) (not_before / USEC_PER_SEC)) &&
               ASN1_TIME_set(X509_getm_notAfter(x), (time_t) (not_after / USEC_PER_SEC));
}

static X509 *new_certificate(const Buf *spki, const CertPolicy *policy, const char *common_name,
                             char serial[static CERT_SERIAL_MAX]) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(X509_freep) X509 *x = X509_new();
        const unsigned char *p = spki->data;

        key = d2i_PUBKEY(NULL, &p, (long) spki->len);
        if (!x || !key || X509_set_version(x, X509_VERSION_3) != 1 || !set_serial(x, serial) ||
            X509_set_pubkey(x, key) != 1 ||
            !policy_subject(policy, common_name, X509_get_subject_name(x)))
                return NULL;
        return TAKE(x);
}

/* ---- extensions ---- */

static bool add_extension(X509 *x, X509V3_CTX *ctx, int nid, const char *value) {
        X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
        bool ok = ext && X509_add_ext(x, ext, -1) == 1;

        X509_EXTENSION_free(ext);
        return ok;
}

static bool add_url(X509 *x, X509V3_CTX *ctx, int nid, const char *what, const char *base_url,
                    const Authority *issuer, const char *leaf) {
        char value[CERT_URL_MAX + 128];

        return snprintf(value, sizeof(value), "%sURI:%s/v1/authorities/%s/%s", what, base_url,
                        issuer->id, leaf) < (int) sizeof(value) &&
               add_extension(x, ctx, nid, value);
}

/* What all have; above NULL: it is signed by itself.  urls NULL: nobody serves lists. */
static bool add_extensions(X509 *x, X509 *above, const Extension list[], const Authority *issuer,
                           const char *base_url) {
        X509V3_CTX ctx;

        X509V3_set_ctx_nodb(&ctx);
        X509V3_set_ctx(&ctx, above ? above : x, x, NULL, NULL, 0);
        for (const Extension *ext = list; ext->value; ext++)
                if (!add_extension(x, &ctx, ext->nid, ext->value))
                        return false;
        if (!add_extension(x, &ctx, NID_subject_key_identifier, "hash"))
                return false;
        if (above && !add_extension(x, &ctx, NID_authority_key_identifier, "keyid:always"))
                return false;
        return !above || !base_url ||
               (add_url(x, &ctx, NID_crl_distribution_points, "", base_url, issuer, "crl") &&
                add_url(x, &ctx, NID_info_access, "caIssuers;", base_url, issuer, "certificate"));
}

static int add_policy(X509 *x, const CertPolicy *p, const char *path, Error *e) {
        STACK_OF(X509_EXTENSION) *list = NULL;
        int r;

        r = policy_extensions(p, path, &list, e);
        for (int i = 0; r >= 0 && i < sk_X509_EXTENSION_num(list); i++)
                if (X509_add_ext(x, sk_X509_EXTENSION_value(list, i), -1) != 1)
                        r = openssl_fail(e, "cannot set an extension");
        sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
        return r;
}

static bool add_names(X509 *x, const char *names) {
        X509V3_CTX ctx;

        X509V3_set_ctx_nodb(&ctx);
        X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
        return add_extension(x, &ctx, NID_subject_alt_name, names);
}

/* ---- linting, signing, verifying ---- */

static X509 *decode(const Buf *der) {
        const unsigned char *p = der->data;

        return d2i_X509(NULL, &p, (long) der->len);
}

static int encode(X509 *x, Buf *der, Error *e) {
        unsigned char *p = NULL;
        int len = i2d_X509(x, &p);

        return take_der(der, p, len, e);
}

/* It is linted as it will be read, with the throw-away signature in the real one's place. */
static int lint(X509 *x, const LintTerms *terms, Error *e) {
        _cleanup_(buf_done) Buf der = {};
        _cleanup_(X509_freep) X509 *read = NULL;
        int r;

        r = encode(x, &der, e);
        if (r < 0)
                return r;
        read = decode(&der);
        return read ? certificate_lint(read, terms, e)
                    : openssl_fail(e, "the certificate does not decode");
}

static int sign_tbs(Keystore *ks, const Authority *a, X509 *x, Error *e) {
        _cleanup_(buf_done) Buf sig = BUF_MAX(SIGNATURE_MAX), tbs = {};
        const ASN1_BIT_STRING *bits;
        unsigned char *p = NULL;
        int len, r;

        len = i2d_re_X509_tbs(x, &p);
        r = take_der(&tbs, p, len, e);
        if (r >= 0)
                r = authority_sign(ks, a, tbs.data, tbs.len, &sig, e);
        X509_get0_signature(&bits, NULL, x);
        return r < 0 ? r : put_signature(bits, &sig, e);
}

/* What will be handed out is read again from its bytes, and verified as anybody else would. */
static int verify(const Buf *der, const Buf *issuer_spki, Error *e) {
        _cleanup_(X509_freep) X509 *x = decode(der);
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        const unsigned char *q = issuer_spki->data;

        key = d2i_PUBKEY(NULL, &q, (long) issuer_spki->len);
        if (!x || !key || X509_verify(x, key) != 1)
                return openssl_fail(e, "the new certificate does not verify");
        return 0;
}

static int sign_certificate(Keystore *ks, const Authority *a, X509 *x, const LintTerms *terms,
                            Buf *der, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = throw_away_key();
        int r;

        if (!key || X509_sign(x, key, EVP_sha256()) <= 0)
                return openssl_fail(e, "cannot prepare the signature");
        r = lint(x, terms, e);
        if (r >= 0)
                r = sign_tbs(ks, a, x, e);
        if (r >= 0)
                r = encode(x, der, e);
        if (r >= 0)
                r = verify(der, &a->spki, e);
        return r;
}

/* ---- the operations ---- */

static EVP_PKEY *public_key(const Buf *spki) {
        const unsigned char *p = spki->data;

        return d2i_PUBKEY(NULL, &p, (long) spki->len);
}

static int certify_authority(Keystore *ks, const Authority *issuer, const char *base_url,
                             Authority *a, Error *e) {
        const Extension *extensions = a->kind == AUTHORITY_ROOT ? root_extensions
                                      : issuer                  ? issuing_extensions
                                                                : system_extensions;
        unsigned days = a->kind == AUTHORITY_ROOT ? ROOT_DAYS : ISSUING_DAYS;
        uint64_t from = a->created - CERT_BACKDATE_SEC * USEC_PER_SEC;
        _cleanup_(X509_freep) X509 *above = issuer ? decode(&issuer->certificate) : NULL, *x = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = public_key(&a->spki);
        LintTerms terms = {
                .profile = a->kind == AUTHORITY_ROOT ? CERT_ROOT : CERT_ISSUING,
                .issuer = above,
                .key = key,
                .days_max = days,
        };
        char serial[CERT_SERIAL_MAX];

        x = new_certificate(&a->spki, &a->policy, a->subject, serial);
        if (!key || !x || (issuer && !above) ||
            X509_set_issuer_name(x, X509_get_subject_name(above ? above : x)) != 1 ||
            !set_times(x, from, from + days * USEC_PER_DAY - USEC_PER_SEC) ||
            !add_extensions(x, above, extensions, issuer, base_url))
                return openssl_fail(e, "cannot make an authority's certificate");
        return sign_certificate(ks, issuer ? issuer : a, x, &terms, &a->certificate, e);
}

static int builtin_create(Keystore *ks, const Authority *issuer, const char *base_url, Authority *a,
                          Error *e) {
        const KeyAlg *alg = key_alg_by_name("P-256");
        int r;

        r = keystore_generate(ks, a->id, KEY_VERSION, alg, alg->schemes, KEY_USAGE_CA, &a->spki,
                              &a->sealed, e);
        return r < 0 ? r : certify_authority(ks, issuer, base_url, a, e);
}

static int add_profile(X509 *x, const Authority *a, const CertRequest *req, Error *e) {
        if (req->profile == CERT_CODE_SIGNING)
                return add_policy(x, &a->policy, req->path, e);
        return add_names(x, req->names) ? 0 : openssl_fail(e, "cannot set the names");
}

static int builtin_issue(Keystore *ks, const Authority *a, const CertRequest *req, Certificate *ret,
                         Error *e) {
        bool is_server = req->profile == CERT_TLS_SERVER;
        _cleanup_(X509_freep) X509 *above = decode(&a->certificate), *x = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = public_key(req->spki);
        LintTerms terms = {
                .profile = req->profile, .issuer = above, .key = key, .days_max = req->days_max
        };
        int r;

        x = new_certificate(req->spki, is_server ? &(CertPolicy){} : &a->policy, req->common_name,
                            ret->serial);
        if (!above || !key || !x || X509_set_issuer_name(x, X509_get_subject_name(above)) != 1 ||
            !set_times(x, ret->not_before, ret->not_after) ||
            !add_extensions(x, above, is_server ? tls_server_extensions : code_signing_extensions,
                            a, req->base_url))
                return openssl_fail(e, "cannot make the certificate");
        r = add_profile(x, a, req, e);
        return r < 0 ? r : sign_certificate(ks, a, x, &terms, &ret->der, e);
}

const CaOps ca_builtin = {
        .name = "builtin",
        .create = builtin_create,
        .issue = builtin_issue,
};
