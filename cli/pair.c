/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/pair.h"

#include <errno.h>
#include <strings.h>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "lib/alg.h"
#include "lib/file.h"
#include "lib/ossl.h"

int pair_generate(const char *algorithm, EVP_PKEY **ret, Error *e) {
        const KeyAlg *alg = key_alg_by_name(algorithm);

        if (strcasecmp(algorithm, "Ed25519") == 0)
                *ret = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        else if (!alg)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "--algorithm: there is no '%s'",
                                 algorithm);
        else
                *ret = alg->group ? EVP_EC_gen(alg->group) : EVP_RSA_gen(alg->bits);
        return *ret ? 0 : error_set(e, -EIO, "cannot make a key pair of %s", algorithm);
}

int pair_private(const EVP_PKEY *pkey, Buf *ret, Error *e) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_secmem());
        char *text;
        long len;
        int r;

        if (!bio || !PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL))
                return error_set(e, -EIO, "cannot encode the private key");
        len = BIO_get_mem_data(bio, &text);
        r = buf_reserve(ret, (size_t) len + 1);
        if (r >= 0)
                r = buf_append(ret, text, (size_t) len);
        erase(text, (size_t) len);
        return r;
}

int pair_save(const EVP_PKEY *pkey, const char *path, Error *e) {
        _cleanup_(buf_done) Buf pem = {};
        int r;

        r = pair_private(pkey, &pem, e);
        if (r >= 0)
                r = file_create(path, pem.data, pem.len, 0600, e);
        if (pem.data)
                erase(pem.data, pem.len);
        return r;
}

int pair_public(EVP_PKEY *pkey, Buf *ret) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
        char *text;
        long len;

        if (!bio || !PEM_write_bio_PUBKEY(bio, pkey))
                return -ENOMEM;
        len = BIO_get_mem_data(bio, &text);
        return buf_append(ret, text, (size_t) len);
}
