/* SPDX-License-Identifier: Apache-2.0 */
/* How the built-in authority signs what OpenSSL has made. */

#include <errno.h>

#include <openssl/ec.h>
#include <openssl/err.h>

#include "lib/ossl.h"
#include "service/ca/ca-impl.h"
#include "service/digest.h"

#define KEY_VERSION 1

int openssl_fail(Error *e, const char *what) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        int r;

        r = error_set(e, -EIO, "%s: %s", what, reason ? reason : "OpenSSL refuses");
        ERR_clear_error();
        return r;
}

EVP_PKEY *throw_away_key(void) {
        return EVP_EC_gen("P-256");
}

int authority_sign(Keystore *ks, const Authority *a, const void *tbs, size_t len, Buf *sig,
                   Error *e) {
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
        int r;

        sha256(tbs, len, digest);
        r = keystore_sign(ks, &call);
        if (r < 0 && e)
                *e = call.e;
        return r;
}

int put_signature(const ASN1_BIT_STRING *bits, const Buf *sig, Error *e) {
        ASN1_BIT_STRING *own = (ASN1_BIT_STRING *) bits;

        if (ASN1_BIT_STRING_set(own, sig->data, (int) sig->len) != 1)
                return openssl_fail(e, "cannot set the signature");
        own->flags &= ~(ASN1_STRING_FLAG_BITS_LEFT | 0x07);
        own->flags |= ASN1_STRING_FLAG_BITS_LEFT;
        return 0;
}

int take_der(Buf *ret, unsigned char *der, int len, Error *e) {
        int r;

        if (len <= 0)
                return openssl_fail(e, "cannot encode it");
        buf_clear(ret);
        r = buf_append(ret, der, (size_t) len);
        OPENSSL_free(der);
        return r;
}
