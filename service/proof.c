/* SPDX-License-Identifier: Apache-2.0 */

#include "service/proof.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/x509.h>

#include "lib/ossl.h"
#include "service/clock.h"
#include "service/jwt.h"

static bool is_same(const char *a, const char *b) {
        size_t n = strlen(a);

        return n == strlen(b) && CRYPTO_memcmp(a, b, n) == 0;
}

static int check(const Jwt *j, const Buf *spki, const char *subject, const char *jti,
                 const char *audience, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        const unsigned char *p = spki->data;
        int r;

        key = d2i_PUBKEY(NULL, &p, (long) spki->len);
        if (!key)
                return error_set(e, -EBADMSG, "the public key does not decode");
        r = jwt_verify(j, key, e);
        if (r >= 0)
                r = jwt_check_claims(j, audience, clock_now() / USEC_PER_SEC, e);
        if (r < 0)
                return r;
        if (!is_same(j->iss, subject) || (jti && !is_same(j->jti, jti)))
                return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, "assertion-issuer",
                                      "the proof is not over what it registers a key for");
        return 0;
}

int proof_check(const char *proof, const Buf *spki, const char *subject, const char *jti,
                const char *audience, Error *e) {
        Jwt j = {};
        int r;

        r = jwt_parse(proof, &j, e);
        if (r < 0)
                return r;
        r = check(&j, spki, subject, jti, audience, e);
        erase(j.jti, sizeof(j.jti)); /* it may be a code */
        jwt_done(&j);
        return r;
}
