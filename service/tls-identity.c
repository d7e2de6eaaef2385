/* SPDX-License-Identifier: Apache-2.0 */
/* Making the service's own TLS key and certificate. */

#include "service/tls-identity.h"

#include <errno.h>
#include <limits.h>

#include <openssl/ec.h>
#include <openssl/pem.h>

#include "lib/file.h"
#include "lib/ossl.h"
#include "service/service.h"
#include "service/tls.h"

#define TLS_DAYS 397

static int key_to_pem(EVP_PKEY *key, Secret *ret, Error *e) {
        BIO *bio = BIO_new(BIO_s_secmem());
        char *text;
        long len;
        int r;

        if (!bio || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
                BIO_free(bio);
                return error_set(e, -EIO, "cannot encode the TLS key");
        }
        len = BIO_get_mem_data(bio, &text);
        r = secret_new(ret, text, (size_t) len);
        BIO_free(bio);
        return r;
}

int tls_identity_new(TlsIdentity *ret, Keystore *ks, const Authority *a, const char *san,
                     Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
        _cleanup_(buf_done) Buf spki = {};
        CertRequest cr = {
                .profile = CERT_TLS_SERVER,
                .common_name = "csign-service",
                .spki = &spki,
                .days = TLS_DAYS,
                .days_max = TLS_DAYS,
                .names = san,
        };
        unsigned char *der = NULL;
        int len, r;

        len = key ? i2d_PUBKEY(key, &der) : -1;
        if (len <= 0)
                return error_set(e, -EIO, "cannot make the TLS key");
        r = buf_append(&spki, der, (size_t) len);
        OPENSSL_free(der);
        if (r >= 0)
                r = key_to_pem(key, &ret->key, e);
        return r < 0 ? r : ca_issue(ks, a, &cr, &ret->certificate, e);
}

static int certificates_to_pem(const Buf *const ders[], size_t n, Buf *ret) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
        char *text;
        long len;

        for (size_t i = 0; i < n; i++)
                if (!bio || PEM_write_bio(bio, PEM_STRING_X509, "", ders[i]->data,
                                          (long) ders[i]->len) <= 0)
                        return -ENOMEM;
        len = BIO_get_mem_data(bio, &text);
        return buf_append(ret, text, (size_t) len);
}

static int write_state(const Config *c, const char *name, const void *data, size_t len, mode_t mode,
                       Error *e) {
        char path[PATH_MAX];
        int r;

        r = service_file(c, name, path, sizeof(path), e);
        return r < 0 ? r : file_replace(path, data, len, mode, e);
}

int tls_identity_write(const TlsIdentity *t, const Authority *a, const Config *c, Error *e) {
        const Buf *chain[] = { &t->certificate.der, &a->certificate };
        _cleanup_(buf_done) Buf cert = {}, ca = {};
        int r;

        r = certificates_to_pem(chain, 1, &cert);
        if (r >= 0)
                r = certificates_to_pem(chain + 1, 1, &ca);
        if (r >= 0)
                r = write_state(c, TLS_KEY_FILE, t->key.data, t->key.len, 0600, e);
        if (r >= 0)
                r = write_state(c, TLS_CERT_FILE, cert.data, cert.len, 0644, e);
        if (r >= 0)
                r = write_state(c, TLS_CA_FILE, ca.data, ca.len, 0644, e);
        return r;
}

void tls_identity_done(TlsIdentity *t) {
        secret_done(&t->key);
        certificate_done(&t->certificate);
}
