/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The functions of OpenSSL's own provider, `default`, which does all that is not a remote
 * signature.
 *
 * Called as they are, for where libcrypto has put us in front of `default` they stand between an
 * application and its own keys: EVP objects around each call would make a TLS key share a fifteenth
 * slower.  A function may be NULL where `default` has none. */

#include "provider/provider.h"

#define DEFAULT_KEYMGMT_FUNCTIONS(X)                                                               \
        X(NEW, new)                                                                                \
        X(FREE, free)                                                                              \
        X(DUP, dup)                                                                                \
        X(HAS, has)                                                                                \
        X(MATCH, match)                                                                            \
        X(VALIDATE, validate)                                                                      \
        X(IMPORT, import)                                                                          \
        X(EXPORT, export)                                                                          \
        X(GET_PARAMS, get_params)                                                                  \
        X(GETTABLE_PARAMS, gettable_params)                                                        \
        X(SET_PARAMS, set_params)                                                                  \
        X(SETTABLE_PARAMS, settable_params)                                                        \
        X(GEN_INIT, gen_init)                                                                      \
        X(GEN_SET_TEMPLATE, gen_set_template)                                                      \
        X(GEN_SET_PARAMS, gen_set_params)                                                          \
        X(GEN_SETTABLE_PARAMS, gen_settable_params)                                                \
        X(GEN, gen)                                                                                \
        X(GEN_CLEANUP, gen_cleanup)

#define DEFAULT_KEYEXCH_FUNCTIONS(X)                                                               \
        X(NEWCTX, newctx)                                                                          \
        X(FREECTX, freectx)                                                                        \
        X(DUPCTX, dupctx)                                                                          \
        X(INIT, init)                                                                              \
        X(SET_PEER, set_peer)                                                                      \
        X(DERIVE, derive)                                                                          \
        X(SET_CTX_PARAMS, set_ctx_params)                                                          \
        X(GET_CTX_PARAMS, get_ctx_params)

typedef struct DefaultKeymgmt {
        void *provctx;
#define X(id, name) OSSL_FUNC_keymgmt_##name##_fn *name;
        DEFAULT_KEYMGMT_FUNCTIONS(X)
#undef X
} DefaultKeymgmt;

typedef struct DefaultKeyexch {
        void *provctx;
#define X(id, name) OSSL_FUNC_keyexch_##name##_fn *name;
        DEFAULT_KEYEXCH_FUNCTIONS(X)
#undef X
} DefaultKeyexch;

/* By the first of a type's names: "RSA", "ML-DSA-65".  NULL: `default` does not have it, or not all
 * of it that a key needs. */
const DefaultKeymgmt *default_keymgmt(Provider *p, const char *type);
const DefaultKeyexch *default_ecdh(Provider *p);

void default_free(struct Default *d);
