/* SPDX-License-Identifier: Apache-2.0 */

/* Builds one SignRequest and has it signed: see request.h. */

#include "provider/request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "lib/sign.h"
#include "provider/digest-info.h"
#include "provider/lookup.h"

/* Since OpenSSL 3.1, by which 3.0's headers do not know it. */
#ifndef RSA_PSS_SALTLEN_AUTO_DIGEST_MAX
#define RSA_PSS_SALTLEN_AUTO_DIGEST_MAX -4
#endif

#define DIGEST_NAME_MAX 64

/* ---- what the application has set ---- */

static int get_int(EVP_PKEY_CTX *how, const char *name, int *ret) {
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_int(name, ret),
                OSSL_PARAM_construct_end(),
        };

        return EVP_PKEY_CTX_get_params(how, params) == 1 && OSSL_PARAM_modified(&params[0]) ? 0
                                                                                            : -EIO;
}

/* "" if it is not set. */
static void get_text(EVP_PKEY_CTX *how, const char *name, char buf[static DIGEST_NAME_MAX]) {
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_utf8_string(name, buf, DIGEST_NAME_MAX),
                OSSL_PARAM_construct_end(),
        };

        buf[0] = '\0';
        ERR_set_mark();
        if (EVP_PKEY_CTX_get_params(how, params) != 1)
                buf[0] = '\0';
        ERR_pop_to_mark();
}

static int get_hash(const Key *k, EVP_PKEY_CTX *how, const char *param, const HashAlg **ret,
                    Error *e) {
        char name[DIGEST_NAME_MAX] = "";

        *ret = NULL;
        if (how)
                get_text(how, param, name);
        if (!*name)
                return 0;

        *ret = provider_hash_by_name(k->prov, name);
        if (!*ret)
                return error_set_rule(e, -CSIGN_E_UNSUPPORTED_SCHEME, "hash",
                                      "refused: csign does not sign with hash %s", name);
        return 0;
}

/* What travels is always a number of bytes: "auto" and "max" mean different things to different
 * signers. */
static int resolve_salt(const Key *k, int salt, const HashAlg *hash, uint32_t *ret, Error *e) {
        uint32_t max = pss_salt_max(k->alg->bits, hash->size);

        switch (salt) {
        case RSA_PSS_SALTLEN_DIGEST:
                *ret = (uint32_t) hash->size;
                return 0;
        case RSA_PSS_SALTLEN_AUTO: /* for a signer, OpenSSL's "auto" is the largest */
        case RSA_PSS_SALTLEN_MAX:
                *ret = max;
                return 0;
        case RSA_PSS_SALTLEN_AUTO_DIGEST_MAX:
                *ret = hash->size < max ? (uint32_t) hash->size : max;
                return 0;
        }
        if (salt < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "unknown form %d of RSA-PSS salt length",
                                 salt);
        *ret = (uint32_t) salt;
        return 0;
}

static int get_padding(const Key *k, EVP_PKEY_CTX *how, int *ret, Error *e) {
        *ret = RSA_PKCS1_PADDING;
        if (how && get_int(how, OSSL_SIGNATURE_PARAM_PAD_MODE, ret) < 0)
                return error_set(e, -EIO, "cannot read the padding mode of '%s'", k->name);
        return 0;
}

static int fill_scheme(const Key *k, EVP_PKEY_CTX *how, SignRequest *req, Error *e) {
        int padding, salt, r;

        if (strcmp(k->type, "RSA") != 0) {
                req->scheme = scheme_of_key(k->alg);
                return 0;
        }

        r = get_padding(k, how, &padding, e);
        if (r < 0)
                return r;
        if (padding == RSA_PKCS1_PADDING) {
                req->scheme = SCHEME_RSA_PKCS1;
                return 0;
        }
        if (padding == RSA_NO_PADDING)
                return error_set_rule(e, -CSIGN_E_UNSUPPORTED_SCHEME, "raw-rsa",
                                      "refused: raw RSA: bytes without padding cannot be signed");
        if (padding != RSA_PKCS1_PSS_PADDING)
                return error_set_rule(e, -CSIGN_E_UNSUPPORTED_SCHEME, "padding",
                                      "refused: RSA padding mode %d is neither PKCS#1 v1.5 nor PSS",
                                      padding);

        req->scheme = SCHEME_RSA_PSS;
        if (get_int(how, OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &salt) < 0)
                return error_set(e, -EIO, "cannot read the salt length of '%s'", k->name);
        r = resolve_salt(k, salt, req->hash, &req->salt_len, e);
        if (r < 0)
                return r;
        return get_hash(k, how, OSSL_SIGNATURE_PARAM_MGF1_DIGEST, &req->mgf1_hash, e);
}

/* ---- what came back ---- */

static bool is_ecdsa_der(const Buf *sig) {
        const uint8_t *p = sig->data;
        ECDSA_SIG *s;

        ERR_set_mark();
        s = d2i_ECDSA_SIG(NULL, &p, (long) sig->len);
        ERR_pop_to_mark();
        ECDSA_SIG_free(s);
        return s && p == sig->data + sig->len;
}

