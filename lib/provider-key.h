/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A provider's key in the shape of any other: one that libcurl's TLS, which knows nothing of the
 * provider's library context, can sign with, from any thread. */

#include <openssl/types.h>

#include "lib/error.h"
#include "lib/key-provider.h"

/* Takes the provider and the key, whatever comes of it.  -CSIGN_E_BAD_CREDENTIAL: it is not an EC
 * key.  (TLS 1.3 wants of RSA a padding that TPMs do not make.) */
int provider_key_new(EVP_PKEY **ret, KeyProvider *provider, EVP_PKEY *key, const char *place,
                     Error *e);
