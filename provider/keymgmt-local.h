/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Key management for the application's own keys.
 *
 * libcrypto may put a provider named csign in front of `default`: it sorts providers by name
 * whenever one is looked up.  Then key generation and import for RSA and EC arrive here, and must
 * work as if we were not there: `default` does them, in our private context, and the result can be
 * exported in full to whoever uses it next. */

#include "provider/key.h"

/* Selections are OSSL_KEYMGMT_SELECT_*; results are as keymgmt functions give them: 1 or 0. */
int local_has(const Key *k, int selection);
int local_validate(const Key *k, int selection, int checktype);
int local_import(Key *k, int selection, const OSSL_PARAM params[]);
int local_set_params(Key *k, const OSSL_PARAM params[]);

/* A local key with those parts of another key that are selected; of a remote key too. */
Key *local_copy(const Key *k, int selection);

typedef struct LocalGen LocalGen;

LocalGen *local_gen_new(Provider *p, const char *type, int selection, const OSSL_PARAM params[]);
int local_gen_set_template(void *gen, void *template);
int local_gen_set_params(void *gen, const OSSL_PARAM params[]);
const OSSL_PARAM *local_gen_settable_params(void *gen, void *provctx);
void *local_gen_run(void *gen, OSSL_CALLBACK *progress, void *progress_arg);
void local_gen_free(void *gen);
