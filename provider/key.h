/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A key as the application holds it.
 *
 * A remote key is the public half of a key that a csign service holds, and its name there; it never
 * changes.  A local key is an ordinary key of the application that OpenSSL gave to us because our
 * key management was first in its list: it is `default`'s key, and behaves as such. */

#include <openssl/core.h>

#include "lib/key-reference.h"
#include "lib/sidecar-client.h"
#include "lib/sign.h"
#include "provider/default.h"
#include "provider/provider.h"

typedef struct Key {
        _Atomic unsigned n_refs;
        Provider *prov;
        const char *type; /* "RSA", "EC" */
        const DefaultKeymgmt *def;
        void *data;               /* default's own; of a remote key, the public half */
        _Atomic(EVP_PKEY *) pkey; /* the same in the provider's context: key_pkey() */
        const KeyAlg *alg;        /* remote only, as the rest */
        char id[ID_MAX];
        char name[KEY_URI_TEXT_MAX]; /* for messages */
        uint32_t version;
        uint8_t spki_hash[SPKI_HASH_SIZE];
} Key;

static inline bool key_is_remote(const Key *k) {
        return k->alg != NULL;
}

/* -CSIGN_E_BAD_ANSWER, -CSIGN_E_BAD_REQUEST: the public half is not a key of the type and algorithm
 * it should be. */
int key_new_from_info(Provider *p, const KeyInfo *info, Key **ret, Error *e);
int key_new_from_reference(Provider *p, const KeyReference *ref, Key **ret, Error *e);

/* The reference that stands for a remote key.  Fills *ret, which is to be zeroed. */
int key_refer(const Key *k, KeyReference *ret, Error *e);
/* Whether libcrypto knows keys of that type, which is one of csign's: sign_check_library(). */
int key_check_type(Provider *p, const char *type, Error *e);

/* Takes data over; NULL: an empty key.  NULL: out of memory, data is then freed. */
Key *key_new_local(Provider *p, const char *type, void *data);

/* For what is done by EVP.  It stays the key's; NULL: there is no key in it yet. */
EVP_PKEY *key_pkey(const Key *k);
/* A local key has changed. */
void key_drop_pkey(Key *k);

Key *key_ref(Key *k);
void key_unref(Key *k);
DEFINE_CLEANUP(Key, key_unref)

/* Hands the key to the core as an object that keymgmt's load() takes. */
int key_give(Key *k, OSSL_CALLBACK *object_cb, void *object_cbarg);
