/* SPDX-License-Identifier: Apache-2.0 */

/* OSSL_STORE_find(), for one key and its certificates. */

#include "provider/store-search.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "lib/ossl.h"

DEFINE_CLEANUP(BIGNUM, BN_free)

void search_done(Search *s) {
        X509_NAME_free(s->subject);
        X509_NAME_free(s->issuer);
        BN_free(s->serial);
        free(s->digest);
        free(s->alias);
        buf_done(&s->fingerprint);
        *s = (Search){};
}

/* ---- criteria ---- */

static int set_name(X509_NAME **name, const OSSL_PARAM *p) {
        const uint8_t *der;
        size_t len;

        if (!OSSL_PARAM_get_octet_string_ptr(p, (const void **) &der, &len))
                return 0;

        X509_NAME_free(*name);
        *name = d2i_X509_NAME(NULL, &der, (long) len);
        return *name != NULL;
}

static int set_text(char **text, const OSSL_PARAM *p) {
        const char *value = NULL;

        if (!OSSL_PARAM_get_utf8_string_ptr(p, &value) || !value)
                return 0;

        free(*text);
        *text = strdup(value);
        return *text != NULL;
}

static int set_bytes(Buf *bytes, const OSSL_PARAM *p) {
        const void *value;
        size_t len;

        if (!OSSL_PARAM_get_octet_string_ptr(p, &value, &len))
                return 0;

        buf_done(bytes);
        return buf_append(bytes, value, len) >= 0;
}

int search_set(Search *s, const OSSL_PARAM params[]) {
        const OSSL_PARAM *p;

        if ((p = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_SUBJECT)) &&
            !set_name(&s->subject, p))
                return 0;
        if ((p = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_ISSUER)) &&
            !set_name(&s->issuer, p))
                return 0;
        if ((p = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_SERIAL)) &&
            !OSSL_PARAM_get_BN(p, &s->serial))
                return 0;
        if ((p = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_DIGEST)) &&
            !set_text(&s->digest, p))
                return 0;
        if ((p = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_FINGERPRINT)) &&
            !set_bytes(&s->fingerprint, p))
                return 0;
        p = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_ALIAS);
        return !p || set_text(&s->alias, p);
}

/* ---- matching ---- */

static bool matches_alias(const Search *s, const char *path) {
        const char *slash = strrchr(path, '/');

        return !s->alias || strcmp(s->alias, path) == 0 ||
               (slash && strcmp(s->alias, slash + 1) == 0);
}

static bool matches_fingerprint(const Search *s, OSSL_LIB_CTX *libctx, const Buf *der) {
        uint8_t hash[EVP_MAX_MD_SIZE];
        size_t len = 0;

        if (s->fingerprint.len == 0)
                return true;
        return s->digest &&
               EVP_Q_digest(libctx, s->digest, NULL, der->data, der->len, hash, &len) == 1 &&
               len == s->fingerprint.len && memcmp(hash, s->fingerprint.data, len) == 0;
}

static bool matches_serial(const Search *s, const X509 *x) {
        _cleanup_(BN_freep) BIGNUM *serial = NULL;

        if (!s->serial)
                return true;
        serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
        return serial && BN_cmp(serial, s->serial) == 0;
}

static bool matches_names(const Search *s, OSSL_LIB_CTX *libctx, const Buf *der) {
        _cleanup_(X509_freep) X509 *x = NULL;
        const uint8_t *p = der->data;

        /* One that cannot be read is left to the application to complain of. */
        if (!s->subject && !s->issuer && !s->serial)
                return true;

        x = X509_new_ex(libctx, NULL);
        if (!x || !d2i_X509(&x, &p, (long) der->len))
                return false;
        return (!s->subject || X509_NAME_cmp(X509_get_subject_name(x), s->subject) == 0) &&
               (!s->issuer || X509_NAME_cmp(X509_get_issuer_name(x), s->issuer) == 0) &&
               matches_serial(s, x);
}

bool search_matches_key(const Search *s, OSSL_LIB_CTX *libctx, const char *path, const Buf *spki) {
        return !s->subject && !s->issuer && !s->serial && matches_alias(s, path) &&
               matches_fingerprint(s, libctx, spki);
}

bool search_matches_certificate(const Search *s, OSSL_LIB_CTX *libctx, const char *path,
                                const Buf *der) {
        return matches_alias(s, path) && matches_fingerprint(s, libctx, der) &&
               matches_names(s, libctx, der);
}
