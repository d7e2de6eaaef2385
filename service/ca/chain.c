/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of outside authorities. */

#include "service/ca/chain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "lib/ossl.h"
#include "service/ca/ca-impl.h"
#include "service/clock.h"

#define BEGIN      "-----BEGIN "
#define END_MARK   "-----END CERTIFICATE-----"
#define CERT_LABEL "CERTIFICATE-----"

#define CLOCK_SKEW_SEC 300

void chain_done(CertChain *c) {
        for (size_t i = 0; i < c->n; i++)
                X509_free(c->certs[i]);
        *c = (CertChain){};
}

ssize_t der_length(const uint8_t *der, size_t len) {
        const unsigned char *p = der;
        int tag, class, flags;
        long content;

        if (len == 0)
                return 0;
        flags = ASN1_get_object(&p, &content, &tag, &class, (long) len);
        if (flags & 0x80 || flags & 1 || content < 0 ||
            (size_t) content > len - (size_t) (p - der)) {
                ERR_clear_error();
                return -EBADMSG;
        }
        return (p - der) + content;
}

/* ---- reading ---- */

static int bad(Error *e, size_t number, const char *what) {
        ERR_clear_error();
        return error_set(e, -CSIGN_E_BAD_REQUEST, "certificate %zu of the chain %s", number, what);
}

/* The base64 between the marks, without its line ends. */
static int read_base64(const char *text, size_t len, Buf *der) {
        _cleanup_(buf_done) Buf plain = BUF_MAX(2 * CHAIN_CERTIFICATE_MAX);
        int r = 0;

        for (const char *p = text, *end = text + len; r >= 0 && p < end;) {
                const char *stop = memchr(p, '\n', (size_t) (end - p));
                size_t n = (size_t) ((stop ? stop : end) - p);

                r = buf_append(&plain, p, n > 0 && p[n - 1] == '\r' ? n - 1 : n);
                p += n + (stop != NULL);
        }
        return r < 0 ? r : buf_decode_base64(der, buf_str(&plain), plain.len);
}

static int decode(const Buf *der, size_t number, X509 **ret, Error *e) {
        const unsigned char *p = der->data;
        _cleanup_(X509_freep) X509 *x = NULL;
        unsigned char *again = NULL;
        bool same;
        int len;

        x = d2i_X509(NULL, &p, (long) der->len);
        if (!x || p != der->data + der->len)
                return bad(e, number, "is not DER of a certificate");
        /* The bytes that were signed are kept as they came; the frame around them has one form. */
        len = i2d_X509(x, &again);
        same = len == (int) der->len && memcmp(again, der->data, der->len) == 0;
        OPENSSL_free(again);
        if (!same)
                return bad(e, number, "is not in DER's one form");
        if (!X509_get0_pubkey(x) || X509_get_version(x) != X509_VERSION_3)
                return bad(e, number, "is not X.509 v3 with a public key that can be read");
        *ret = TAKE(x);
        return 0;
}

static int read_block(const char *text, size_t len, CertChain *c, Error *e) {
        _cleanup_(buf_done) Buf der = BUF_MAX(CHAIN_CERTIFICATE_MAX);
        int r;

        if (c->n == CHAIN_CERTIFICATES_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "the chain has more than %d certificates",
                                 CHAIN_CERTIFICATES_MAX);
        r = read_base64(text, len, &der);
        if (r == -E2BIG)
                return bad(e, c->n + 1, "is larger than 16 KiB");
        if (r < 0)
                return bad(e, c->n + 1, "is not base64");
        r = decode(&der, c->n + 1, &c->certs[c->n], e);
        c->n += r >= 0;
        return r;
}

/* p is behind "-----BEGIN ". */
static int check_label(const char *p, Error *e) {
        size_t len = strcspn(p, "-\r\n");

        if (strncmp(p, CERT_LABEL, strlen(CERT_LABEL)) == 0)
                return 0;
        if (memmem(p, len, "PRIVATE KEY", strlen("PRIVATE KEY")))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "that is a private key: it left its place, and must not be used "
                                 "any more; only certificates belong here");
        return error_set(e, -CSIGN_E_BAD_REQUEST,
                         "there is a PEM block '%.*s': only CERTIFICATE may be",
                         (int) (len < 32 ? len : 32), p);
}

