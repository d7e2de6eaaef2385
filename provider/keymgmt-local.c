/* SPDX-License-Identifier: Apache-2.0 */

/* The application's own keys are made by `default`: see keymgmt-local.h. */

#include "provider/keymgmt-local.h"

#include <stdlib.h>

struct LocalGen {
        Provider *prov;
        const char *type;
        const DefaultKeymgmt *def;
        void *ctx; /* of default */
};

LocalGen *local_gen_new(Provider *p, const char *type, int selection, const OSSL_PARAM params[]) {
        LocalGen *g;

        g = malloc(sizeof(*g));
        if (!g)
                return NULL;

        *g = (LocalGen){ .prov = p, .type = type, .def = default_keymgmt(p, type) };
        if (g->def)
                g->ctx = g->def->gen_init(g->def->provctx, selection, params);
        if (!g->ctx) {
                free(g);
                return NULL;
        }
        return g;
}

void local_gen_free(void *gen) {
        LocalGen *g = gen;

        if (!g)
                return;
        g->def->gen_cleanup(g->ctx);
        free(g);
}

int local_gen_set_template(void *gen, void *template) {
        const Key *k = template;
        LocalGen *g = gen;

        return g->def->gen_set_template && g->def->gen_set_template(g->ctx, k->data);
}

int local_gen_set_params(void *gen, const OSSL_PARAM params[]) {
        LocalGen *g = gen;

        return g->def->gen_set_params(g->ctx, params);
}

const OSSL_PARAM *local_gen_settable_params(void *gen, void *provctx) {
        LocalGen *g = gen;

        return g->def->gen_settable_params(g->ctx, g->def->provctx);
}

void *local_gen_run(void *gen, OSSL_CALLBACK *progress, void *progress_arg) {
        LocalGen *g = gen;
        void *data = g->def->gen(g->ctx, progress, progress_arg);

        return data ? key_new_local(g->prov, g->type, data) : NULL;
}
