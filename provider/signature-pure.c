/* SPDX-License-Identifier: Apache-2.0 */

/* Signatures by Ed25519 and ML-DSA keys, which hash for themselves.
 *
 * With a remote ML-DSA key, mu (FIPS 204) is computed here as the message comes, and travels in
 * place of a digest.  With a remote Ed25519 key the whole message must travel: it is gathered in
 * memory, and that memory is passed on, sealed.  All else (verification, and whatever a local key
 * does) gathers the message too, and is then done in one step by the shadow (shadow.h). */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "lib/message.h"
#include "lib/mu.h"
#include "lib/ossl.h"
#include "provider/key.h"
#include "provider/request.h"
#include "provider/shadow.h"

typedef enum Operation {
        OP_NONE,
        OP_SIGN,
        OP_VERIFY,
} Operation;

typedef struct PureCtx {
        Provider *prov;
        Key *key;
        Operation op;
        bool remote; /* signs with a remote key */

        /* A remote key's settings. */
        uint8_t context[MU_CONTEXT_MAX];
        size_t context_len;
        int mu_is_given;

        /* The message so far: one of these, and neither before its first byte. */
        EVP_MD_CTX *mu;
        int fd; /* -1: none */
        size_t len;
        pid_t pid; /* whose fd it is */

        Shadow shadow;
} PureCtx;

/* ---- contexts ---- */

static void *pure_newctx(void *provctx, const char *propq) {
        PureCtx *c;

        c = malloc(sizeof(*c));
        if (!c)
                return NULL;

        *c = (PureCtx){ .prov = provctx, .fd = -1 };
        return c;
}

static void message_drop(PureCtx *c) {
        EVP_MD_CTX_free(c->mu);
        c->mu = NULL;
        if (c->fd >= 0)
                close(c->fd);
        c->fd = -1;
        c->len = 0;
}

static void pure_freectx(void *ctx) {
        PureCtx *c = ctx;

        if (!c)
                return;

        message_drop(c);
        shadow_drop(&c->shadow);
        key_unref(c->key);
        free(c);
}
DEFINE_CLEANUP(PureCtx, pure_freectx)

static void *pure_dupctx(void *ctx) {
        const PureCtx *from = ctx;
        _cleanup_(pure_freectxp) PureCtx *to = pure_newctx(from->prov, NULL);

        if (!to)
                return NULL;

        *to = *from;
        to->key = from->key ? key_ref(from->key) : NULL;
        to->mu = from->mu ? md_ctx_dup(from->mu) : NULL;
        to->fd = from->fd >= 0 ? message_copy(from->fd, from->len) : -1;
        to->pid = getpid();
        if (!shadow_dup(&to->shadow, &from->shadow) || (from->mu && !to->mu) ||
            (from->fd >= 0 && to->fd < 0))
                return NULL;
        return TAKE(to);
}

/* ---- settings ---- */

static int shadow_start(PureCtx *c, const OSSL_PARAM params[]) {
        return shadow_start_digest(&c->shadow, c->key, c->op == OP_SIGN && !c->remote, NULL,
                                   params);
}

static int refuse_setting(const PureCtx *c, const char *name, const char *why) {
        Error e = {};

        error_set_rule(&e, -CSIGN_E_UNSUPPORTED_SCHEME, "pure-signature",
                       "refused: %s with key '%s': %s", name, c->key->name, why);
        return core_raise(&c->prov->core, &e);
}

static int set_context(PureCtx *c, const OSSL_PARAM *p) {
        void *at = c->context;

        if (!OSSL_PARAM_get_octet_string(p, &at, sizeof(c->context), &c->context_len))
                return refuse_setting(c, "context-string", "it has at most 255 bytes");
        if (c->context_len > 0 && c->key->alg->schemes & SCHEME_BIT(SCHEME_ED25519))
                return refuse_setting(c, "context-string", "csign signs by pure Ed25519 alone");
        return 1;
}

static int set_instance(const PureCtx *c, const OSSL_PARAM *p) {
        const char *name = NULL;

        if (OSSL_PARAM_get_utf8_string_ptr(p, &name) && strcmp(name, "Ed25519") == 0)
                return 1;
        return refuse_setting(c, "instance", "csign signs by pure Ed25519 alone");
}