/* The sidecar has verified it; here only what could harm the application's buffers or decoders is
 * looked at. */
static int check_shape(const Key *k, const Buf *sig, Error *e) {
        size_t max = (size_t) EVP_PKEY_get_size(key_pkey(k));

        if (k->alg->schemes & SCHEME_BIT(SCHEME_ECDSA) ? sig->len <= max && is_ecdsa_der(sig)
                                                       : sig->len == max)
                return 0;
        return error_set(e, -CSIGN_E_BAD_SIGNATURE,
                         "the signature by '%s' that came back is malformed", k->name);
}

static int finish(const Key *k, int r, const Buf *sig, Error *e) {
        if (r >= 0)
                return check_shape(k, sig, e);
        lookup_forget(k->prov);
        return r;
}

/* ---- signing ---- */

int request_sign_digest(const Key *k, EVP_PKEY_CTX *how, const HashAlg *hash, const uint8_t *digest,
                        size_t len, Buf *sig, Error *e) {
        SignRequest req = {
                .key_id = k->id,
                .version = k->version,
                .hash = hash,
                .digest = digest,
                .digest_len = len,
                .spki_hash = k->spki_hash,
        };
        SidecarClient *client;
        int r;

        r = fill_scheme(k, how, &req, e);
        if (r >= 0)
                r = sign_request_check(&req, k->alg, e);
        if (r < 0)
                return r;

        client = provider_client(k->prov, e);
        if (!client)
                return e->code;

        return finish(k, sidecar_client_sign(client, &req, sig, NULL, e), sig, e);
}

static int pass_message(const Key *k, const SignRequest *req, int fd, Buf *sig, Error *e) {
        SidecarClient *client;

        client = provider_client(k->prov, e);
        return client ? sidecar_client_sign_message(client, req, fd, sig, NULL, e) : e->code;
}

int request_sign_message(const Key *k, const Message *m, int fd, Buf *sig, Error *e) {
        const SignRequest req = {
                .key_id = k->id,
                .version = k->version,
                .scheme = scheme_of_key(k->alg),
                .hash = &hash_none,
                .digest = m->data,
                .digest_len = m->len,
                .spki_hash = k->spki_hash,
        };
        int own = -1, r;

        r = provider_check_message(k->prov, m->len, e);
        if (r >= 0)
                r = sign_request_check(&req, k->alg, e);
        if (r < 0)
                return r;

        if (fd < 0)
                own = fd = message_of(m->data, m->len);
        if (fd < 0)
                return error_set(e, fd, "cannot pass on a message of %zu bytes: %s", m->len,
                                 strerror(-fd));
        r = pass_message(k, &req, fd, sig, e);
        if (own >= 0)
                close(own);
        return finish(k, r, sig, e);
}

static const HashAlg *sha2_by_size(size_t size) {
        static const char *const names[] = { "SHA224", "SHA256", "SHA384", "SHA512" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                const HashAlg *hash = hash_alg_by_name(names[i]);

                if (hash && hash->size == size)
                        return hash;
        }
        return NULL;
}

static int sign_unnamed_ec(const Key *k, EVP_PKEY_CTX *how, const uint8_t *tbs, size_t len,
                           Buf *sig, Error *e) {
        const HashAlg *hash = sha2_by_size(len);

        if (!hash)
                return error_set_rule(e, -CSIGN_E_UNSUPPORTED_SCHEME, "raw-ecdsa",
                                      "refused: %zu bytes are not a digest; name the hash "
                                      "(-pkeyopt digest:sha256) "
                                      "or have the input hashed (-rawin)",
                                      len);
        return request_sign_digest(k, how, hash, tbs, len, sig, e);
}

static int sign_unnamed_rsa(const Key *k, EVP_PKEY_CTX *how, const uint8_t *tbs, size_t len,
                            Buf *sig, Error *e) {
        const HashAlg *hash;
        const uint8_t *digest;
        int padding, r;

        r = get_padding(k, how, &padding, e);
        if (r < 0)
                return r;
        if (padding == RSA_PKCS1_PADDING && digest_info_parse(tbs, len, &hash, &digest) >= 0)
                return request_sign_digest(k, how, hash, digest, hash->size, sig, e);

        return error_set_rule(e, -CSIGN_E_UNSUPPORTED_SCHEME, "raw-rsa",
                              "refused: raw RSA: %zu bytes without a hash's name; name it "
                              "(-pkeyopt digest:sha256) "
                              "or have the input hashed (-rawin)",
                              len);
}

int request_sign_raw(const Key *k, EVP_PKEY_CTX *how, const uint8_t *tbs, size_t len, Buf *sig,
                     Error *e) {
        const HashAlg *hash;
        int r;

        r = get_hash(k, how, OSSL_SIGNATURE_PARAM_DIGEST, &hash, e);
        if (r < 0)
                return r;
        if (hash)
                return request_sign_digest(k, how, hash, tbs, len, sig, e);
        if (k->alg->schemes & SCHEME_BIT(SCHEME_ECDSA))
                return sign_unnamed_ec(k, how, tbs, len, sig, e);
        return sign_unnamed_rsa(k, how, tbs, len, sig, e);
}
