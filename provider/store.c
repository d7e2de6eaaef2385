/* SPDX-License-Identifier: Apache-2.0 */

/* Store URIs: `csign://acme/mobile/release` loads a key and its certificates,
 * `csign://acme/mobile/` lists keys.
 *
 * Opening only reads the URI.  The first load asks the sidecar, once, and later loads hand out what
 * came back. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>
#include <openssl/store.h>

#include "lib/ossl.h"
#include "provider/key.h"
#include "provider/lookup.h"
#include "provider/store-search.h"

typedef enum ItemType {
        ITEM_KEY,
        ITEM_PUBLIC_KEY,
        ITEM_CERTIFICATE,
        ITEM_NAME,
} ItemType;

/* One object that load() will hand out. */
typedef struct Item {
        ItemType type;
        size_t certificate; /* its index */
        char *name, *text;  /* a listed key: its URI, and what it is */
} Item;

typedef struct StoreCtx {
        Provider *prov;
        KeyUri uri;
        int expect; /* OSSL_STORE_INFO_*, 0: everything */
        Search search;

        bool asked;     /* the sidecar */
        Lookup *lookup; /* of one key; NULL for a listing */
        Item *items;
        size_t n_items, next;
} StoreCtx;

static int store_close(void *ctx) {
        StoreCtx *s = ctx;

        if (!s)
                return 1;

        for (size_t i = 0; i < s->n_items; i++) {
                free(s->items[i].name);
                free(s->items[i].text);
        }
        free(s->items);
        search_done(&s->search);
        lookup_done(s->prov, s->lookup);
        provider_unuse(s->prov);
        free(s);
        return 1;
}

static void *store_open(void *provctx, const char *uri) {
        Provider *p = provctx;
        StoreCtx *s;
        Error e = {}, why = {};

        s = calloc(1, sizeof(*s));
        if (!s)
                return NULL;

        s->prov = p;
        provider_use(p);
        if (key_uri_parse(uri, &s->uri, &why) < 0) {
                error_set(&e, why.code, "'%s': %s", uri, why.detail);
                (void) core_raise(&p->core, &e);
                (void) store_close(s);
                return NULL;
        }
        return s;
}

/* ---- what the application wants ---- */

static const OSSL_PARAM *store_settable_ctx_params(void *provctx) {
        static const OSSL_PARAM params[] = {
                OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, NULL),
                OSSL_PARAM_octet_string(OSSL_STORE_PARAM_SUBJECT, NULL, 0),
                OSSL_PARAM_octet_string(OSSL_STORE_PARAM_ISSUER, NULL, 0),
                OSSL_PARAM_BN(OSSL_STORE_PARAM_SERIAL, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_STORE_PARAM_DIGEST, NULL, 0),
                OSSL_PARAM_octet_string(OSSL_STORE_PARAM_FINGERPRINT, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_STORE_PARAM_ALIAS, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_STORE_PARAM_PROPERTIES, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_STORE_PARAM_INPUT_TYPE, NULL, 0),
                OSSL_PARAM_END,
        };

        return params;
}

/* PEM or DER, and properties of decoders, mean nothing here, but `openssl -keyform` passes them:
 * they are taken. */
static int store_set_ctx_params(void *ctx, const OSSL_PARAM params[]) {
        StoreCtx *s = ctx;
        const OSSL_PARAM *p;

        p = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT);
        if (p && !OSSL_PARAM_get_int(p, &s->expect))
                return 0;
        return search_set(&s->search, params);
}

/* Both the expectation and the URI's type narrow what is loaded. */
static bool is_wanted(const StoreCtx *s, int info, KeyUriType type) {
        return (s->expect == 0 || s->expect == info) &&
               (s->uri.type == KEY_URI_ANY || s->uri.type == type);
}

/* ---- asking ---- */

/* *items grows by doubling. */
static int add_item(StoreCtx *s, Item item) {
        if ((s->n_items & (s->n_items - 1)) == 0) {
                size_t n = s->n_items > 0 ? 2 * s->n_items : 1;
                Item *items = reallocarray(s->items, n, sizeof(*items));

                if (!items)
                        return -ENOMEM;
                s->items = items;
        }
        s->items[s->n_items++] = item;
        return 0;
}

static int add_name(const KeyInfo *k, void *userdata) {
        KeyUri uri = { .version = 0 };
        char text[KEY_URI_TEXT_MAX];
        StoreCtx *s = userdata;
        Item item = { .type = ITEM_NAME };

        memcpy(uri.path, k->path, sizeof(uri.path));
        item.name = strdup(key_uri_text(&uri, text));
        if (asprintf(&item.text, "%s, version %u, %s", k->alg->name, k->version, k->state) < 0)
                item.text = NULL;

        if (item.name && item.text && add_item(s, item) >= 0)
                return 0;
        free(item.name);
        free(item.text);
        return -ENOMEM;
}

