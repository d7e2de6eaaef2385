/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/credential.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <openssl/x509v3.h>

#include "lib/file.h"
#include "lib/key-provider.h"
#include "lib/ossl.h"
#include "lib/provider-key.h"

#define CREDENTIAL_MAX  ((size_t) 64 * 1024)
#define RSA_BITS_MIN    2048
#define CERT_DAYS       3650
#define SECONDS_PER_DAY (24L * 60 * 60)

/* ---- the key ---- */

/* Nobody is there to type a pass phrase, and OpenSSL's own prompt would hang on a terminal. */
static int no_pass_phrase(char *buf, int size, int rwflag, void *userdata) {
        *(bool *) userdata = true;
        return -1;
}

/* Ends the store. */
static EVP_PKEY *store_first_key(OSSL_STORE_CTX *store) {
        OSSL_STORE_INFO *info;
        EVP_PKEY *key = NULL;

        if (!store)
                return NULL;
        (void) OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY);
        while (!key && !OSSL_STORE_eof(store) && !OSSL_STORE_error(store)) {
                info = OSSL_STORE_load(store);
                if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
                        key = OSSL_STORE_INFO_get1_PKEY(info);
                OSSL_STORE_INFO_free(info);
        }
        (void) OSSL_STORE_close(store);
        return key;
}

static int no_key(const char *place, bool asked, bool provided, Error *e) {
        if (asked)
                return error_set(e, -CSIGN_E_BAD_CREDENTIAL,
                                 "%s is encrypted: a daemon cannot type its pass phrase", place);
        if (provided)
                return error_set(e, -CSIGN_E_BAD_CREDENTIAL,
                                 "%s holds no private key that its provider can use (%s)", place,
                                 key_provider_reason());
        return error_set(e, -CSIGN_E_BAD_CREDENTIAL,
                         "%s holds no private key that OpenSSL can read", place);
}

/* text: the file's content; NULL: name is a URI that the provider knows. */
static int parse_key(const Secret *text, const char *name, const KeyProvider *provider,
                     EVP_PKEY **ret, Error *e) {
        OSSL_LIB_CTX *context = provider ? provider->context : NULL;
        _cleanup_(BIO_free_allp) BIO *bio = NULL;
        OSSL_STORE_CTX *store;
        UI_METHOD *ui;
        bool asked = false;
        int r = 0;

        bio = text ? BIO_new_mem_buf(text->data, (int) text->len) : NULL;
        ui = UI_UTIL_wrap_read_pem_callback(no_pass_phrase, 0);
        if (!ui || (text && !bio)) {
                UI_destroy_method(ui);
                return error_set(e, -ENOMEM, "out of memory");
        }
        ERR_set_mark();
        store = text ? OSSL_STORE_attach(bio, "file", context, NULL, ui, &asked, NULL, NULL, NULL)
                     : OSSL_STORE_open_ex(name, context, NULL, ui, &asked, NULL, NULL, NULL);
        *ret = store_first_key(store);
        if (!*ret)
                r = no_key(name, asked, provider != NULL, e);
        ERR_pop_to_mark();
        UI_destroy_method(ui);
        return r;
}

/* A path never goes to the store: what others may do to the file matters for every kind of it. */
static int load_key(const char *place, const KeyProvider *provider, EVP_PKEY **ret, Error *e) {
        _cleanup_(secret_done) Secret text = {};
        int r;

        if (provider && place[0] != '/')
                return parse_key(NULL, place, provider, ret, e);
        r = file_read_secret(place, CREDENTIAL_MAX, &text, e);
        if (r == -ENOENT)
                return error_set(e, -CSIGN_E_NO_CREDENTIAL, "there is no credential %s", place);
        if (r < 0 && r != -ENOMEM)
                return r < -CSIGN_E_BEGIN_ ? r
                                           : error_set(e, -CSIGN_E_BAD_CREDENTIAL,
                                                       "cannot read %s: %s", place, strerror(-r));
        return parse_key(&text, place, provider, ret, e);
}

static int load_provided(const char *place, const char *name, EVP_PKEY **ret, Error *e) {
        _cleanup_(key_provider_closep) KeyProvider *provider = NULL;
        EVP_PKEY *key = NULL;
        int r;

        r = key_provider_open(&provider, name, e);
        if (r < 0)
                return r;
        r = load_key(place, provider, &key, e);
        return r < 0 ? r : provider_key_new(ret, TAKE(provider), key, place, e);
}

int credential_read_key(int fd, EVP_PKEY **ret, Error *e) {
        static const char name[] = "what came as the credential";
        _cleanup_(secret_done) Secret text = {};
        ssize_t n = 1;
        size_t len = 0;

        if (secret_new(&text, NULL, CREDENTIAL_MAX) < 0)
                return error_set(e, -ENOMEM, "out of memory");
        while (n != 0 && len < CREDENTIAL_MAX) {
                n = read(fd, text.data + len, CREDENTIAL_MAX - len);
                if (n < 0 && errno != EINTR)
                        return error_set(e, -CSIGN_E_BAD_CREDENTIAL,
                                         "cannot read the credential from descriptor %d: %s", fd,
                                         strerror(errno));
                len += n > 0 ? (size_t) n : 0;
        }
        if (len == 0 || len == CREDENTIAL_MAX)
                return error_set(e, -CSIGN_E_BAD_CREDENTIAL, "%s is %s", name,
                                 len == 0 ? "empty" : "too long for a key");
        return parse_key(&(Secret){ .data = text.data, .len = len }, name, NULL, ret, e);
}

