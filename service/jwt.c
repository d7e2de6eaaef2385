/* SPDX-License-Identifier: Apache-2.0 */
/* Client assertions: form, signature, claims, each by itself. */

#include "service/jwt.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "lib/alg.h"
#include "lib/json.h"
#include "lib/ossl.h"

/* ---- form ---- */

/* A string claim, copied into a char array whose size is the array's: strings that do not fit are
 * refused. */
#define COPY_CLAIM(name, size)                                                                     \
        static int read_##name(const json_t *v, const char *field, void *target, Error *e) {       \
                return copy_claim(v, field, target, size, e);                                      \
        }

static int copy_claim(const json_t *v, const char *name, char *target, size_t size, Error *e) {
        if (!json_is_string(v))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is not a string", name);
        if (json_string_length(v) == 0 || json_string_length(v) >= size)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is empty, or longer than %zu bytes",
                                 name, size - 1);
        memcpy(target, json_string_value(v), json_string_length(v) + 1);
        return 0;
}

COPY_CLAIM(alg, sizeof(((Jwt *) 0)->alg))
COPY_CLAIM(iss, sizeof(((Jwt *) 0)->iss))
COPY_CLAIM(aud, sizeof(((Jwt *) 0)->aud))
COPY_CLAIM(jti, sizeof(((Jwt *) 0)->jti))

static int check_typ(const json_t *v, const char *name, void *target, Error *e) {
        if (!json_is_string(v) || strcasecmp(json_string_value(v), "JWT") != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is not JWT", name);
        return 0;
}

/* The key is found by the TLS connection; kid is only checked for its form. */
static int check_kid(const json_t *v, const char *name, void *target, Error *e) {
        char kid[256];

        return copy_claim(v, name, kid, sizeof(kid), e);
}

static int read_json(const char *text, size_t len, const JsonField fields[], size_t n, Jwt *j,
                     Error *e) {
        _cleanup_(buf_done) Buf b = BUF_MAX(JWT_TEXT_MAX);
        _cleanup_(json_decrefp) json_t *root = NULL;
        int r;

        r = buf_decode_base64url(&b, text, len);
        if (r == -EBADMSG)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "a part of the assertion is not base64url");
        if (r >= 0)
                r = json_parse(b.data, b.len, &root, e);
        return r < 0 ? r : json_read(root, fields, n, j, e);
}

static int read_header(const char *text, size_t len, Jwt *j, Error *e) {
        static const JsonField fields[] = {
                { "alg", read_alg, offsetof(Jwt, alg), JSON_REQUIRED },
                { "typ", check_typ, 0 },
                { "kid", check_kid, 0 },
        };

        return read_json(text, len, fields, ELEMENTSOF(fields), j, e);
}

static int read_claims(const char *text, size_t len, Jwt *j, Error *e) {
        static const JsonField fields[] = {
                { "iss", read_iss, offsetof(Jwt, iss), JSON_REQUIRED },
                { "sub", read_iss, offsetof(Jwt, sub), JSON_REQUIRED },
                { "aud", read_aud, offsetof(Jwt, aud), JSON_REQUIRED },
                { "jti", read_jti, offsetof(Jwt, jti), JSON_REQUIRED },
                { "exp", json_field_u64, offsetof(Jwt, exp), JSON_REQUIRED },
                { "iat", json_field_u64, offsetof(Jwt, iat), JSON_REQUIRED },
                { "nbf", json_field_u64, offsetof(Jwt, nbf) },
        };

        return read_json(text, len, fields, ELEMENTSOF(fields), j, e);
}

int jwt_parse(const char *text, Jwt *ret, Error *e) {
        const char *claims, *signature;
        Jwt j = { .signed_text = text };
        int r;

        assert(text && ret);

        claims = strchr(text, '.');
        signature = claims ? strchr(claims + 1, '.') : NULL;
        if (!signature || strchr(signature + 1, '.') || strlen(text) > JWT_TEXT_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "the assertion is not a compact JWS of at most %d bytes",
                                 JWT_TEXT_MAX);
        j.signed_len = (size_t) (signature - text);

        r = read_header(text, (size_t) (claims - text), &j, e);
        if (r >= 0)
                r = read_claims(claims + 1, (size_t) (signature - claims - 1), &j, e);
        if (r < 0)
                return r;

        r = buf_decode_base64url(&j.signature, signature + 1, strlen(signature + 1));
        if (r < 0) {
                jwt_done(&j);
                return r == -EBADMSG ? error_set(e, -CSIGN_E_BAD_REQUEST,
                                                 "the assertion's signature is not base64url")
                                     : r;
        }
        *ret = j;
        return 0;
}

void jwt_done(Jwt *j) {
        buf_done(&j->signature);
}

/* ---- signature ---- */

