/* SPDX-License-Identifier: Apache-2.0 */

/* Key management under the standard names, so that applications which look at a key's type see RSA
 * or EC.  What can be said of a remote key is said by its public half in our private context; its
 * private half is never exported, which is also what keeps other providers from signing with it. */

#include <string.h>

#include <openssl/core_names.h>

#include "lib/ossl.h"
#include "provider/key.h"
#include "provider/keymgmt-local.h"

#define SELECT_PRIVATE OSSL_KEYMGMT_SELECT_PRIVATE_KEY
#define SELECT_KEYPAIR OSSL_KEYMGMT_SELECT_KEYPAIR

static void *keymgmt_load(const void *reference, size_t size) {
        Key **given = (Key **) reference;

        if (!reference || size != sizeof(*given))
                return NULL;
        return TAKE(*given);
}

static void keymgmt_free(void *keydata) {
        key_unref(keydata);
}

/* An immutable key is its own copy; but a copy of its public half or parameters alone must not
 * sign. */
static void *keymgmt_dup(const void *keydata, int selection) {
        Key *k = (Key *) keydata;

        void *data;

        if (key_is_remote(k) && (selection & SELECT_PRIVATE))
                return key_ref(k);
        data = k->def->dup(k->data, selection);
        return data ? key_new_local(k->prov, k->type, data) : NULL;
}

static int keymgmt_has(const void *keydata, int selection) {
        const Key *k = keydata;

        return k && (key_is_remote(k) || k->def->has(k->data, selection));
}

/* Of a remote key, only the public half can be looked at. */
static int public_only(int selection) {
        if (selection & SELECT_PRIVATE)
                selection = (selection & ~SELECT_PRIVATE) | OSSL_KEYMGMT_SELECT_PUBLIC_KEY;
        return selection;
}

static int keymgmt_match(const void *keydata1, const void *keydata2, int selection) {
        const Key *a = keydata1, *b = keydata2;

        if (key_is_remote(a) || key_is_remote(b))
                selection = public_only(selection);
        return a->def == b->def && a->def->match(a->data, b->data, selection);
}

static int keymgmt_validate(const void *keydata, int selection, int checktype) {
        const Key *k = keydata;

        if (key_is_remote(k))
                selection = public_only(selection);
        return k->def->validate(k->data, selection, checktype);
}

static int keymgmt_export(void *keydata, int selection, OSSL_CALLBACK *param_cb, void *cbarg) {
        const Key *k = keydata;
        Error e = {};

        if (key_is_remote(k) && (selection & SELECT_PRIVATE)) {
                error_set_rule(
                        &e, -CSIGN_E_NOT_PERMITTED, "private-key",
                        "refused: the private key of '%s' is in the signing service and stays "
                        "there",
                        k->name);
                return core_raise(&k->prov->core, &e);
        }
        return k->def->export(k->data, selection, param_cb, cbarg);
}

static int keymgmt_import(void *keydata, int selection, const OSSL_PARAM params[]) {
        Key *k = keydata;

        if (key_is_remote(k))
                return 0;
        key_drop_pkey(k);
        return k->def->import(k->data, selection, params);
}

static int keymgmt_get_params(void *keydata, OSSL_PARAM params[]) {
        const Key *k = keydata;

        return k->def->get_params(k->data, params);
}

/* How to write a private key means nothing here, but `openssl ec` always sets it. */
static bool is_only_for_private_keys(const OSSL_PARAM params[]) {
        for (; params->key; params++)
                if (strcmp(params->key, OSSL_PKEY_PARAM_EC_INCLUDE_PUBLIC) != 0)
                        return false;
        return true;
}

static int keymgmt_set_params(void *keydata, const OSSL_PARAM params[]) {
        Key *k = keydata;

        if (!params || !params->key)
                return 1;
        if (key_is_remote(k))
                return is_only_for_private_keys(params);
        key_drop_pkey(k);
        return k->def->set_params && k->def->set_params(k->data, params);
}

static const OSSL_PARAM *gettable_params(Provider *p, const char *type) {
        const DefaultKeymgmt *def = default_keymgmt(p, type);

        return def ? def->gettable_params(def->provctx) : NULL;
}

static const OSSL_PARAM *settable_params(Provider *p, const char *type) {
        const DefaultKeymgmt *def = default_keymgmt(p, type);

        return def && def->settable_params ? def->settable_params(def->provctx) : NULL;
}

/* ---- RSA ---- */

static void *rsa_new(void *provctx) {
        return key_new_local(provctx, "RSA", NULL);
}

static void *rsa_gen_init(void *provctx, int selection, const OSSL_PARAM params[]) {
        return local_gen_new(provctx, "RSA", selection, params);
}

static const OSSL_PARAM *rsa_gettable_params(void *provctx) {
        return gettable_params(provctx, "RSA");
}

static const OSSL_PARAM *rsa_settable_params(void *provctx) {
        return settable_params(provctx, "RSA");
}

static const OSSL_PARAM *rsa_types(int selection) {
        static const OSSL_PARAM types[] = {
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_D, NULL, 0),
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_FACTOR1, NULL, 0),
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_FACTOR2, NULL, 0),
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_EXPONENT1, NULL, 0),
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_EXPONENT2, NULL, 0),
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_COEFFICIENT1, NULL, 0),
                OSSL_PARAM_END,
        };

        return selection & SELECT_KEYPAIR ? types : NULL;
}

/* Signatures are ours; for all else `default` is asked, and gets a local key by export. */
static const char *rsa_query_operation_name(int operation) {
        return operation == OSSL_OP_SIGNATURE ? SIGNATURE_NAME : "RSA";
}

