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
        const char *message_max;
        const OSSL_ALGORITHM *keymgmts, *signatures; /* what fits the libcrypto that loaded us */
        _Atomic(SidecarClient *) client;
        _Atomic(struct Default *) def;           /* default.c's */
        _Atomic(struct Lookup *) remembered;     /* lookup.c's */
        _Atomic unsigned n_users;                /* remote keys and open stores */
        _Atomic(EVP_MD *) digests[HASH_IDS_MAX]; /* by HashAlg.id */
} Provider;

/* Connections to the sidecar are kept while there is a user, and closed when the last one goes. */
void provider_use(Provider *p);
void provider_unuse(Provider *p);

/* Does not connect yet.  NULL: the configuration is wrong. */
SidecarClient *provider_client(Provider *p, Error *e);

/* Whether a message may be passed on whole: -CSIGN_E_TOO_LARGE; or the configuration is wrong. */
int provider_check_message(Provider *p, uint64_t len, Error *e);

/* Belongs to the provider.  NULL: out of memory. */
const EVP_MD *provider_digest(Provider *p, const HashAlg *hash);

/* The hash of any name that OpenSSL knows it by; NULL if csign does not sign with it. */
const HashAlg *provider_hash_by_name(Provider *p, const char *name);

/* ---- the operations, one file each ---- */

/* Private, so that no other provider's keys are ever offered to them. */
#define EXCHANGE_NAME       "CSIGN-ECDH"
#define SIGNATURE_NAME      "CSIGN-HASH"
#define SIGNATURE_PURE_NAME "CSIGN-PURE" /* for keys that hash for themselves */

extern const OSSL_DISPATCH keymgmt_rsa_functions[];
extern const OSSL_DISPATCH keymgmt_ec_functions[];
extern const OSSL_DISPATCH keymgmt_ed25519_functions[];
extern const OSSL_DISPATCH keymgmt_ml_dsa_44_functions[];
extern const OSSL_DISPATCH keymgmt_ml_dsa_65_functions[];
extern const OSSL_DISPATCH keymgmt_ml_dsa_87_functions[];
extern const OSSL_DISPATCH keyexch_functions[];
extern const OSSL_DISPATCH signature_functions[];
extern const OSSL_DISPATCH signature_pure_functions_3_0[];
extern const OSSL_DISPATCH signature_pure_functions_3_4[];
extern const OSSL_DISPATCH store_functions[];
extern const OSSL_DISPATCH decoder_pem_functions[];
extern const OSSL_DISPATCH decoder_rsa_functions[];
extern const OSSL_DISPATCH decoder_ec_functions[];
extern const OSSL_DISPATCH decoder_ed25519_functions[];
extern const OSSL_DISPATCH decoder_ml_dsa_44_functions[];
extern const OSSL_DISPATCH decoder_ml_dsa_65_functions[];
extern const OSSL_DISPATCH decoder_ml_dsa_87_functions[];
extern const OSSL_DISPATCH encoder_text_functions[];
extern const OSSL_DISPATCH encoder_pem_functions[];