typedef struct JwsAlg {
        const char *name;
        const char *key; /* its OpenSSL type */
        unsigned bits;   /* of an EC key's field; 0: any */
        const char *hash;
        bool pss;
} JwsAlg;

static const JwsAlg jws_algs[] = {
        { "ES256", "EC", 256, "SHA256" }, { "ES384", "EC", 384, "SHA384" },
        { "RS256", "RSA", 0, "SHA256" },  { "PS256", "RSA", 0, "SHA256", .pss = true },
        { "EdDSA", "ED25519", 0, NULL },
};

static const JwsAlg *find_alg(const char *name, const EVP_PKEY *key) {
        for (size_t i = 0; i < ELEMENTSOF(jws_algs); i++) {
                const JwsAlg *a = &jws_algs[i];

                if (strcmp(a->name, name) == 0 && EVP_PKEY_is_a(key, a->key) &&
                    (a->bits == 0 || (unsigned) EVP_PKEY_get_bits(key) == a->bits))
                        return a;
        }
        return NULL;
}

/* JWS has r and s one after the other; OpenSSL wants them in DER. */
static int to_der(const Buf *raw, unsigned bits, Buf *der) {
        size_t half = (bits + 7) / 8;
        unsigned char *p = NULL;
        ECDSA_SIG *sig;
        BIGNUM *r, *s;
        int len;

        if (raw->len != 2 * half)
                return -EBADMSG;
        sig = ECDSA_SIG_new();
        r = BN_bin2bn(raw->data, (int) half, NULL);
        s = BN_bin2bn(raw->data + half, (int) half, NULL);
        if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) {
                BN_free(r);
                BN_free(s);
                ECDSA_SIG_free(sig);
                return -ENOMEM;
        }

        len = i2d_ECDSA_SIG(sig, &p);
        ECDSA_SIG_free(sig);
        if (len <= 0)
                return -EBADMSG;
        len = buf_append(der, p, (size_t) len);
        OPENSSL_free(p);
        return len;
}

static bool verify(const Jwt *j, const JwsAlg *a, EVP_PKEY *key, const Buf *signature) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        EVP_PKEY_CTX *pctx; /* ctx owns it */

        if (!ctx || EVP_DigestVerifyInit_ex(ctx, &pctx, a->hash, NULL, NULL, key, NULL) != 1)
                return false;
        if (a->pss && (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) <= 0 ||
                       EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) <= 0))
                return false;
        return EVP_DigestVerify(ctx, signature->data, signature->len,
                                (const unsigned char *) j->signed_text, j->signed_len) == 1;
}

int jwt_verify(const Jwt *j, EVP_PKEY *key, Error *e) {
        const JwsAlg *a = find_alg(j->alg, key);
        _cleanup_(buf_done) Buf der = {};
        bool good;

        if (!a)
                return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, "assertion-signature",
                                      "the account's key does not sign with alg '%s'", j->alg);
        if (a->bits > 0 && to_der(&j->signature, a->bits, &der) < 0)
                good = false;
        else {
                ERR_set_mark();
                good = verify(j, a, key, a->bits > 0 ? &der : &j->signature);
                ERR_pop_to_mark();
        }
        if (!good)
                return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, "assertion-signature",
                                      "the assertion's signature is not by the account's key");
        return 0;
}

/* ---- claims ---- */

static int check_times(const Jwt *j, uint64_t now, Error *e) {
        static const char rule[] = "assertion-time";

        if (j->exp <= j->iat || j->exp - j->iat > JWT_LIFE_MAX_SEC)
                return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, rule,
                                      "the assertion must be valid for 1 to %d seconds (exp - iat)",
                                      JWT_LIFE_MAX_SEC);
        if (j->exp + JWT_LEEWAY_SEC <= now)
                return error_set_rule(
                        e, -CSIGN_E_UNAUTHENTICATED, rule,
                        "the assertion expired %llu s ago: is the client's clock right?",
                        (unsigned long long) (now - j->exp));
        if (j->iat > now + JWT_LEEWAY_SEC || j->nbf > now + JWT_LEEWAY_SEC)
                return error_set_rule(
                        e, -CSIGN_E_UNAUTHENTICATED, rule,
                        "the assertion is from the future by %llu s: is the client's clock right?",
                        (unsigned long long) ((j->iat > j->nbf ? j->iat : j->nbf) - now));
        return 0;
}

int jwt_check_claims(const Jwt *j, const char *audience, uint64_t now_sec, Error *e) {
        if (strcmp(j->iss, j->sub) != 0)
                return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, "assertion-issuer",
                                      "iss and sub of the assertion are not the same client id");
        if (strcmp(j->aud, audience) != 0)
                return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, "assertion-audience",
                                      "the assertion is for '%.200s', not for '%s'", j->aud,
                                      audience);
        return check_times(j, now_sec, e);
}
