/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What one loaded instance of the provider has, and the operations it is made of.
 *
 * An instance is shared by all threads of its application and survives fork: everything here is set
 * at load and then only read, or made at first use and published by one atomic exchange. */

#include <stdatomic.h>
#include <stdbool.h>

#include <openssl/core_dispatch.h>
#include <openssl/evp.h>

#include "lib/alg.h"
#include "lib/sidecar-client.h"
#include "provider/core.h"

#define HASH_IDS_MAX 16

typedef struct Provider {
        Core core;

        /* Ours alone, with nothing but `default` in it: public keys live here, and all that is not
         * a remote signature is done here.  The application's context may lack `default`, or prefer
         * us to it. */
        OSSL_LIB_CTX *libctx;

        const char *address; /* from the configuration section, or NULL */
        const char *timeout;
        _Atomic(SidecarClient *) client;
        _Atomic unsigned n_users;                /* remote keys and open stores */
        _Atomic(EVP_MD *) digests[HASH_IDS_MAX]; /* by HashAlg.id */
} Provider;

/* Connections to the sidecar are kept while there is a user, and closed when the last one goes. */
void provider_use(Provider *p);
void provider_unuse(Provider *p);

/* Does not connect yet.  NULL: the configuration is wrong. */
SidecarClient *provider_client(Provider *p, Error *e);

/* Belongs to the provider.  NULL: out of memory. */
const EVP_MD *provider_digest(Provider *p, const HashAlg *hash);

/* The hash of any name that OpenSSL knows it by; NULL if csign does not sign with it. */
const HashAlg *provider_hash_by_name(Provider *p, const char *name);

/* ---- the operations, one file each ---- */

#define EXCHANGE_NAME "CSIGN-ECDH" /* private, as the next */
#define SIGNATURE_NAME                                                                             \
        "CSIGN-HASH" /* private, so that no other provider's keys are ever offered to it */

extern const OSSL_DISPATCH keymgmt_rsa_functions[];
extern const OSSL_DISPATCH keymgmt_ec_functions[];
extern const OSSL_DISPATCH keyexch_functions[];
extern const OSSL_DISPATCH signature_functions[];
extern const OSSL_DISPATCH store_functions[];
extern const OSSL_DISPATCH decoder_pem_functions[];
extern const OSSL_DISPATCH decoder_rsa_functions[];
extern const OSSL_DISPATCH decoder_ec_functions[];
extern const OSSL_DISPATCH encoder_text_functions[];
extern const OSSL_DISPATCH encoder_pem_functions[];
