/* SPDX-License-Identifier: Apache-2.0 */

/* Reads the tables of `default`: see default.h. */

#include "provider/default.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/provider.h>

typedef struct Function {
        int id;
        size_t offset;
} Function;

static const Function keymgmt_functions[] = {
#define X(id, name) { OSSL_FUNC_KEYMGMT_##id, offsetof(DefaultKeymgmt, name) },
        DEFAULT_KEYMGMT_FUNCTIONS(X)
#undef X
};

static const Function keyexch_functions_of_default[] = {
#define X(id, name) { OSSL_FUNC_KEYEXCH_##id, offsetof(DefaultKeyexch, name) },
        DEFAULT_KEYEXCH_FUNCTIONS(X)
#undef X
};

static const char *const types[] = {
        "RSA", "EC", "ED25519", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87",
};

typedef struct Default {
        OSSL_PROVIDER *provider;
        DefaultKeymgmt keymgmts[ELEMENTSOF(types)];
        DefaultKeyexch ecdh;
} Default;

void default_free(Default *d) {
        if (!d)
                return;

        (void) OSSL_PROVIDER_unload(d->provider);
        free(d);
}
DEFINE_CLEANUP(Default, default_free)

static void read_functions(const OSSL_DISPATCH *from, const Function *functions, size_t n,
                           void *ret) {
        for (; from->function_id != 0; from++)
                for (size_t i = 0; i < n; i++)
                        if (functions[i].id == from->function_id)
                                memcpy((char *) ret + functions[i].offset, &from->function,
                                       sizeof(from->function));
}

/* "EC:id-ecPublicKey:…" is EC. */
static bool is_named(const OSSL_ALGORITHM *a, const char *name) {
        size_t n = strlen(name);

        return strncmp(a->algorithm_names, name, n) == 0 && strchr(":", a->algorithm_names[n]);
}

static void read_algorithm(const OSSL_PROVIDER *provider, int operation, const char *name,
                           const Function *functions, size_t n, void *ret) {
        int no_cache;
        const OSSL_ALGORITHM *a = OSSL_PROVIDER_query_operation(provider, operation, &no_cache);

        for (const OSSL_ALGORITHM *i = a; i && i->algorithm_names; i++)
                if (is_named(i, name))
                        read_functions(i->implementation, functions, n, ret);
        OSSL_PROVIDER_unquery_operation(provider, operation, a);
}

static Default *default_new(Provider *p) {
        _cleanup_(default_freep) Default *d = NULL;
        void *provctx;

        d = calloc(1, sizeof(*d));
        if (!d)
                return NULL;

        d->provider = OSSL_PROVIDER_load(p->libctx, "default");
        if (!d->provider)
                return NULL;

        provctx = OSSL_PROVIDER_get0_provider_ctx(d->provider);
        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                d->keymgmts[i].provctx = provctx;
                read_algorithm(d->provider, OSSL_OP_KEYMGMT, types[i], keymgmt_functions,
                               ELEMENTSOF(keymgmt_functions), &d->keymgmts[i]);
        }
        d->ecdh.provctx = provctx;
        read_algorithm(d->provider, OSSL_OP_KEYEXCH, "ECDH", keyexch_functions_of_default,
                       ELEMENTSOF(keyexch_functions_of_default), &d->ecdh);
        return TAKE(d);
}

static const Default *get(Provider *p) {
        Default *seen = atomic_load(&p->def), *mine;

        if (seen)
                return seen;

        mine = default_new(p);
        if (!mine || atomic_compare_exchange_strong(&p->def, &seen, mine))
                return mine;
        default_free(mine);
        return seen;
}

static bool is_whole(const DefaultKeymgmt *k) {
        return k->new && k->free && k->dup && k->has && k->match && k->validate && k->import &&
               k->export && k->get_params && k->gettable_params && k->gen_init &&
               k->gen_set_params && k->gen_settable_params && k->gen && k->gen_cleanup;
}

const DefaultKeymgmt *default_keymgmt(Provider *p, const char *type) {
        const Default *d = get(p);

        for (size_t i = 0; d && i < ELEMENTSOF(types); i++)
                if (strcmp(types[i], type) == 0)
                        return is_whole(&d->keymgmts[i]) ? &d->keymgmts[i] : NULL;
        return NULL;
}

const DefaultKeyexch *default_ecdh(Provider *p) {
        const Default *d = get(p);
        const DefaultKeyexch *x = d ? &d->ecdh : NULL;

        return x && x->newctx && x->freectx && x->dupctx && x->init && x->set_peer && x->derive &&
                               x->set_ctx_params && x->get_ctx_params
                       ? x
                       : NULL;
}
