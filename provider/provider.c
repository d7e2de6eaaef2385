/* SPDX-License-Identifier: Apache-2.0 */

/* csign.so: loading registers tables and does nothing else.  Every process of a host may load it by
 * way of openssl.cnf, and most never sign. */

#include "provider/provider.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "lib/config.h"
#include "lib/message.h"
#include "lib/ossl.h"
#include "provider/default.h"
#include "provider/lookup.h"

#define NAME       "csign"
#define PROPERTIES "provider=csign"

/* clang-format off */
#define KEYS "keys held by a csign service"
#define SIGNATURES "signatures made by a csign service"

static const OSSL_ALGORITHM keymgmt_algorithms[] = {
        { "RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTIES, keymgmt_rsa_functions, KEYS },
        { "EC:id-ecPublicKey:1.2.840.10045.2.1", PROPERTIES, keymgmt_ec_functions, KEYS },
        { "ED25519:1.3.101.112", PROPERTIES, keymgmt_ed25519_functions, KEYS },
        { NULL, NULL, NULL, NULL },
};

/* ML-DSA only where `default` has it: who shadows an algorithm must be able to hand on to it. */
static const OSSL_ALGORITHM keymgmt_algorithms_3_5[] = {
        { "RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTIES, keymgmt_rsa_functions, KEYS },
        { "EC:id-ecPublicKey:1.2.840.10045.2.1", PROPERTIES, keymgmt_ec_functions, KEYS },
        { "ED25519:1.3.101.112", PROPERTIES, keymgmt_ed25519_functions, KEYS },
        { "ML-DSA-44:MLDSA44:2.16.840.1.101.3.4.3.17:id-ml-dsa-44", PROPERTIES, keymgmt_ml_dsa_44_functions, KEYS },
        { "ML-DSA-65:MLDSA65:2.16.840.1.101.3.4.3.18:id-ml-dsa-65", PROPERTIES, keymgmt_ml_dsa_65_functions, KEYS },
        { "ML-DSA-87:MLDSA87:2.16.840.1.101.3.4.3.19:id-ml-dsa-87", PROPERTIES, keymgmt_ml_dsa_87_functions, KEYS },
        { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM keyexch_algorithms[] = {
        { EXCHANGE_NAME, PROPERTIES, keyexch_functions, "ECDH by the application's own keys" },
        { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM signature_algorithms[] = {
        { SIGNATURE_NAME, PROPERTIES, signature_functions, SIGNATURES },
        { SIGNATURE_PURE_NAME, PROPERTIES, signature_pure_functions_3_0, SIGNATURES },
        { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM signature_algorithms_3_4[] = {
        { SIGNATURE_NAME, PROPERTIES, signature_functions, SIGNATURES },
        { SIGNATURE_PURE_NAME, PROPERTIES, signature_pure_functions_3_4, SIGNATURES },
        { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM store_algorithms[] = {
        { "csign", PROPERTIES, store_functions, "keys and certificates by csign: URI" },
        { NULL, NULL, NULL, NULL },
};

/* PEM to DER, then DER to a key: the first must be named DER, or readers of PEM files do not look at it. */
static const OSSL_ALGORITHM decoder_algorithms[] = {
        { "DER", PROPERTIES ",input=pem", decoder_pem_functions, "csign key references" },
        { "RSA", PROPERTIES ",input=der,structure=csign", decoder_rsa_functions, "csign key references" },
        { "EC", PROPERTIES ",input=der,structure=csign", decoder_ec_functions, "csign key references" },
        { "ED25519", PROPERTIES ",input=der,structure=csign", decoder_ed25519_functions, "csign key references" },
        { "ML-DSA-44", PROPERTIES ",input=der,structure=csign", decoder_ml_dsa_44_functions, "csign key references" },
        { "ML-DSA-65", PROPERTIES ",input=der,structure=csign", decoder_ml_dsa_65_functions, "csign key references" },
        { "ML-DSA-87", PROPERTIES ",input=der,structure=csign", decoder_ml_dsa_87_functions, "csign key references" },
        { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM encoder_algorithms[] = {
        { "RSA", PROPERTIES ",output=text", encoder_text_functions, "csign keys for people" },
        { "EC", PROPERTIES ",output=text", encoder_text_functions, "csign keys for people" },
        { "ED25519", PROPERTIES ",output=text", encoder_text_functions, "csign keys for people" },
        { "ML-DSA-44", PROPERTIES ",output=text", encoder_text_functions, "csign keys for people" },
        { "ML-DSA-65", PROPERTIES ",output=text", encoder_text_functions, "csign keys for people" },
        { "ML-DSA-87", PROPERTIES ",output=text", encoder_text_functions, "csign keys for people" },
        { "RSA", PROPERTIES ",output=pem,structure=PrivateKeyInfo", encoder_pem_functions, "csign key references" },
        { "EC", PROPERTIES ",output=pem,structure=PrivateKeyInfo", encoder_pem_functions, "csign key references" },
        { "ED25519", PROPERTIES ",output=pem,structure=PrivateKeyInfo", encoder_pem_functions, "csign key references" },
        { "ML-DSA-44", PROPERTIES ",output=pem,structure=PrivateKeyInfo", encoder_pem_functions, "csign key references" },
        { "ML-DSA-65", PROPERTIES ",output=pem,structure=PrivateKeyInfo", encoder_pem_functions, "csign key references" },
        { "ML-DSA-87", PROPERTIES ",output=pem,structure=PrivateKeyInfo", encoder_pem_functions, "csign key references" },
        { NULL, NULL, NULL, NULL },
};
/* clang-format on */

static const OSSL_ALGORITHM *query_operation(void *provctx, int operation, int *no_cache) {
        const Provider *p = provctx;

        *no_cache = 0;

        switch (operation) {
        case OSSL_OP_KEYMGMT:
                return p->keymgmts;
        case OSSL_OP_KEYEXCH:
                return keyexch_algorithms;
        case OSSL_OP_SIGNATURE:
                return p->signatures;
        case OSSL_OP_STORE:
                return store_algorithms;
        case OSSL_OP_DECODER:
                return decoder_algorithms;
        case OSSL_OP_ENCODER:
                return encoder_algorithms;
        }
        return NULL;
}

static const OSSL_PARAM *gettable_params(void *provctx) {
        static const OSSL_PARAM params[] = {
                OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, NULL, 0),
                OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_VERSION, NULL, 0),
                OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_BUILDINFO, NULL, 0),
                OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, NULL),
                OSSL_PARAM_END,
        };

        return params;
}

static int get_params(void *provctx, OSSL_PARAM params[]) {
        OSSL_PARAM *p;

        p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_NAME);
        if (p && !OSSL_PARAM_set_utf8_ptr(p, NAME))
                return 0;
        p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_VERSION);
        if (p && !OSSL_PARAM_set_utf8_ptr(p, CSIGN_VERSION))
                return 0;
        p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_BUILDINFO);
        if (p && !OSSL_PARAM_set_utf8_ptr(p, CSIGN_VERSION))
                return 0;
        p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);
        return !p || OSSL_PARAM_set_int(p, 1);
}

static const OSSL_ITEM *get_reason_strings(void *provctx) {
        return core_reasons();
}

/* May run while the process exits, or never: nothing that matters happens here. */
static void teardown(void *provctx) {
        Provider *p = provctx;

        lookup_forget(p);
        sidecar_client_free(atomic_load(&p->client));
        for (size_t i = 0; i < HASH_IDS_MAX; i++)
                EVP_MD_free(atomic_load(&p->digests[i]));
        default_free(atomic_load(&p->def));
        OSSL_LIB_CTX_free(p->libctx);
        free(p);
}

void provider_use(Provider *p) {
        atomic_fetch_add_explicit(&p->n_users, 1, memory_order_relaxed);
}

void provider_unuse(Provider *p) {
        SidecarClient *client;

        if (atomic_fetch_sub_explicit(&p->n_users, 1, memory_order_acq_rel) != 1)
                return;

        client = atomic_load(&p->client);
        if (client)
                sidecar_client_drain(client);
}

static int parse_timeout(const char *text, uint64_t *ret, Error *e) {
        Error why = {};
        int r;

        if (!text)
                return 0;

        r = config_seconds(text, ret, &why);
        if (r < 0)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "timeout in openssl.cnf: %s", why.detail);
        return 0;
}

int provider_check_message(Provider *p, uint64_t len, Error *e) {
        size_t max = MESSAGE_MAX_DEFAULT;
        Error why = {};

        if (p->message_max && config_bytes(p->message_max, &max, &why) < 0)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "message-max in openssl.cnf: %s",
                                 why.detail);
        return message_check_size(len, max, e);
}

SidecarClient *provider_client(Provider *p, Error *e) {
        SidecarClient *seen = atomic_load(&p->client), *mine = NULL;
        uint64_t timeout_usec = 0;

        if (seen)
                return seen;

        /* The variable is there to override, for one run, what the host has set. */
        if (parse_timeout(p->timeout, &timeout_usec, e) < 0 ||
            sidecar_client_new(&mine, secure_getenv("CSIGN_BUS") ? NULL : p->address, timeout_usec,
                               e) < 0)
                return NULL;

        if (atomic_compare_exchange_strong(&p->client, &seen, mine))
                return mine;
        sidecar_client_free(mine);
        return seen;
}

const EVP_MD *provider_digest(Provider *p, const HashAlg *hash) {
        _Atomic(EVP_MD *) *slot = &p->digests[hash->id % HASH_IDS_MAX];
        EVP_MD *seen = atomic_load(slot), *mine;

        if (seen)
                return seen;

        mine = EVP_MD_fetch(p->libctx, hash->name, NULL);
        if (!mine || atomic_compare_exchange_strong(slot, &seen, mine))
                return mine;
        EVP_MD_free(mine);
        return seen;
}

const HashAlg *provider_hash_by_name(Provider *p, const char *name) {
        const HashAlg *hash = hash_alg_by_name(name);
        _cleanup_(EVP_MD_freep) EVP_MD *md = NULL;

        if (hash)
                return hash;

        md = EVP_MD_fetch(p->libctx, name, NULL);
        for (size_t i = 0; md && (hash = hash_alg_at(i)); i++)
                if (EVP_MD_is_a(md, hash->name))
                        return hash;
        return NULL;
}

/* ---- TLS ----
 *
 * libssl uses a group or a signature algorithm only if the provider that announces it is also the
 * one whose keys it would get.  When that happens to be us, we announce what `default` does. */

/* What of a capability is about keys that we manage: where this parameter begins so. */
static const struct {
        const char *capability, *param, *begin;
} ours[] = {
        { "TLS-GROUP", OSSL_CAPABILITY_TLS_GROUP_ALG, "EC" },
        { "TLS-SIGALG", "tls-sigalg-name", "ML-DSA-" }, /* since 3.2; the others are libssl's own */
};

typedef struct Forward {
        size_t which; /* of ours */
        OSSL_CALLBACK *cb;
        void *arg;
        int ok;
} Forward;

static int forward_one(const OSSL_PARAM params[], void *arg) {
        const Forward *f = arg;
        const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, ours[f->which].param);
        const char *begin = ours[f->which].begin, *name = NULL;

        if (!p || !OSSL_PARAM_get_utf8_string_ptr(p, &name) ||
            strncmp(name, begin, strlen(begin)) != 0)
                return 1;
        return f->cb(params, f->arg);
}

static int forward_all(OSSL_PROVIDER *def, void *arg) {
        Forward *f = arg;

        f->ok = OSSL_PROVIDER_get_capabilities(def, ours[f->which].capability, forward_one, f);
        return f->ok;
}

static int get_capabilities(void *provctx, const char *capability, OSSL_CALLBACK *cb, void *arg) {
        Provider *p = provctx;

        for (size_t i = 0; i < ELEMENTSOF(ours); i++) {
                Forward f = { .which = i, .cb = cb, .arg = arg, .ok = 1 };

                if (strcmp(ours[i].capability, capability) != 0)
                        continue;
                /* There is only one. */
                (void) OSSL_PROVIDER_do_all(p->libctx, forward_all, &f);
                return f.ok;
        }
        return 0;
}

static const OSSL_DISPATCH provider_functions[] = {
        { OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void)) teardown },
        { OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void)) gettable_params },
        { OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void)) get_params },
        { OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void)) query_operation },
        { OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void)) get_capabilities },
        { OSSL_FUNC_PROVIDER_GET_REASON_STRINGS, (void (*)(void)) get_reason_strings },
        { 0, NULL },
};