static int parse(const char *text, CertChain *c, Error *e) {
        const char *end;
        int r;

        for (const char *p = text; (p = strstr(p, BEGIN)); p = end + strlen(END_MARK)) {
                p += strlen(BEGIN);
                r = check_label(p, e);
                if (r < 0)
                        return r;
                p += strlen(CERT_LABEL);
                end = strstr(p, END_MARK);
                if (!end)
                        return bad(e, c->n + 1, "has no END line");
                p += p[0] == '\r';
                if (*p != '\n')
                        return bad(e, c->n + 1, "has something behind its BEGIN line");
                r = read_block(p + 1, (size_t) (end - p - 1), c, e);
                if (r < 0)
                        return r;
        }
        return c->n > 0 ? 0
                        : error_set(e, -CSIGN_E_BAD_REQUEST,
                                    "there is no certificate in PEM: a chain begins with the "
                                    "key's own, and its issuers follow");
}

int chain_parse(const char *pem, CertChain *ret, Error *e) {
        CertChain c = {};
        int r;

        r = parse(pem, &c, e);
        if (r < 0) {
                chain_done(&c);
                return r;
        }
        *ret = c;
        return 0;
}

/* ---- accepting ---- */

static int check_key(const CertChain *c, const Buf *spki, Error *e) {
        const unsigned char *p = spki->data;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long) spki->len);
        EVP_PKEY *first = X509_get0_pubkey(c->certs[0]);

        if (key && EVP_PKEY_eq(first, key) == 1)
                return 0;
        for (size_t i = 1; key && i < c->n; i++)
                if (EVP_PKEY_eq(X509_get0_pubkey(c->certs[i]), key) == 1)
                        return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "chain-order",
                                              "the key's certificate is number %zu: it has to be "
                                              "the first",
                                              i + 1);
        return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "chain-key",
                              "the first certificate is of another public key than this version of "
                              "the key");
}

static bool issued_itself(X509 *x) {
        return X509_check_issued(x, x) == X509_V_OK;
}

static int check_order(const CertChain *c, Error *e) {
        for (size_t i = 0; i + 1 < c->n; i++) {
                if (X509_NAME_cmp(X509_get_issuer_name(c->certs[i]),
                                  X509_get_subject_name(c->certs[i + 1])) == 0 &&
                    X509_verify(c->certs[i], X509_get0_pubkey(c->certs[i + 1])) == 1)
                        continue;
                ERR_clear_error();
                return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "chain-order",
                                      "certificate %zu is not by the one behind it: each is "
                                      "followed by its issuer",
                                      i + 1);
        }
        if (c->n == 1 && !issued_itself(c->certs[0]))
                return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "chain-order",
                                      "the certificate's issuer is not behind it: give the whole "
                                      "chain");
        return 0;
}

static int to_usec(const ASN1_TIME *time, uint64_t *ret) {
        struct tm tm;
        time_t sec;

        if (ASN1_TIME_to_tm(time, &tm) != 1)
                return -EBADMSG;
        sec = timegm(&tm);
        if (sec < 0)
                return -EBADMSG;
        *ret = (uint64_t) sec * USEC_PER_SEC;
        return 0;
}

static int read_times(X509 *x, uint64_t *from, uint64_t *to, Error *e) {
        if (to_usec(X509_get0_notBefore(x), from) < 0 || to_usec(X509_get0_notAfter(x), to) < 0 ||
            *to <= *from)
                return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "chain-dates",
                                      "the certificate's dates make no sense");
        return 0;
}

