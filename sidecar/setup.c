/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/setup.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No file is named of a key that came without one. */
static int load_credential(Setup *s, EVP_PKEY *key, Error *e) {
        if (!key)
                return credential_load(&s->credential, s->config.credential,
                                       s->config.credential_provider, s->config.client_id, e);
        free(TAKE(s->config.credential));
        return credential_new(&s->credential, key, "the credential", s->config.client_id, e);
}

static int load_account(Setup *s, const char *dir, Grant grant, EVP_PKEY *key, Error *e) {
        Error why = {};
        int r;

        r = sidecar_config_load(&s->config, dir, &why);
        if (r == -ENOENT) {
                (void) error_set(&s->why_not, -CSIGN_E_NO_CREDENTIAL, "there is no %s/sidecar.conf",
                                 dir);
                return 0;
        }
        if (r < 0)
                return error_set(e, r, "%s", why.detail);

        /* A machine's way to the service is its administrator's decision, and no process's. */
        s->config.proxy_of_environment = grant == GRANT_USER;

        r = load_credential(s, key, &s->why_not);
        if (r == -CSIGN_E_NO_CREDENTIAL || r == -CSIGN_E_BAD_CREDENTIAL)
                return 0;
        if (r < 0)
                return error_set(e, r, "%s", s->why_not.detail);
        return service_api_new(&s->api, &s->config, s->credential, e);
}

/* In a container the user's folder may be the machine's: its policy counts once. */
static const char *outer_policy(const char *dir, Grant grant) {
        return grant == GRANT_USER && strcmp(dir, MACHINE_POLICY_DIR) != 0 ? MACHINE_POLICY_DIR
                                                                           : NULL;
}

int setup_load(Setup **ret, const char *dir, Grant grant, EVP_PKEY *key, Error *e) {
        _cleanup_(setup_unrefp) Setup *s = NULL;
        int r;

        assert(ret && dir && e);

        s = calloc(1, sizeof(*s));
        if (!s)
                return error_set(e, -ENOMEM, "out of memory");
        atomic_init(&s->n_ref, 1);
        sidecar_config_init(&s->config);

        r = access_load(&s->access, dir, outer_policy(dir, grant), grant, geteuid(), e);
        if (r >= 0)
                r = key_cache_new(&s->keys, e);
        if (r >= 0)
                r = load_account(s, dir, grant, key, e);
        if (r < 0)
                return r;

        *ret = TAKE(s);
        return 0;
}

int setup_check(const Setup *s, Error *e) {
        if (s->api)
                return 0;
        *e = s->why_not;
        return s->why_not.code;
}

Setup *setup_ref(Setup *s) {
        (void) atomic_fetch_add_explicit(&s->n_ref, 1, memory_order_relaxed);
        return s;
}

void setup_unref(Setup *s) {
        if (!s || atomic_fetch_sub_explicit(&s->n_ref, 1, memory_order_acq_rel) > 1)
                return;
        service_api_free(s->api);
        credential_free(s->credential);
        key_cache_free(s->keys);
        access_free(s->access);
        sidecar_config_done(&s->config);
        free(s);
}
