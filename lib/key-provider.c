/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/key-provider.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

const char *key_provider_reason(void) {
        const char *data = NULL, *reason;
        unsigned long code;
        int flags = 0;

        code = ERR_peek_last_error_all(NULL, NULL, NULL, &data, &flags);
        if (data && *data && (flags & ERR_TXT_STRING))
                return data;
        reason = code ? ERR_reason_error_string(code) : NULL;
        return reason ? reason : "no reason was given";
}

/* Else `default` signs, with a copy of the key that has no private half (tpm2-openssl 1.1). */
static int prefer_it(KeyProvider *p, const char *name) {
        char properties[80];

        snprintf(properties, sizeof(properties), "?provider=%s", name);
        return EVP_set_default_properties(p->context, properties) == 1 ? 0 : -ENOMEM;
}

static int load(KeyProvider *p, const char *name, Error *e) {
        p->context = OSSL_LIB_CTX_new(); /* which reads no openssl.cnf */
        if (!p->context || prefer_it(p, name) < 0)
                return error_set(e, -ENOMEM, "out of memory");
        p->beside = OSSL_PROVIDER_load(p->context, "default");
        p->itself = p->beside ? OSSL_PROVIDER_load(p->context, name) : NULL;
        if (!p->itself)
                return error_set(e, -CSIGN_E_BAD_CREDENTIAL,
                                 "the credential's OpenSSL provider '%s' does not start (%s): is "
                                 "its package installed, and may this user use its device?",
                                 name, key_provider_reason());
        return 0;
}

int key_provider_open(KeyProvider **ret, const char *name, Error *e) {
        _cleanup_(key_provider_closep) KeyProvider *p = NULL;
        int r;

        assert(ret && name);

        p = calloc(1, sizeof(*p));
        if (!p)
                return error_set(e, -ENOMEM, "out of memory");
        (void) pthread_mutex_init(&p->lock, NULL);

        ERR_set_mark();
        r = load(p, name, e);
        ERR_pop_to_mark();
        if (r < 0)
                return r;
        *ret = TAKE(p);
        return 0;
}

void key_provider_close(KeyProvider *p) {
        if (!p)
                return;
        if (p->itself)
                (void) OSSL_PROVIDER_unload(p->itself);
        if (p->beside)
                (void) OSSL_PROVIDER_unload(p->beside);
        OSSL_LIB_CTX_free(p->context);
        (void) pthread_mutex_destroy(&p->lock);
        free(p);
}
