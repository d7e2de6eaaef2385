/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/key-files.h"

#include <errno.h>
#include <stdio.h>

#include <openssl/pem.h>

#include "lib/key-reference.h"
#include "lib/ossl.h"

static int reference_fill(const KeyInfo *key, KeyReference *ret) {
        KeyUri uri = {};

        (void) snprintf(uri.path, sizeof(uri.path), "%s", key->path);
        uri.version = key->version;
        (void) key_uri_text(&uri, ret->uri);
        (void) snprintf(ret->key_type, sizeof(ret->key_type), "%s", key->alg->ossl_type);
        (void) snprintf(ret->id, sizeof(ret->id), "%s", key->id);
        ret->version = key->version;
        return buf_append(&ret->spki, key->spki.data, key->spki.len);
}

int key_reference_pem(const KeyInfo *key, Buf *ret, Error *e) {
        _cleanup_(key_reference_done) KeyReference ref = {};
        int r;

        r = reference_fill(key, &ref);
        return r < 0 ? r : key_reference_encode_pem(&ref, ret, e);
}

static X509 *certificate_read(const Buf *der, Error *e) {
        const uint8_t *p = der->data;
        X509 *cert = d2i_X509(NULL, &p, (long) der->len);

        if (!cert)
                (void) error_set(e, -CSIGN_E_BAD_ANSWER, "the key's certificate cannot be read");
        return cert;
}

static int certificate_pem(const Buf *der, BIO *ret, Error *e) {
        _cleanup_(X509_freep) X509 *cert = certificate_read(der, e);

        if (!cert)
                return e->code;
        return PEM_write_bio_X509(ret, cert) == 1 ? 0 : -ENOMEM;
}

int key_certificates_pem(const KeyInfo *key, size_t from, size_t n, Buf *ret, Error *e) {
        _cleanup_(BIO_free_allp) BIO *pem = BIO_new(BIO_s_mem());
        char *text;
        long len;
        int r;

        if (!pem)
                return -ENOMEM;
        if (key->n_certificates == 0)
                return error_set(e, -CSIGN_E_NOT_FOUND, "key '%s' has no certificate", key->path);
        for (size_t i = from; i < key->n_certificates && i - from < n; i++) {
                r = certificate_pem(&key->certificates[i], pem, e);
                if (r < 0)
                        return r;
        }
        len = BIO_get_mem_data(pem, &text);
        return buf_append(ret, text, (size_t) len);
}

int key_anchor_pem(const KeyInfo *key, Buf *ret, Error *e) {
        _cleanup_(BIO_free_allp) BIO *pem = BIO_new(BIO_s_mem());
        _cleanup_(X509_freep) X509 *top = NULL;
        char *text;
        long len;

        if (key->n_certificates < 2)
                return 0;

        top = certificate_read(&key->certificates[key->n_certificates - 1], e);
        if (!top)
                return e->code;
        if (!pem || X509_add1_trust_object(top, OBJ_nid2obj(NID_anyExtendedKeyUsage)) != 1 ||
            PEM_write_bio_X509_AUX(pem, top) != 1)
                return error_set(e, -ENOMEM, "out of memory");
        len = BIO_get_mem_data(pem, &text);
        return buf_append(ret, text, (size_t) len);
}
