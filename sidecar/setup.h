/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All that the configuration folder says, as one object that does not change: a Reload() makes
 * another and swaps it in, while calls that are under way finish with the one that they began with.
 */

#include <stdatomic.h>

#include "lib/credential.h"
#include "lib/error.h"
#include "sidecar/access.h"
#include "sidecar/config.h"
#include "sidecar/keys.h"
#include "sidecar/service-api.h"

typedef struct Setup {
        atomic_uint n_ref;
        SidecarConfig config;
        Access *access;
        KeyCache *keys;
        Credential *credential;
        ServiceApi *api; /* NULL: nothing can be signed, and why_not tells why */
        Error why_not;
} Setup;

/* key: the account's, if it was handed over to this process; NULL: the configuration names its
 * file.
 *
 * A wrong configuration or policy is a failure: -CSIGN_E_BAD_CONFIG.  No configuration yet, or a
 * credential that cannot be used, is not: then api is NULL. */
int setup_load(Setup **ret, const char *dir, Grant grant, EVP_PKEY *key, Error *e);

/* 0, or why_not. */
int setup_check(const Setup *s, Error *e);

Setup *setup_ref(Setup *s);
void setup_unref(Setup *s);
DEFINE_CLEANUP(Setup, setup_unref)