/* A number that must be what it is without being set. */
static int set_fixed(const PureCtx *c, const OSSL_PARAM *p, int usual, const char *why) {
        int v;

        return OSSL_PARAM_get_int(p, &v) && v == usual ? 1 : refuse_setting(c, p->key, why);
}

/* Names that 3.0's headers do not have are written out. */
static int set_remote(PureCtx *c, const OSSL_PARAM *p) {
        if (c->mu || c->fd >= 0)
                return refuse_setting(c, p->key, "the message has begun already");
        if (strcmp(p->key, "context-string") == 0)
                return set_context(c, p);
        if (strcmp(p->key, "instance") == 0)
                return set_instance(c, p);
        if (strcmp(p->key, "message-encoding") == 0)
                return set_fixed(c, p, 1, "raw messages cannot be told from encoded ones later");
        if (strcmp(p->key, "deterministic") == 0)
                return set_fixed(c, p, 0, "the key store's signatures are hedged by random bytes");
        if (strcmp(p->key, "test-entropy") == 0)
                return refuse_setting(c, p->key, "the key store uses entropy of its own");
        if (strcmp(p->key, "mu") == 0 && !(c->key->alg->schemes & SCHEME_BIT(SCHEME_ED25519)))
                return OSSL_PARAM_get_int(p, &c->mu_is_given);
        return 1;
}

static int pure_set_ctx_params(void *ctx, const OSSL_PARAM params[]) {
        PureCtx *c = ctx;

        if (!params || !params->key)
                return 1;
        if (c->op == OP_NONE)
                return 0;
        if (!c->remote)
                return EVP_PKEY_CTX_set_params(c->shadow.ctx, params) == 1;
        for (const OSSL_PARAM *p = params; p->key; p++)
                if (!set_remote(c, p))
                        return 0;
        return 1;
}

static int pure_get_ctx_params(void *ctx, OSSL_PARAM params[]) {
        PureCtx *c = ctx;

        if (c->op == OP_NONE || (!c->shadow.ctx && !shadow_start(c, NULL)))
                return 0;
        return EVP_PKEY_CTX_get_params(c->shadow.ctx, params) == 1;
}

static const OSSL_PARAM *pure_settable_ctx_params(void *ctx, void *provctx) {
        static const OSSL_PARAM params[] = {
                OSSL_PARAM_octet_string("context-string", NULL, 0),
                OSSL_PARAM_utf8_string("instance", NULL, 0),
                OSSL_PARAM_int("message-encoding", NULL),
                OSSL_PARAM_int("deterministic", NULL),
                OSSL_PARAM_int("mu", NULL),
                OSSL_PARAM_octet_string("test-entropy", NULL, 0),
                OSSL_PARAM_END,
        };

        return params;
}

static const OSSL_PARAM *pure_gettable_ctx_params(void *ctx, void *provctx) {
        static const OSSL_PARAM params[] = {
                OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
                OSSL_PARAM_END,
        };

        return params;
}

/* ---- beginning ---- */

/* Without a key, the last one is used again. */
static int init(void *ctx, Operation op, void *provkey, const OSSL_PARAM params[]) {
        PureCtx *c = ctx;
        Key *k = provkey ? provkey : c->key;

        if (!k || !key_pkey(k))
                return 0;

        (void) key_ref(k);
        key_unref(c->key);
        c->key = k;
        c->op = op;
        c->remote = key_is_remote(k) && op == OP_SIGN;
        c->context_len = 0;
        c->mu_is_given = 0;
        message_drop(c);
        shadow_drop(&c->shadow);
        if (c->remote ? pure_set_ctx_params(c, params) : shadow_start(c, params))
                return 1;
        c->op = OP_NONE;
        return 0;
}

static int pure_sign_init(void *ctx, void *provkey, const OSSL_PARAM params[]) {
        return init(ctx, OP_SIGN, provkey, params);
}

static int pure_verify_init(void *ctx, void *provkey, const OSSL_PARAM params[]) {
        return init(ctx, OP_VERIFY, provkey, params);
}

static int digest_init(void *ctx, Operation op, const char *digest, void *provkey,
                       const OSSL_PARAM params[]) {
        const PureCtx *c = ctx;
        Error e = {};

        if (!digest || !*digest)
                return init(ctx, op, provkey, params);
        error_set_rule(&e, -CSIGN_E_UNSUPPORTED_SCHEME, "pure-signature",
                       "refused: hash %s: an Ed25519 or ML-DSA key hashes for itself", digest);
        return core_raise(&c->prov->core, &e);
}