/* ---- EC ---- */

static void *ec_new(void *provctx) {
        return key_new_local(provctx, "EC", NULL);
}

static void *ec_gen_init(void *provctx, int selection, const OSSL_PARAM params[]) {
        return local_gen_new(provctx, "EC", selection, params);
}

static const OSSL_PARAM *ec_gettable_params(void *provctx) {
        return gettable_params(provctx, "EC");
}

static const OSSL_PARAM *ec_settable_params(void *provctx) {
        return settable_params(provctx, "EC");
}

static const OSSL_PARAM *ec_types(int selection) {
        static const OSSL_PARAM types[] = {
                OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_FIELD_TYPE, NULL, 0),
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_P, NULL, 0),
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_A, NULL, 0),
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_B, NULL, 0),
                OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_EC_GENERATOR, NULL, 0),
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_ORDER, NULL, 0),
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_COFACTOR, NULL, 0),
                OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_EC_SEED, NULL, 0),
                OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_PRIV_KEY, NULL, 0),
                OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, NULL),
                OSSL_PARAM_END,
        };

        return selection & (SELECT_KEYPAIR | OSSL_KEYMGMT_SELECT_ALL_PARAMETERS) ? types : NULL;
}

static const char *ec_query_operation_name(int operation) {
        if (operation == OSSL_OP_SIGNATURE)
                return SIGNATURE_NAME;
        return operation == OSSL_OP_KEYEXCH ? EXCHANGE_NAME : "EC";
}

/* ---- Ed25519, ML-DSA ---- */

static const OSSL_PARAM *raw_types(int selection) {
        static const OSSL_PARAM types[] = {
                OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, NULL, 0),
                OSSL_PARAM_octet_string("seed", NULL, 0), /* ML-DSA's */
                OSSL_PARAM_END,
        };

        return selection & SELECT_KEYPAIR ? types : NULL;
}

#define RAW_TYPE(id, name)                                                                         \
        static void *id##_new(void *provctx) {                                                     \
                return key_new_local(provctx, name, NULL);                                         \
        }                                                                                          \
        static void *id##_gen_init(void *provctx, int selection, const OSSL_PARAM params[]) {      \
                return local_gen_new(provctx, name, selection, params);                            \
        }                                                                                          \
        static const OSSL_PARAM *id##_gettable_params(void *provctx) {                             \
                return gettable_params(provctx, name);                                             \
        }                                                                                          \
        static const OSSL_PARAM *id##_settable_params(void *provctx) {                             \
                return settable_params(provctx, name);                                             \
        }                                                                                          \
        static const OSSL_PARAM *id##_types(int selection) {                                       \
                return raw_types(selection);                                                       \
        }                                                                                          \
        static const char *id##_query_operation_name(int operation) {                              \
                return operation == OSSL_OP_SIGNATURE ? SIGNATURE_PURE_NAME : name;                \
        }

RAW_TYPE(ed25519, "ED25519")
RAW_TYPE(ml_dsa_44, "ML-DSA-44")
RAW_TYPE(ml_dsa_65, "ML-DSA-65")
RAW_TYPE(ml_dsa_87, "ML-DSA-87")

/* ---- tables ---- */

#define F(id, function)                                                                            \
        { OSSL_FUNC_KEYMGMT_##id, (void (*)(void)) function }

/* clang-format off */
#define KEYMGMT_FUNCTIONS(type)                                         \
        {                                                               \
                F(NEW, type##_new),                                     \
                F(LOAD, keymgmt_load),                                  \
                F(FREE, keymgmt_free),                                  \
                F(DUP, keymgmt_dup),                                    \
                F(HAS, keymgmt_has),                                    \
                F(MATCH, keymgmt_match),                                \
                F(VALIDATE, keymgmt_validate),                          \
                F(EXPORT, keymgmt_export),                              \
                F(EXPORT_TYPES, type##_types),                          \
                F(IMPORT, keymgmt_import),                              \
                F(IMPORT_TYPES, type##_types),                          \
                F(GET_PARAMS, keymgmt_get_params),                      \
                F(GETTABLE_PARAMS, type##_gettable_params),             \
                F(SET_PARAMS, keymgmt_set_params),                      \
                F(SETTABLE_PARAMS, type##_settable_params),             \
                F(GEN_INIT, type##_gen_init),                           \
                F(GEN_SET_TEMPLATE, local_gen_set_template),            \
                F(GEN_SET_PARAMS, local_gen_set_params),                \
                F(GEN_SETTABLE_PARAMS, local_gen_settable_params),      \
                F(GEN, local_gen_run),                                  \
                F(GEN_CLEANUP, local_gen_free),                         \
                F(QUERY_OPERATION_NAME, type##_query_operation_name),   \
                { 0, NULL },                                            \
        }
/* clang-format on */

const OSSL_DISPATCH keymgmt_rsa_functions[] = KEYMGMT_FUNCTIONS(rsa);
const OSSL_DISPATCH keymgmt_ec_functions[] = KEYMGMT_FUNCTIONS(ec);
const OSSL_DISPATCH keymgmt_ed25519_functions[] = KEYMGMT_FUNCTIONS(ed25519);
const OSSL_DISPATCH keymgmt_ml_dsa_44_functions[] = KEYMGMT_FUNCTIONS(ml_dsa_44);
const OSSL_DISPATCH keymgmt_ml_dsa_65_functions[] = KEYMGMT_FUNCTIONS(ml_dsa_65);
const OSSL_DISPATCH keymgmt_ml_dsa_87_functions[] = KEYMGMT_FUNCTIONS(ml_dsa_87);
