/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The side of libcrypto that loaded us: its parameters, and its error queue. */

#include <openssl/core.h>
#include <openssl/core_dispatch.h>

#include "lib/error.h"

typedef struct Core {
        const OSSL_CORE_HANDLE *handle;
        OSSL_FUNC_core_get_params_fn *get_params;
        OSSL_FUNC_core_new_error_fn *new_error;
        OSSL_FUNC_core_set_error_debug_fn *set_error_debug;
        OSSL_FUNC_core_vset_error_fn *vset_error;
} Core;

void core_init(Core *core, const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in);

/* One line of our configuration section, or NULL.  The text lives as long as the provider. */
const char *core_config(const Core *core, const char *name);

/* Puts one entry into the application's error queue: `csign: detail (rule …, request …)`.  What
 * is its last entry already is not said twice.  This is the only place where csign's errors become
 * OpenSSL's.  Always 0, OpenSSL's word for failure: `return core_raise(core, &e);`. */
#define core_raise(core, e) core_raise_at(core, e, __FILE__, __LINE__, __func__)
int core_raise_at(const Core *core, const Error *e, const char *file, int line,
                  const char *function);

/* What GET_REASON_STRINGS answers: the titles of the error table. */
const OSSL_ITEM *core_reasons(void);