static int pure_digest_sign_init(void *ctx, const char *digest, void *provkey,
                                 const OSSL_PARAM params[]) {
        return digest_init(ctx, OP_SIGN, digest, provkey, params);
}

static int pure_digest_verify_init(void *ctx, const char *digest, void *provkey,
                                   const OSSL_PARAM params[]) {
        return digest_init(ctx, OP_VERIFY, digest, provkey, params);
}

/* ---- the message ---- */

static bool streams(const PureCtx *c) {
        return c->remote && !c->mu_is_given &&
               scheme_own_hash(scheme_of_key(c->key->alg)) == &hash_mu;
}

static int failed(const PureCtx *c, int r, Error *e) {
        if (e->code == 0)
                error_set(e, r, "cannot take the message: %s", strerror(-r));
        return core_raise(&c->prov->core, e);
}

static int stream(PureCtx *c, const uint8_t *data, size_t len) {
        if (!c->mu)
                c->mu = mu_begin(c->prov->libctx, key_pkey(c->key), c->context, c->context_len);
        return c->mu && EVP_DigestUpdate(c->mu, data, len) == 1;
}

/* A file of our own: what a process that forked in the middle of a message has is also its
 * parent's, and the other one may go on writing to it. */
static int own_file(PureCtx *c) {
        int fd;

        if (c->fd >= 0 && c->pid == getpid())
                return 0;
        fd = c->fd >= 0 ? message_copy(c->fd, c->len) : message_new();
        if (fd < 0)
                return fd;
        if (c->fd >= 0)
                close(c->fd);
        c->fd = fd;
        c->pid = getpid();
        return 0;
}

static int gather(PureCtx *c, const uint8_t *data, size_t len) {
        Error e = {};
        int r;

        r = c->remote ? provider_check_message(c->prov, (uint64_t) c->len + len, &e) : 0;
        if (r >= 0)
                r = own_file(c);
        if (r >= 0)
                r = message_append(c->fd, data, len);
        if (r < 0)
                return failed(c, r, &e);
        c->len += len;
        return 1;
}

static int update(void *ctx, Operation op, const uint8_t *data, size_t len) {
        PureCtx *c = ctx;

        if (c->op != op)
                return 0;
        return streams(c) ? stream(c, data, len) : gather(c, data, len);
}

static int pure_sign_update(void *ctx, const uint8_t *data, size_t len) {
        return update(ctx, OP_SIGN, data, len);
}

static int pure_verify_update(void *ctx, const uint8_t *data, size_t len) {
        return update(ctx, OP_VERIFY, data, len);
}

/* ---- signing ---- */

static int sign_streamed(PureCtx *c, uint8_t *sig, size_t *siglen, size_t sigsize) {
        _cleanup_(buf_done) Buf signature = BUF_MAX(SIGNATURE_MAX);
        uint8_t mu[MU_SIZE];
        Error e = {};
        int r;

        /* An empty message was never updated with. */
        if (!stream(c, (const uint8_t *) "", 0) || EVP_DigestFinalXOF(c->mu, mu, sizeof(mu)) != 1)
                return 0;
        r = request_sign_digest(c->key, NULL, &hash_mu, mu, sizeof(mu), &signature, &e);
        return signature_deliver(c->key, r, &signature, &e, sig, siglen, sigsize);
}

/* The message in one piece: m, which fd has too, or -1. */
static int sign_whole(PureCtx *c, const Message *m, int fd, uint8_t *sig, size_t *siglen,
                      size_t sigsize) {
        _cleanup_(buf_done) Buf signature = BUF_MAX(SIGNATURE_MAX);
        Error e = {};
        int r;

        if (!c->remote) {
                *siglen = sigsize;
                return EVP_DigestSign(c->shadow.md, sig, siglen, m->data, m->len) == 1;
        }
        if (c->mu_is_given)
                r = request_sign_digest(c->key, NULL, &hash_mu, m->data, m->len, &signature, &e);
        else
                r = request_sign_message(c->key, m, fd, &signature, &e);
        return signature_deliver(c->key, r, &signature, &e, sig, siglen, sigsize);
}

/* What was gathered, sealed and mapped. */
static int gathered(PureCtx *c, Message *ret) {
        Error e = {};
        int r;

        r = own_file(c);
        if (r >= 0)
                r = message_seal(c->fd);
        if (r >= 0)
                r = message_map(ret, c->fd, SIZE_MAX, &e);
        return r < 0 ? failed(c, r, &e) : 1;
}

