/* SPDX-License-Identifier: Apache-2.0 */

/* The application's own keys pass through: see keymgmt-local.h. */

#include "provider/keymgmt-local.h"

#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "lib/ossl.h"

static bool has_bn(const EVP_PKEY *pkey, const char *name) {
        BIGNUM *bn = NULL;
        bool has;

        ERR_set_mark();
        has = EVP_PKEY_get_bn_param(pkey, name, &bn) == 1;
        ERR_pop_to_mark();
        BN_clear_free(bn);
        return has;
}

static bool has_bytes(const EVP_PKEY *pkey, const char *name) {
        size_t len = 0;
        bool has;

        ERR_set_mark();
        has = EVP_PKEY_get_octet_string_param(pkey, name, NULL, 0, &len) == 1;
        ERR_pop_to_mark();
        return has && len > 0;
}

static bool has_public(const EVP_PKEY *pkey) {
        return EVP_PKEY_is_a(pkey, "RSA") ? has_bn(pkey, OSSL_PKEY_PARAM_RSA_N)
                                          : has_bytes(pkey, OSSL_PKEY_PARAM_PUB_KEY);
}

static bool has_private(const EVP_PKEY *pkey) {
        if (EVP_PKEY_is_a(pkey, "RSA"))
                return has_bn(pkey, OSSL_PKEY_PARAM_RSA_D);
        return EVP_PKEY_is_a(pkey, "EC") ? has_bn(pkey, OSSL_PKEY_PARAM_PRIV_KEY)
                                         : has_bytes(pkey, OSSL_PKEY_PARAM_PRIV_KEY);
}

int local_has(const Key *k, int selection) {
        if (!k->pkey)
                return (selection & OSSL_KEYMGMT_SELECT_ALL) == 0;

        if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) && !has_public(k->pkey))
                return 0;
        if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) && !has_private(k->pkey))
                return 0;
        return 1;
}

int local_validate(const Key *k, int selection, int checktype) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = NULL;
        int keys = selection & OSSL_KEYMGMT_SELECT_KEYPAIR;

        if (!k->pkey)
                return 0;

        ctx = EVP_PKEY_CTX_new_from_pkey(k->prov->libctx, k->pkey, NULL);
        if (!ctx)
                return 0;

        if (keys == OSSL_KEYMGMT_SELECT_KEYPAIR)
                return EVP_PKEY_check(ctx) == 1;
        if (keys == OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
                return EVP_PKEY_private_check(ctx) == 1;
        if (keys == OSSL_KEYMGMT_SELECT_PUBLIC_KEY)
                return (checktype == OSSL_KEYMGMT_VALIDATE_QUICK_CHECK
                                ? EVP_PKEY_public_check_quick(ctx)
                                : EVP_PKEY_public_check(ctx)) == 1;
        if (selection & OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS)
                return EVP_PKEY_param_check(ctx) == 1;
        return 1;
}

static EVP_PKEY *pkey_from_params(Provider *p, const char *type, int selection,
                                  const OSSL_PARAM params[]) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = NULL;
        EVP_PKEY *pkey = NULL;

        ctx = EVP_PKEY_CTX_new_from_name(p->libctx, type, NULL);
        if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1)
                return NULL;
        /* It does not change them; its prototype only lacks the word. */
        if (EVP_PKEY_fromdata(ctx, &pkey, selection, (OSSL_PARAM *) params) != 1)
                return NULL;
        return pkey;
}

int local_import(Key *k, int selection, const OSSL_PARAM params[]) {
        EVP_PKEY *pkey;

        pkey = pkey_from_params(k->prov, k->type, selection, params);
        if (!pkey)
                return 0;

        EVP_PKEY_free(k->pkey);
        k->pkey = pkey;
        return 1;
}

int local_set_params(Key *k, const OSSL_PARAM params[]) {
        /* As in import(). */
        return k->pkey && EVP_PKEY_set_params(k->pkey, (OSSL_PARAM *) params) == 1;
}