static int check_dates(const CertChain *c, unsigned days_max, Error *e) {
        uint64_t now = clock_now(), from, to;
        char text[CLOCK_TEXT_MAX];
        int r;

        r = read_times(c->certs[0], &from, &to, e);
        if (r < 0)
                return r;
        if (to <= now)
                return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "chain-dates",
                                      "the certificate expired at %s",
                                      clock_text_seconds(to, text));
        if (from > now + CLOCK_SKEW_SEC * USEC_PER_SEC)
                return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "chain-dates",
                                      "the certificate is not valid before %s: bring it then",
                                      clock_text_seconds(from, text));
        if (to - from > days_max * USEC_PER_DAY)
                return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "chain-dates",
                                      "the certificate is valid for %llu days, and may be for %u "
                                      "(imported-certificate-days)",
                                      (unsigned long long) ((to - from) / USEC_PER_DAY), days_max);
        return 0;
}

DEFINE_CLEANUP(X509_STORE, X509_STORE_free)
DEFINE_CLEANUP(X509_STORE_CTX, X509_STORE_CTX_free)

static int verify_failed(X509_STORE_CTX *ctx, Error *e) {
        ERR_clear_error();
        return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "chain-verify",
                              "the chain does not verify: certificate %d: %s",
                              X509_STORE_CTX_get_error_depth(ctx) + 1,
                              X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
}

/* As a verifier would who trusts the last one: constraints, usages, path lengths, critical
 * extensions, strength. */
static int check_verify(const CertChain *c, Error *e) {
        _cleanup_(X509_STORE_freep) X509_STORE *store = X509_STORE_new();
        _cleanup_(X509_STORE_CTX_freep) X509_STORE_CTX *ctx = X509_STORE_CTX_new();
        STACK_OF(X509) *between = sk_X509_new_null();
        int r = -ENOMEM;

        if (!store || !ctx || !between || X509_STORE_add_cert(store, c->certs[c->n - 1]) != 1)
                goto finish;
        for (size_t i = 1; i + 1 < c->n; i++)
                if (sk_X509_push(between, c->certs[i]) <= 0)
                        goto finish;
        if (X509_STORE_CTX_init(ctx, store, c->certs[0], between) != 1)
                goto finish;
        X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx),
                                    X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_CHECK_SS_SIGNATURE);
        X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(ctx), 2);
        r = X509_verify_cert(ctx) == 1 ? 0 : verify_failed(ctx, e);
finish:
        sk_X509_free(between);
        return r;
}

/* A certificate that stands alone is its own proof: no store may vouch for it. */
static int check_alone(const CertChain *c, Error *e) {
        if (c->n > 1 || X509_verify(c->certs[0], X509_get0_pubkey(c->certs[0])) == 1)
                return 0;
        ERR_clear_error();
        return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "chain-verify",
                              "the certificate's own signature does not verify");
}

int chain_check(const CertChain *c, const Buf *spki, unsigned days_max, Error *e) {
        int r;

        r = check_key(c, spki, e);
        if (r >= 0)
                r = check_order(c, e);
        if (r >= 0)
                r = check_dates(c, days_max, e);
        if (r >= 0)
                r = check_alone(c, e);
        return r < 0 ? r : check_verify(c, e);
}

/* ---- storing ---- */

static int append_der(X509 *x, Buf *ret, Error *e) {
        _cleanup_(buf_done) Buf der = {};
        unsigned char *p = NULL;
        int len = i2d_X509(x, &p), r;

        r = take_der(&der, p, len, e);
        return r < 0 ? r : buf_append(ret, der.data, der.len);
}

int chain_certificate(const CertChain *c, Certificate *ret, Error *e) {
        int r;

        ret->created = clock_now();
        r = id_new(ret->id, "crt");
        if (r >= 0)
                r = read_times(c->certs[0], &ret->not_before, &ret->not_after, e);
        if (r >= 0)
                r = append_der(c->certs[0], &ret->der, e);
        if (r >= 0 && certificate_serial(&ret->der, ret->serial) < 0)
                r = error_set_rule(e, -CSIGN_E_BAD_REQUEST, "chain-verify",
                                   "the certificate's serial number is not one of 1 to 20 bytes");
        for (size_t i = 1; r >= 0 && i < c->n; i++)
                r = append_der(c->certs[i], &ret->chain, e);
        return r;
}
