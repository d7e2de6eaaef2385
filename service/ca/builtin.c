/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in authority: P-256, its key in the key store.
 *
 * OpenSSL signs a certificate only with a private key at hand, and ours is in another process.  So
 * a throw-away key signs first, which puts the algorithm's identifiers in their places; then the
 * key store signs the digest of the same bytes, and its signature takes the place of the first. The
 * result is verified with the authority's public key before anybody gets it. */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "lib/ossl.h"
#include "service/ca/ca-impl.h"
#include "service/clock.h"
#include "service/digest.h"

#define AUTHORITY_DAYS 3650
#define KEY_VERSION    1

typedef struct Extension {
        int nid;
        const char *value;
} Extension;

/* clang-format off */
static const Extension authority_extensions[] = {
        { NID_basic_constraints, "critical,CA:TRUE,pathlen:0" },
        { NID_key_usage, "critical,keyCertSign,cRLSign" },
        { NID_subject_key_identifier, "hash" },
        {},
};
static const Extension code_signing_extensions[] = {
        { NID_basic_constraints, "critical,CA:FALSE" },
        { NID_key_usage, "critical,digitalSignature" },
        { NID_ext_key_usage, "codeSigning" },
        { NID_subject_key_identifier, "hash" },
        { NID_authority_key_identifier, "keyid:always" },
        {},
};
static const Extension tls_server_extensions[] = {
        { NID_basic_constraints, "critical,CA:FALSE" },
        { NID_key_usage, "critical,digitalSignature" },
        { NID_ext_key_usage, "serverAuth" },
        { NID_subject_key_identifier, "hash" },
        { NID_authority_key_identifier, "keyid:always" },
        {},
};
/* clang-format on */

static int fail(Error *e, const char *what) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        int r;

        r = error_set(e, -EIO, "cannot make the certificate: %s: %s", what,
                      reason ? reason : "OpenSSL refuses");
        ERR_clear_error();
        return r;
}

/* ---- the certificate's parts ---- */

static bool set_name(X509_NAME *name, const char *common_name) {
        return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                          (const unsigned char *) common_name, -1, -1, 0) == 1;
}