static int pure_sign_final(void *ctx, uint8_t *sig, size_t *siglen, size_t sigsize) {
        PureCtx *c = ctx;
        Message m = {};
        int ok;

        if (c->op != OP_SIGN)
                return 0;
        if (!sig)
                return signature_answer_size(c->key, siglen);
        if (streams(c))
                return sign_streamed(c, sig, siglen, sigsize);

        ok = gathered(c, &m) && sign_whole(c, &m, c->fd, sig, siglen, sigsize);
        message_unmap(&m);
        return ok;
}

static int pure_sign(void *ctx, uint8_t *sig, size_t *siglen, size_t sigsize, const uint8_t *tbs,
                     size_t tbslen) {
        const Message m = { .data = tbs, .len = tbslen };
        PureCtx *c = ctx;
        int ok;

        if (c->op != OP_SIGN)
                return 0;
        if (!sig)
                return signature_answer_size(c->key, siglen);
        if (!streams(c))
                return sign_whole(c, &m, -1, sig, siglen, sigsize);

        ok = stream(c, tbs, tbslen) && sign_streamed(c, sig, siglen, sigsize);
        message_drop(c); /* it can be called again */
        return ok;
}

/* ---- verifying: with the public half, here ---- */

static int pure_verify(void *ctx, const uint8_t *sig, size_t siglen, const uint8_t *tbs,
                       size_t tbslen) {
        PureCtx *c = ctx;

        return c->op == OP_VERIFY && EVP_DigestVerify(c->shadow.md, sig, siglen, tbs, tbslen) == 1;
}

static int pure_digest_verify_final(void *ctx, const uint8_t *sig, size_t siglen) {
        PureCtx *c = ctx;
        Message m = {};
        int ok;

        ok = c->op == OP_VERIFY && gathered(c, &m) && pure_verify(c, sig, siglen, m.data, m.len);
        message_unmap(&m);
        return ok;
}

/* ---- tables ---- */

/* Since OpenSSL 3.4, by which 3.0's headers do not know them. */
#ifndef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
#define OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT   27
#define OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_UPDATE 28
#define OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_FINAL  29
#define OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_INIT 30
#endif

#define F(id, function)                                                                            \
        { OSSL_FUNC_SIGNATURE_##id, (void (*)(void)) function }

/* clang-format off */
#define COMMON                                                          \
        F(NEWCTX, pure_newctx),                                         \
        F(FREECTX, pure_freectx),                                       \
        F(DUPCTX, pure_dupctx),                                         \
        F(DIGEST_SIGN_INIT, pure_digest_sign_init),                     \
        F(DIGEST_SIGN, pure_sign),                                      \
        F(DIGEST_VERIFY_INIT, pure_digest_verify_init),                 \
        F(DIGEST_VERIFY, pure_verify),                                  \
        F(GET_CTX_PARAMS, pure_get_ctx_params),                         \
        F(GETTABLE_CTX_PARAMS, pure_gettable_ctx_params),               \
        F(SET_CTX_PARAMS, pure_set_ctx_params),                         \
        F(SETTABLE_CTX_PARAMS, pure_settable_ctx_params)
/* clang-format on */

/* Up to 3.3, an algorithm that has one half of a pair is dropped, and one that signs without
 * hashing would be given hashes: it has one-shot functions alone. */
const OSSL_DISPATCH signature_pure_functions_3_0[] = {
        COMMON,
        { 0, NULL },
};

const OSSL_DISPATCH signature_pure_functions_3_4[] = {
        COMMON,
        F(SIGN_MESSAGE_INIT, pure_sign_init),
        F(SIGN_MESSAGE_UPDATE, pure_sign_update),
        F(SIGN_MESSAGE_FINAL, pure_sign_final),
        F(SIGN, pure_sign),
        F(VERIFY_MESSAGE_INIT, pure_verify_init),
        F(VERIFY, pure_verify),
        F(DIGEST_SIGN_UPDATE, pure_sign_update),
        F(DIGEST_SIGN_FINAL, pure_sign_final),
        F(DIGEST_VERIFY_UPDATE, pure_verify_update),
        F(DIGEST_VERIFY_FINAL, pure_digest_verify_final),
        { 0, NULL },
};
