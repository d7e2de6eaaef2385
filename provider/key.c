/* SPDX-License-Identifier: Apache-2.0 */

/* Keys: made from what the sidecar says or a reference holds, shared by count. */

#include "provider/key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "lib/ossl.h"

Key *key_ref(Key *k) {
        atomic_fetch_add_explicit(&k->n_refs, 1, memory_order_relaxed);
        return k;
}

void key_unref(Key *k) {
        if (!k || atomic_fetch_sub_explicit(&k->n_refs, 1, memory_order_acq_rel) != 1)
                return;

        if (key_is_remote(k))
                provider_unuse(k->prov);
        EVP_PKEY_free(atomic_load(&k->pkey));
        k->def->free(k->data);
        free(k);
}

Key *key_new_local(Provider *p, const char *type, void *data) {
        const DefaultKeymgmt *def = default_keymgmt(p, type);
        Key *k;

        if (!def)
                return NULL;
        if (!data)
                data = def->new (def->provctx);

        k = data ? malloc(sizeof(*k)) : NULL;
        if (!k) {
                def->free(data);
                return NULL;
        }

        *k = (Key){ .n_refs = 1, .prov = p, .type = type, .def = def, .data = data };
        return k;
}

/* ---- by EVP ---- */

typedef struct ToPkey {
        EVP_PKEY_CTX *ctx;
        int selection;
        EVP_PKEY *pkey;
} ToPkey;

static int pkey_from_params(const OSSL_PARAM params[], void *arg) {
        ToPkey *to = arg;

        /* It does not change them; its prototype only lacks the word. */
        return EVP_PKEY_fromdata(to->ctx, &to->pkey, to->selection, (OSSL_PARAM *) params) == 1;
}

static EVP_PKEY *pkey_new(const Key *k) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = NULL;
        ToPkey to = { .selection = EVP_PKEY_KEY_PARAMETERS };

        if (k->def->has(k->data, OSSL_KEYMGMT_SELECT_PRIVATE_KEY))
                to.selection = EVP_PKEY_KEYPAIR;
        else if (k->def->has(k->data, OSSL_KEYMGMT_SELECT_PUBLIC_KEY))
                to.selection = EVP_PKEY_PUBLIC_KEY;

        to.ctx = ctx = EVP_PKEY_CTX_new_from_name(k->prov->libctx, k->type, NULL);
        if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
            k->def->export(k->data, to.selection, pkey_from_params, &to) != 1) {
                EVP_PKEY_free(to.pkey);
                return NULL;
        }
        return to.pkey;
}

EVP_PKEY *key_pkey(const Key *k) {
        _Atomic(EVP_PKEY *) *at = (_Atomic(EVP_PKEY *) *) &k->pkey;
        EVP_PKEY *seen = atomic_load(at), *mine;

        if (seen)
                return seen;

        mine = pkey_new(k);
        if (!mine || atomic_compare_exchange_strong(at, &seen, mine))
                return mine;
        EVP_PKEY_free(mine);
        return seen;
}

void key_drop_pkey(Key *k) {
        EVP_PKEY_free(atomic_exchange(&k->pkey, NULL));
}

/* ---- remote ---- */

static EVP_PKEY *decode_spki(Provider *p, const Buf *spki) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        const uint8_t *at = spki->data;

        ERR_set_mark();
        pkey = d2i_PUBKEY_ex(NULL, &at, (long) spki->len, p->libctx, NULL);
        ERR_pop_to_mark();
        return at == spki->data + spki->len ? TAKE(pkey) : NULL;
}

static int import_public(const OSSL_PARAM params[], void *arg) {
        Key *k = arg;

        return k->def->import(k->data, EVP_PKEY_PUBLIC_KEY, params);
}

