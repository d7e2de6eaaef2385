/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/token-request.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/ec.h>
#include <openssl/err.h>

#include "lib/id.h"
#include "lib/json.h"
#include "lib/ossl.h"

#define ASSERTION_SECONDS 120 /* the service takes at most 300 */
#define ASSERTION_MAX     (8 * 1024)

/* ---- the assertion ---- */

/* JWS wants the two numbers side by side (RFC 7518 section 3.4), OpenSSL gives DER. */
static int ecdsa_to_jws(const uint8_t *der, size_t der_len, size_t size, uint8_t *out) {
        ECDSA_SIG *sig;
        bool ok;

        sig = d2i_ECDSA_SIG(NULL, &der, (long) der_len);
        ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int) size) == (int) size &&
             BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + size, (int) size) == (int) size;
        ECDSA_SIG_free(sig);
        return ok ? 0 : -EIO;
}

static int sign_text(const Credential *c, const void *text, size_t len, Buf *ret) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        uint8_t sig[1024], jws[2 * 48];
        size_t sig_len = sizeof(sig), size;

        if (!ctx)
                return -ENOMEM;
        if (EVP_DigestSignInit_ex(ctx, NULL, c->md, NULL, NULL, c->key, NULL) != 1 ||
            EVP_DigestSign(ctx, sig, &sig_len, text, len) != 1)
                return -EIO;
        if (!EVP_PKEY_is_a(c->key, "EC"))
                return buf_append_base64url(ret, sig, sig_len);

        size = (size_t) (EVP_PKEY_get_bits(c->key) + 7) / 8;
        if (size > sizeof(jws) / 2 || ecdsa_to_jws(sig, sig_len, size, jws) < 0)
                return -EIO;
        return buf_append_base64url(ret, jws, 2 * size);
}

static int append_part(Buf *b, Buf *json, int json_r) {
        int r;

        r = json_r < 0 ? json_r : buf_append_base64url(b, json->data, json->len);
        buf_clear(json);
        return r;
}

static int append_claims(Buf *b, const char *subject, const char *audience, const char *jti,
                         int64_t now) {
        JsonOut o = JSON_OUT(b);
        char fresh[ID_MAX];
        int r;

        r = jti ? 0 : id_new(fresh, "jti");
        if (r < 0)
                return r;
        json_begin_object(&o, NULL);
        json_out_str(&o, "iss", subject);
        json_out_str(&o, "sub", subject);
        json_out_str(&o, "aud", audience);
        json_out_i64(&o, "iat", now);
        json_out_i64(&o, "exp", now + ASSERTION_SECONDS);
        json_out_str(&o, "jti", jti ?: fresh);
        json_end_object(&o);
        return o.r;
}

static int assertion(const Credential *c, const char *subject, const char *audience,
                     const char *jti, int64_t now, Buf *ret) {
        _cleanup_(buf_done) Buf json = BUF_MAX(ASSERTION_MAX);
        int r;

        r = append_part(ret, &json,
                        buf_printf(&json, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", c->jwt_alg));
        if (r >= 0)
                r = buf_append_str(ret, ".");
        if (r >= 0)
                r = append_part(ret, &json, append_claims(&json, subject, audience, jti, now));
        if (r < 0)
                return r;

        r = buf_append(&json, ret->data, ret->len);
        if (r >= 0)
                r = buf_append_str(ret, ".");
        return r < 0 ? r : sign_text(c, json.data, json.len, ret);
}

int token_assertion(const Credential *c, const char *subject, const char *audience, const char *jti,
                    int64_t now, Buf *ret, Error *e) {
        _cleanup_(buf_done) Buf b = BUF_MAX(ASSERTION_MAX);
        int r;

        assert(c && subject && audience && ret);

        ERR_set_mark();
        r = assertion(c, subject, audience, jti, now, &b);
        ERR_pop_to_mark();
        if (r < 0)
                return error_set(e, r, "the credential cannot sign an assertion");

        buf_done(ret);
        *ret = b;
        b = (Buf){};
        return 0;
}

/* ---- the exchange ---- */

typedef struct TokenAnswer {
        const char *access_token, *token_type;
        uint32_t expires_in;
} TokenAnswer;

static const JsonField answer_fields[] = {
        { "access_token", json_field_string, offsetof(TokenAnswer, access_token),
          JSON_REQUIRED | JSON_ANY_MORE },
        { "token_type", json_field_string, offsetof(TokenAnswer, token_type), JSON_REQUIRED },
        { "expires_in", json_field_u32, offsetof(TokenAnswer, expires_in), JSON_REQUIRED },
};

/* The value goes into a header line. */
static bool value_is_safe(const char *s) {
        size_t n =
                strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=");

        return n > 0 && n < TOKEN_MAX && !s[n];
}

int token_parse(const void *data, size_t len, char value[static TOKEN_MAX],
                uint32_t *ret_expires_in, Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        TokenAnswer a = {};
        Error why = {};

        if (json_parse(data, len, &root, &why) < 0 ||
            json_read(root, answer_fields, ELEMENTSOF(answer_fields), &a, &why) < 0)
                return error_set(e, -CSIGN_E_BAD_ANSWER, "the service's token: %s", why.detail);
        if (strcasecmp(a.token_type, "Bearer") != 0 || !value_is_safe(a.access_token) ||
            a.expires_in == 0)
                return error_set(e, -CSIGN_E_BAD_ANSWER, "the service's token cannot be used");

        snprintf(value, TOKEN_MAX, "%s", a.access_token);
        *ret_expires_in = a.expires_in;
        return 0;
}

int token_request(HttpClient *http, const Credential *c, const char *client_id, const char *issuer,
                  int64_t now, uint64_t timeout_usec, HttpResponse *ret, Error *e) {
        _cleanup_(buf_done) Buf jwt = {}, body = BUF_MAX(2 * ASSERTION_MAX);
        HttpRequest req = {
                .method = "POST",
                .path = "/v1/oauth/token",
                .content_type = "application/x-www-form-urlencoded",
                .timeout_usec = timeout_usec,
        };
        int r;

        r = token_assertion(c, client_id, issuer, NULL, now, &jwt, e);
        if (r < 0)
                return r;
        r = buf_printf(&body,
                       "grant_type=client_credentials&client_assertion_type="
                       "urn%%3Aietf%%3Aparams%%3Aoauth%%3Aclient-assertion-type%%3Ajwt-bearer"
                       "&client_id=%s&client_assertion=%s",
                       client_id, buf_str(&jwt));
        if (r < 0)
                return error_set(e, r, "the request for a token is too long");
        req.body = body.data;
        req.body_len = body.len;
        return http_exchange(http, &req, ret, e);
}