Key *local_copy(const Key *k, int selection) {
        OSSL_PARAM *params = NULL;
        EVP_PKEY *pkey;

        if (!k->pkey)
                return key_new_local(k->prov, k->type, NULL);

        if (EVP_PKEY_todata(k->pkey, selection, &params) != 1)
                return NULL;
        pkey = pkey_from_params(k->prov, k->type, selection, params);
        OSSL_PARAM_free(params);
        return pkey ? key_new_local(k->prov, k->type, pkey) : NULL;
}

/* ---- generation ---- */

struct LocalGen {
        Provider *prov;
        const char *type;
        int selection;
        EVP_PKEY_CTX *ctx;
        OSSL_CALLBACK *progress;
        void *progress_arg;
};

static int gen_start(LocalGen *g) {
        return g->ctx &&
               (g->selection & OSSL_KEYMGMT_SELECT_KEYPAIR ? EVP_PKEY_keygen_init(g->ctx)
                                                           : EVP_PKEY_paramgen_init(g->ctx)) == 1;
}

LocalGen *local_gen_new(Provider *p, const char *type, int selection, const OSSL_PARAM params[]) {
        LocalGen *g;

        g = malloc(sizeof(*g));
        if (!g)
                return NULL;

        *g = (LocalGen){
                .prov = p,
                .type = type,
                .selection = selection,
                .ctx = EVP_PKEY_CTX_new_from_name(p->libctx, type, NULL),
        };
        if (!gen_start(g) || !local_gen_set_params(g, params)) {
                local_gen_free(g);
                return NULL;
        }
        return g;
}

void local_gen_free(void *gen) {
        LocalGen *g = gen;

        if (!g)
                return;
        EVP_PKEY_CTX_free(g->ctx);
        free(g);
}

int local_gen_set_template(void *gen, void *template) {
        const Key *k = template;
        LocalGen *g = gen;

        if (!k->pkey)
                return 0;

        EVP_PKEY_CTX_free(g->ctx);
        g->ctx = EVP_PKEY_CTX_new_from_pkey(g->prov->libctx, k->pkey, NULL);
        return gen_start(g);
}

int local_gen_set_params(void *gen, const OSSL_PARAM params[]) {
        LocalGen *g = gen;

        return !params || !params->key || EVP_PKEY_CTX_set_params(g->ctx, params) == 1;
}

const OSSL_PARAM *local_gen_settable_params(void *gen, void *provctx) {
        LocalGen *g = gen;

        return EVP_PKEY_CTX_settable_params(g->ctx);
}

/* The dots of `openssl genpkey`, and its way to say stop. */
static int gen_progress(EVP_PKEY_CTX *ctx) {
        LocalGen *g = EVP_PKEY_CTX_get_app_data(ctx);
        int potential = EVP_PKEY_CTX_get_keygen_info(ctx, 0);
        int iteration = EVP_PKEY_CTX_get_keygen_info(ctx, 1);
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_int(OSSL_GEN_PARAM_POTENTIAL, &potential),
                OSSL_PARAM_construct_int(OSSL_GEN_PARAM_ITERATION, &iteration),
                OSSL_PARAM_construct_end(),
        };

        return g->progress(params, g->progress_arg);
}

void *local_gen_run(void *gen, OSSL_CALLBACK *progress, void *progress_arg) {
        LocalGen *g = gen;
        EVP_PKEY *pkey = NULL;

        if (progress) {
                g->progress = progress;
                g->progress_arg = progress_arg;
                EVP_PKEY_CTX_set_app_data(g->ctx, g);
                EVP_PKEY_CTX_set_cb(g->ctx, gen_progress);
        }
        if (EVP_PKEY_generate(g->ctx, &pkey) != 1)
                return NULL;
        return key_new_local(g->prov, g->type, pkey);
}