/* 128 random bits, positive, and never short. */
static bool set_serial(X509 *x, char hex[static 41]) {
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

static bool set_times(X509 *x, uint64_t not_before, uint64_t not_after) {
        return ASN1_TIME_set(X509_getm_notBefore(x), (time_t) (not_before / USEC_PER_SEC)) &&
               ASN1_TIME_set(X509_getm_notAfter(x), (time_t) (not_after / USEC_PER_SEC));
}

static bool add_extension(X509 *x, X509V3_CTX *ctx, int nid, const char *value) {
        X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
        bool ok = ext && X509_add_ext(x, ext, -1) == 1;

        X509_EXTENSION_free(ext);
        return ok;
}

static bool add_extensions(X509 *x, X509 *issuer, const Extension list[], const char *names) {
        X509V3_CTX ctx;

        X509V3_set_ctx_nodb(&ctx);
        X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
        for (const Extension *ext = list; ext->value; ext++)
                if (!add_extension(x, &ctx, ext->nid, ext->value))
                        return false;
        return !names || add_extension(x, &ctx, NID_subject_alt_name, names);
}

/* ---- the signature ---- */

static int throw_away_sign(X509 *x, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");

        return key && X509_sign(x, key, EVP_sha256()) > 0 ? 0 : fail(e, "preparing the signature");
}

static int keystore_sign_tbs(Keystore *ks, const Authority *a, X509 *x, Buf *sig, Error *e) {
        uint8_t digest[SHA256_SIZE];
        SignRequest req = {
                .key_id = a->id,
                .version = KEY_VERSION,
                .scheme = SCHEME_ECDSA,
                .hash = hash_alg_by_name("SHA256"),
                .digest = digest,
                .digest_len = sizeof(digest),
        };
        KeystoreSign call = {
                .req = &req,
                .usage = KEY_USAGE_CA,
                .sealed = a->sealed.data,
                .sealed_len = a->sealed.len,
                .sig = sig,
        };
        unsigned char *tbs = NULL;
        int len, r;

        len = i2d_re_X509_tbs(x, &tbs);
        if (len <= 0)
                return fail(e, "encoding");
        sha256(tbs, (size_t) len, digest);
        OPENSSL_free(tbs);

        r = keystore_sign(ks, &call);
        if (r < 0 && e)
                *e = call.e;
        return r;
}

static int put_signature(X509 *x, const Buf *sig, Error *e) {
        const ASN1_BIT_STRING *bits;

        X509_get0_signature(&bits, NULL, x);
        /* The certificate is ours and not shared yet; OpenSSL has no other way in. */
        if (ASN1_BIT_STRING_set((ASN1_BIT_STRING *) bits, sig->data, (int) sig->len) != 1)
                return fail(e, "setting the signature");
        ((ASN1_BIT_STRING *) bits)->flags &= ~(ASN1_STRING_FLAG_BITS_LEFT | 0x07);
        ((ASN1_BIT_STRING *) bits)->flags |= ASN1_STRING_FLAG_BITS_LEFT;
        return 0;
}

static int encode(X509 *x, Buf *der, Error *e) {
        unsigned char *p = NULL;
        int len = i2d_X509(x, &p), r;

        if (len <= 0)
                return fail(e, "encoding");
        buf_clear(der);
        r = buf_append(der, p, (size_t) len);
        OPENSSL_free(p);
        return r;
}

/* What will be handed out is read again from its bytes, and verified as anybody else would. */
static int verify(const Buf *der, const Buf *issuer_spki, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(X509_freep) X509 *x = NULL;
        const unsigned char *p = der->data, *q = issuer_spki->data;

        x = d2i_X509(NULL, &p, (long) der->len);
        key = d2i_PUBKEY(NULL, &q, (long) issuer_spki->len);
        if (!x || !key || X509_verify(x, key) != 1)
                return fail(e, "it does not verify");
        return 0;
}

static int sign_certificate(Keystore *ks, const Authority *a, X509 *x, Buf *der, Error *e) {
        _cleanup_(buf_done) Buf sig = BUF_MAX(SIGNATURE_MAX);
        int r;

        r = throw_away_sign(x, e);
        if (r >= 0)
                r = keystore_sign_tbs(ks, a, x, &sig, e);
        if (r >= 0)
                r = put_signature(x, &sig, e);
        if (r >= 0)
                r = encode(x, der, e);
        if (r >= 0)
                r = verify(der, &a->spki, e);
        return r;
}

/* ---- the operations ---- */

static X509 *new_certificate(const Buf *spki, const char *common_name, char serial[static 41]) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(X509_freep) X509 *x = X509_new();
        const unsigned char *p = spki->data;

        key = d2i_PUBKEY(NULL, &p, (long) spki->len);
        if (!x || !key || X509_set_version(x, X509_VERSION_3) != 1 || !set_serial(x, serial) ||
            X509_set_pubkey(x, key) != 1 || !set_name(X509_get_subject_name(x), common_name))
                return NULL;
        return TAKE(x);
}

static int builtin_create(Keystore *ks, Authority *a, Error *e) {
        _cleanup_(X509_freep) X509 *x = NULL;
        const KeyAlg *alg = key_alg_by_name("P-256");
        char serial[41];
        int r;

        r = keystore_generate(ks, a->id, KEY_VERSION, alg, alg->schemes, KEY_USAGE_CA, &a->spki,
                              &a->sealed, e);
        if (r < 0)
                return r;

        x = new_certificate(&a->spki, a->subject, serial);
        if (!x || X509_set_issuer_name(x, X509_get_subject_name(x)) != 1 ||
            !set_times(x, a->created - CERT_BACKDATE_SEC * USEC_PER_SEC,
                       a->created + AUTHORITY_DAYS * USEC_PER_DAY) ||
            !add_extensions(x, x, authority_extensions, NULL))
                return fail(e, "an authority's");
        return sign_certificate(ks, a, x, &a->certificate, e);
}

static int builtin_issue(Keystore *ks, const Authority *a, const CertRequest *req, Certificate *ret,
                         Error *e) {
        const Extension *extensions =
                req->profile == CERT_TLS_SERVER ? tls_server_extensions : code_signing_extensions;
        _cleanup_(X509_freep) X509 *issuer = NULL, *x = NULL;
        const unsigned char *p = a->certificate.data;

        issuer = d2i_X509(NULL, &p, (long) a->certificate.len);
        if (!issuer)
                return fail(e, "the authority's own does not decode");

        x = new_certificate(req->spki, req->common_name, ret->serial);
        if (!x || X509_set_issuer_name(x, X509_get_subject_name(issuer)) != 1 ||
            !set_times(x, ret->not_before, ret->not_after) ||
            !add_extensions(x, issuer, extensions,
                            req->profile == CERT_TLS_SERVER ? req->names : NULL))
                return fail(e, "its parts");
        return sign_certificate(ks, a, x, &ret->der, e);
}

const CaOps ca_builtin = {
        .name = "builtin",
        .create = builtin_create,
        .issue = builtin_issue,
};
