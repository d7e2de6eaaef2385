/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Generation of the application's own keys.
 *
 * libcrypto may put a provider named csign in front of `default`: it sorts providers by name
 * whenever one is looked up.  Then key generation and import for RSA and EC arrive here, and must
 * work as if we were not there: `default` does them, and the result can be exported in full to
 * whoever uses it next. */

#include "provider/key.h"

typedef struct LocalGen LocalGen;

/* As keymgmt functions: 1 or 0. */
LocalGen *local_gen_new(Provider *p, const char *type, int selection, const OSSL_PARAM params[]);
int local_gen_set_template(void *gen, void *template);
int local_gen_set_params(void *gen, const OSSL_PARAM params[]);
const OSSL_PARAM *local_gen_settable_params(void *gen, void *provctx);
void *local_gen_run(void *gen, OSSL_CALLBACK *progress, void *progress_arg);
void local_gen_free(void *gen);