static int ask_list(StoreCtx *s, Error *e) {
        SidecarClient *client;
        int r;

        if (s->expect != 0 && s->expect != OSSL_STORE_INFO_NAME)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is not a key but a group of keys",
                                 s->uri.path[0] ? s->uri.path : "csign:");

        client = provider_client(s->prov, e);
        if (!client)
                return e->code;

        r = sidecar_client_list_keys(client, s->uri.path, add_name, s, e);
        return r == -ENOMEM ? error_set(e, r, "out of memory") : r;
}

static int ask_key(StoreCtx *s, Error *e) {
        OSSL_LIB_CTX *libctx = s->prov->libctx;
        const KeyInfo *k;
        bool found;
        int r;

        r = lookup_get(s->prov, &s->uri, &s->lookup, e);
        if (r < 0)
                return r;

        k = &s->lookup->key;
        found = search_matches_key(&s->search, libctx, k->path, &k->spki);
        if (found && is_wanted(s, OSSL_STORE_INFO_PKEY, KEY_URI_PRIVATE))
                r = add_item(s, (Item){ .type = ITEM_KEY });
        else if (found && is_wanted(s, OSSL_STORE_INFO_PUBKEY, KEY_URI_PUBLIC))
                r = add_item(s, (Item){ .type = ITEM_PUBLIC_KEY });

        for (size_t i = 0; r >= 0 && i < k->n_certificates; i++)
                if (is_wanted(s, OSSL_STORE_INFO_CERT, KEY_URI_CERT) &&
                    search_matches_certificate(&s->search, libctx, k->path, &k->certificates[i]))
                        r = add_item(s, (Item){ .type = ITEM_CERTIFICATE, .certificate = i });
        return r < 0 ? error_set(e, r, "out of memory") : 0;
}

static int ask(StoreCtx *s, Error *e) {
        return s->uri.listing ? ask_list(s, e) : ask_key(s, e);
}

/* ---- handing out ---- */

static int give_key(StoreCtx *s, OSSL_CALLBACK *object_cb, void *object_cbarg) {
        _cleanup_(key_unrefp) Key *k = NULL;
        Error e = {};

        if (key_new_from_info(s->prov, &s->lookup->key, &k, &e) < 0)
                return core_raise(&s->prov->core, &e);
        return key_give(k, object_cb, object_cbarg);
}

/* Bytes that OpenSSL's own decoders turn into an object. */
static int give_data(int type, const char *structure, const Buf *data, OSSL_CALLBACK *object_cb,
                     void *object_cbarg) {
        OSSL_PARAM params[4], *p = params;

        *p++ = OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type);
        if (structure)
                *p++ = OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE,
                                                        (char *) structure, 0);
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, data->data, data->len);
        *p = OSSL_PARAM_construct_end();
        return object_cb(params, object_cbarg);
}

static int give_name(const Item *item, OSSL_CALLBACK *object_cb, void *object_cbarg) {
        int type = OSSL_OBJECT_NAME;
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
                OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA, item->name, 0),
                OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DESC, item->text, 0),
                OSSL_PARAM_construct_end(),
        };

        return object_cb(params, object_cbarg);
}

static int give(StoreCtx *s, const Item *item, OSSL_CALLBACK *object_cb, void *object_cbarg) {
        switch (item->type) {
        case ITEM_KEY:
                return give_key(s, object_cb, object_cbarg);
        case ITEM_PUBLIC_KEY:
                return give_data(OSSL_OBJECT_PKEY, "SubjectPublicKeyInfo", &s->lookup->key.spki,
                                 object_cb, object_cbarg);
        case ITEM_CERTIFICATE:
                return give_data(OSSL_OBJECT_CERT, NULL,
                                 &s->lookup->key.certificates[item->certificate], object_cb,
                                 object_cbarg);
        case ITEM_NAME:
                return give_name(item, object_cb, object_cbarg);
        }
        return 0;
}

static int store_load(void *ctx, OSSL_CALLBACK *object_cb, void *object_cbarg,
                      OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg) {
        StoreCtx *s = ctx;
        Error e = {};

        /* From here on a failure is the end: applications load until the end, and would for ever.
         */
        if (!s->asked) {
                s->asked = true;
                if (ask(s, &e) < 0) {
                        s->next = s->n_items;
                        return core_raise(&s->prov->core, &e);
                }
        }
        if (s->next == s->n_items)
                return 0;
        return give(s, &s->items[s->next++], object_cb, object_cbarg);
}

static int store_eof(void *ctx) {
        const StoreCtx *s = ctx;

        return s->asked && s->next == s->n_items;
}

/* What other providers would take for a key without its private half: nothing is better. */
static int store_export_object(void *ctx, const void *reference, size_t size,
                               OSSL_CALLBACK *export_cb, void *export_cbarg) {
        return 0;
}

#define F(id, function)                                                                            \
        { OSSL_FUNC_STORE_##id, (void (*)(void)) function }

const OSSL_DISPATCH store_functions[] = {
        F(OPEN, store_open),
        F(SETTABLE_CTX_PARAMS, store_settable_ctx_params),
        F(SET_CTX_PARAMS, store_set_ctx_params),
        F(LOAD, store_load),
        F(EOF, store_eof),
        F(CLOSE, store_close),
        F(EXPORT_OBJECT, store_export_object),
        { 0, NULL },
};