/* How the key signs an assertion: the service goes by the key's type alone. */
static int choose_alg(Credential *c, const char *path, Error *e) {
        char group[32] = "";

        if (EVP_PKEY_is_a(c->key, "ED25519")) {
                c->jwt_alg = "EdDSA";
                return 0;
        }
        if (EVP_PKEY_is_a(c->key, "RSA") && EVP_PKEY_get_bits(c->key) >= RSA_BITS_MIN) {
                c->jwt_alg = "RS256";
                c->md = "SHA256";
                return 0;
        }
        if (EVP_PKEY_is_a(c->key, "EC"))
                (void) EVP_PKEY_get_group_name(c->key, group, sizeof(group), NULL);
        if (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0) {
                c->jwt_alg = "ES256";
                c->md = "SHA256";
                return 0;
        }
        if (strcmp(group, "secp384r1") == 0 || strcmp(group, "P-384") == 0) {
                c->jwt_alg = "ES384";
                c->md = "SHA384";
                return 0;
        }
        return error_set(e, -CSIGN_E_BAD_CREDENTIAL,
                         "%s: the key is not P-256, P-384, Ed25519 or RSA of at least %d bits",
                         path, RSA_BITS_MIN);
}

/* ---- the certificate ---- */

static bool set_serial(X509 *cert) {
        uint8_t random[16];
        BIGNUM *n;
        bool ok;

        if (RAND_bytes(random, sizeof(random)) != 1)
                return false;
        random[0] = (random[0] & 0x7f) | 0x40; /* positive, and always as long */
        n = BN_bin2bn(random, sizeof(random), NULL);
        ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
        BN_free(n);
        return ok;
}

static bool add_extension(X509 *cert, int nid, const char *value) {
        X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
        bool ok = x && X509_add_ext(cert, x, -1);

        X509_EXTENSION_free(x);
        return ok;
}

/* It only carries the key (RFC 8705 section 2.2): nobody looks at its name or its dates, but both
 * must be well formed. */
static bool fill_cert(X509 *cert, const Credential *c, const char *client_id) {
        X509_NAME *name = X509_get_subject_name(cert);
        EVP_MD *md = NULL;
        bool ok;

        ok = X509_set_version(cert, X509_VERSION_3) && set_serial(cert) &&
             X509_gmtime_adj(X509_getm_notBefore(cert), -SECONDS_PER_DAY) &&
             X509_gmtime_adj(X509_getm_notAfter(cert), CERT_DAYS * SECONDS_PER_DAY) &&
             X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                        (const unsigned char *) client_id, -1, -1, 0) &&
             X509_set_issuer_name(cert, name) && X509_set_pubkey(cert, c->key) &&
             add_extension(cert, NID_key_usage, "critical,digitalSignature") &&
             add_extension(cert, NID_ext_key_usage, "clientAuth");
        if (ok && c->md)
                ok = (md = EVP_MD_fetch(NULL, c->md, NULL)) != NULL;
        ok = ok && X509_sign(cert, c->key, md) > 0;
        EVP_MD_free(md);
        return ok;
}

static int make_cert(Credential *c, const char *path, const char *client_id, Error *e) {
        ERR_set_mark();
        c->cert = X509_new();
        if (!c->cert || !fill_cert(c->cert, c, client_id)) {
                ERR_pop_to_mark();
                return error_set(e, -CSIGN_E_BAD_CREDENTIAL,
                                 "%s: the key cannot sign a certificate", path);
        }
        ERR_clear_last_mark();
        return 0;
}

/* ---- both ---- */

int credential_new(Credential **ret, EVP_PKEY *key, const char *name, const char *client_id,
                   Error *e) {
        _cleanup_(credential_freep) Credential *c = NULL;
        int r;

        assert(ret && key && name && client_id);

        c = calloc(1, sizeof(*c));
        if (!c || EVP_PKEY_up_ref(key) != 1)
                return error_set(e, -ENOMEM, "out of memory");
        c->key = key;
        r = choose_alg(c, name, e);
        if (r >= 0)
                r = make_cert(c, name, client_id, e);
        if (r < 0)
                return r;

        *ret = TAKE(c);
        return 0;
}

int credential_load(Credential **ret, const char *place, const char *provider,
                    const char *client_id, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        int r;

        assert(ret && place && client_id);

        r = provider ? load_provided(place, provider, &key, e) : load_key(place, NULL, &key, e);
        return r < 0 ? r : credential_new(ret, key, place, client_id, e);
}

void credential_free(Credential *c) {
        if (!c)
                return;
        EVP_PKEY_free(c->key); /* wipes */
        X509_free(c->cert);
        free(c);
}