static int key_new_remote(Provider *p, const Buf *spki, Key **ret) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        _cleanup_(key_unrefp) Key *k = NULL;
        const KeyAlg *alg;

        pkey = decode_spki(p, spki);
        alg = pkey ? key_alg_of_pkey(pkey) : NULL;
        if (!alg)
                return -EBADMSG;

        k = key_new_local(p, alg->ossl_type, NULL);
        if (!k || EVP_PKEY_export(pkey, EVP_PKEY_PUBLIC_KEY, import_public, k) != 1)
                return -ENOMEM;

        k->pkey = TAKE(pkey);
        k->alg = alg;
        provider_use(p);
        sidecar_client_prepare(); /* as long as the root is the one that the application began in */
        if (EVP_Q_digest(p->libctx, "SHA256", NULL, spki->data, spki->len, k->spki_hash, NULL) != 1)
                return -ENOMEM;

        *ret = TAKE(k);
        return 0;
}

int key_check_type(Provider *p, const char *type, Error *e) {
        const KeyAlg *alg;

        for (size_t i = 0; (alg = key_alg_at(i)); i++)
                if (strcmp(alg->ossl_type, type) == 0)
                        return sign_check_library(alg, p->libctx, e);
        return error_set(e, -CSIGN_E_BAD_REQUEST, "there are no '%s' keys", type);
}

int key_new_from_info(Provider *p, const KeyInfo *info, Key **ret, Error *e) {
        _cleanup_(key_unrefp) Key *k = NULL;
        int r;

        r = sign_check_library(info->alg, p->libctx, e);
        if (r < 0)
                return r;
        r = key_new_remote(p, &info->spki, &k);
        if (r == -ENOMEM)
                return error_set(e, r, "out of memory");
        if (r < 0 || k->alg != info->alg)
                return error_set(e, -CSIGN_E_BAD_ANSWER, "the public key of '%s' is not a %s key",
                                 info->path, info->alg->name);

        k->version = info->version;
        memcpy(k->id, info->id, sizeof(k->id));
        (void) snprintf(k->name, sizeof(k->name), "%s", info->path);
        *ret = TAKE(k);
        return 0;
}

int key_new_from_reference(Provider *p, const KeyReference *ref, Key **ret, Error *e) {
        _cleanup_(key_unrefp) Key *k = NULL;
        int r;

        r = key_new_remote(p, &ref->spki, &k);
        if (r == -ENOMEM)
                return error_set(e, r, "out of memory");
        if (r < 0 || strcmp(k->type, ref->key_type) != 0)
                return error_set(
                        e, -CSIGN_E_BAD_REQUEST,
                        "key reference of '%s': the public key is not an %s key that csign knows",
                        ref->uri, ref->key_type);

        k->version = ref->version;
        memcpy(k->id, ref->id, sizeof(k->id));
        memcpy(k->name, ref->uri, sizeof(k->name));
        *ret = TAKE(k);
        return 0;
}

int key_refer(const Key *k, KeyReference *ret, Error *e) {
        KeyUri uri = {};
        uint8_t *spki = NULL;
        int len, r;

        /* A reference's name is a URI already; it is said again with the version. */
        r = key_uri_parse_loose(k->name, &uri, e);
        if (r < 0)
                return r;

        uri.version = ret->version = k->version;
        (void) key_uri_text(&uri, ret->uri);
        (void) snprintf(ret->key_type, sizeof(ret->key_type), "%s", k->type);
        memcpy(ret->id, k->id, sizeof(ret->id));

        len = i2d_PUBKEY(key_pkey(k), &spki);
        r = len > 0 ? buf_append(&ret->spki, spki, (size_t) len) : -ENOMEM;
        OPENSSL_free(spki);
        return r < 0 ? error_set(e, r, "out of memory") : 0;
}

int key_give(Key *k, OSSL_CALLBACK *object_cb, void *object_cbarg) {
        int type = OSSL_OBJECT_PKEY, r;
        Key *given = key_ref(k);
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
                OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (char *) k->type, 0),
                OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &given,
                                                  sizeof(given)),
                OSSL_PARAM_construct_end(),
        };

        r = object_cb(params, object_cbarg);

        /* load() sets it to NULL when it takes the key. */
        key_unref(given);
        return r;
}