/* 3005 for "3.5.1": the libcrypto that loaded us, which need not be the one that built us. */
static unsigned core_version(const Core *core) {
        const char *text = core_config(core, OSSL_PROV_PARAM_CORE_VERSION);
        unsigned major = 0, minor = 0;

        if (!text || sscanf(text, "%u.%u", &major, &minor) != 2)
                return 0;
        return major * 1000 + minor;
}

static void choose_tables(Provider *p) {
        unsigned version = core_version(&p->core);

        p->keymgmts = version >= 3005 ? keymgmt_algorithms_3_5 : keymgmt_algorithms;
        p->signatures = version >= 3004 ? signature_algorithms_3_4 : signature_algorithms;
}

/* libcrypto may call this in the middle of its own initialisation: nothing here may touch the
 * application's library context. */
_public_ OSSL_provider_init_fn OSSL_provider_init;

int OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                       const OSSL_DISPATCH **out, void **provctx) {
        Provider *p;

        p = calloc(1, sizeof(*p));
        if (!p)
                return 0;

        core_init(&p->core, handle, in);
        p->address = core_config(&p->core, "sidecar-address");
        p->timeout = core_config(&p->core, "timeout");
        p->message_max = core_config(&p->core, "message-max");
        choose_tables(p);
        p->libctx = OSSL_LIB_CTX_new_from_dispatch(handle, in);
        if (!p->libctx) {
                free(p);
                return 0;
        }

        *out = provider_functions;
        *provctx = p;
        return 1;
}
