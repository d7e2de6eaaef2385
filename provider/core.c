/* SPDX-License-Identifier: Apache-2.0 */

/* Upcalls to the libcrypto that loaded us. */

#include "provider/core.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/params.h>

/* Reasons are the rows of the error table, from 1. */
#define REASON(code) ((uint32_t) ((code) -CSIGN_E_BEGIN_))

void core_init(Core *core, const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in) {
        *core = (Core){ .handle = handle };

        for (; in->function_id != 0; in++)
                switch (in->function_id) {
                case OSSL_FUNC_CORE_GET_PARAMS:
                        core->get_params = OSSL_FUNC_core_get_params(in);
                        break;
                case OSSL_FUNC_CORE_NEW_ERROR:
                        core->new_error = OSSL_FUNC_core_new_error(in);
                        break;
                case OSSL_FUNC_CORE_SET_ERROR_DEBUG:
                        core->set_error_debug = OSSL_FUNC_core_set_error_debug(in);
                        break;
                case OSSL_FUNC_CORE_VSET_ERROR:
                        core->vset_error = OSSL_FUNC_core_vset_error(in);
                        break;
                }
}

const char *core_config(const Core *core, const char *name) {
        char *value = NULL;
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_utf8_ptr(name, &value, 0),
                OSSL_PARAM_construct_end(),
        };

        if (!core->get_params || core->get_params(core->handle, params) != 1)
                return NULL;
        return value;
}

static void set_error(const Core *core, uint32_t reason, const char *fmt, ...) {
        va_list ap;

        va_start(ap, fmt);
        core->vset_error(core->handle, reason, fmt, ap);
        va_end(ap);
}

/* OpenSSL tries several ways to one end, and each that we refuse would say the same again. */
static bool was_just_said(const char *text) {
        const char *last = NULL;
        int flags = 0;

        return ERR_peek_last_error_data(&last, &flags) != 0 && (flags & ERR_TXT_STRING) &&
               strcmp(last, text) == 0;
}

int core_raise_at(const Core *core, const Error *e, const char *file, int line,
                  const char *function) {
        const char *slash = strrchr(file, '/');
        char text[ERROR_TEXT_MAX], entry[ERROR_TEXT_MAX + 8];

        (void) snprintf(entry, sizeof(entry), "csign: %s", error_text(e, text));
        if (!core->new_error || !core->set_error_debug || !core->vset_error || was_just_said(entry))
                return 0;

        core->new_error(core->handle);
        core->set_error_debug(core->handle, slash ? slash + 1 : file, line, function);
        set_error(core, REASON(error_info(e->code)->code), "%s", entry);
        return 0;
}

const OSSL_ITEM *core_reasons(void) {
        static const OSSL_ITEM reasons[] = {
#define X(name, wire, http, exit, title, advice) { REASON(CSIGN_E_##name), (char *) title },
                CSIGN_ERROR_LIST(X)
#undef X
                        { 0, NULL },
        };

        return reasons;
}
