/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An OpenSSL provider that has the account's key where no file has it, in a TPM for example.  It is
 * loaded beside `default` into a library context of its own, for one key, and serves nothing else.
 * With each comes a connection to the TPM: two keys of one would share their handles, and the end
 * of one would be the end of both. */

#include <pthread.h>

#include <openssl/types.h>

#include "lib/error.h"
#include "lib/macro.h"

typedef struct KeyProvider {
        OSSL_LIB_CTX *context;
        OSSL_PROVIDER *itself, *beside;
        /* tpm2-openssl 1.1 speaks to the TPM without one: held by who signs. */
        pthread_mutex_t lock;
} KeyProvider;

/* -CSIGN_E_BAD_CREDENTIAL: there is no such provider, or it does not start. */
int key_provider_open(KeyProvider **ret, const char *name, Error *e);
void key_provider_close(KeyProvider *p);
DEFINE_CLEANUP(KeyProvider, key_provider_close)

/* OpenSSL's own words for what failed last in this thread, or "no reason was given". */
const char *key_provider_reason(void);
