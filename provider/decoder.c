/* SPDX-License-Identifier: Apache-2.0 */

/* PEM key references: what makes every program that reads a PEM private key sign with csign.
 *
 * Two steps, as OpenSSL wants it: PEM to DER with a hint at the key's type, so that only that
 * type's decoder is asked; DER to a key, from what the reference holds, without asking anybody.
 * Input that is not ours is passed over without a word, since it is offered to all decoders. */

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>

#include "lib/ossl.h"
#include "provider/key.h"

#define STRUCTURE "csign" /* as in the decoders' properties */

static void *decoder_newctx(void *provctx) {
        return provctx;
}

static void decoder_freectx(void *ctx) {
}

/* What a reference stands for can sign, and so can verify. */
static int decoder_does_selection(void *provctx, int selection) {
        return 1;
}

/* The key's object has the key itself for a reference; somebody else's key management cannot have
 * it. */
static int decoder_export_object(void *ctx, const void *reference, size_t size,
                                 OSSL_CALLBACK *export_cb, void *export_cbarg) {
        return 0;
}

/* ---- PEM to DER ---- */

/* Reads one PEM block; false if it is not a key reference. */
static bool read_pem(Provider *p, OSSL_CORE_BIO *in, Buf *der) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new_from_core_bio(p->libctx, in);
        char *label = NULL, *header = NULL;
        uint8_t *data = NULL;
        long len = 0;
        bool ours;

        ERR_set_mark();
        ours = bio && PEM_read_bio(bio, &label, &header, &data, &len) == 1 &&
               strcmp(label, KEY_REFERENCE_LABEL) == 0 && buf_append(der, data, (size_t) len) == 0;
        ERR_pop_to_mark();

        OPENSSL_free(label);
        OPENSSL_free(header);
        OPENSSL_free(data);
        return ours;
}

static int give_der(const KeyReference *ref, Buf *der, OSSL_CALLBACK *data_cb, void *data_cbarg) {
        int type = OSSL_OBJECT_PKEY;
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
                OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE,
                                                 (char *) ref->key_type, 0),
                OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE,
                                                 (char *) STRUCTURE, 0),
                OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, der->data, der->len),
                OSSL_PARAM_construct_end(),
        };

        return data_cb(params, data_cbarg);
}

static int decode_pem(void *ctx, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *data_cb,
                      void *data_cbarg, OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg) {
        _cleanup_(key_reference_done) KeyReference ref = {};
        _cleanup_(buf_done) Buf der = {};
        Provider *p = ctx;
        Error e = {};

        if (!read_pem(p, in, &der))
                return 1;
        if (key_reference_decode_der(der.data, der.len, &ref, &e) < 0 ||
            key_check_type(p, ref.key_type, &e) < 0)
                return core_raise(&p->core, &e);
        return give_der(&ref, &der, data_cb, data_cbarg);
}

/* ---- DER to a key ---- */

static bool read_der(Provider *p, OSSL_CORE_BIO *in, Buf *der) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new_from_core_bio(p->libctx, in);
        uint8_t block[1024];
        int n;

        while (bio && (n = BIO_read(bio, block, sizeof(block))) > 0)
                if (buf_append(der, block, (size_t) n) < 0)
                        return false;
        return key_reference_is_der(der->data, der->len);
}

static int decode_der(Provider *p, const char *type, OSSL_CORE_BIO *in, OSSL_CALLBACK *object_cb,
                      void *object_cbarg) {
        _cleanup_(buf_done) Buf der = BUF_MAX(KEY_REFERENCE_DER_MAX);
        _cleanup_(key_reference_done) KeyReference ref = {};
        _cleanup_(key_unrefp) Key *k = NULL;
        Error e = {};

        if (!read_der(p, in, &der))
                return 1;
        if (key_reference_decode_der(der.data, der.len, &ref, &e) < 0)
                return core_raise(&p->core, &e);
        if (strcmp(ref.key_type, type) != 0)
                return 1;
        if (key_new_from_reference(p, &ref, &k, &e) < 0)
                return core_raise(&p->core, &e);
        return key_give(k, object_cb, object_cbarg);
}

#define DECODE_TYPE(id, name)                                                                      \
        static int decode_##id(void *ctx, OSSL_CORE_BIO *in, int selection,                        \
                               OSSL_CALLBACK *object_cb, void *object_cbarg,                       \
                               OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg) {                  \
                return decode_der(ctx, name, in, object_cb, object_cbarg);                         \
        }

DECODE_TYPE(rsa, "RSA")
DECODE_TYPE(ec, "EC")
DECODE_TYPE(ed25519, "ED25519")
DECODE_TYPE(ml_dsa_44, "ML-DSA-44")
DECODE_TYPE(ml_dsa_65, "ML-DSA-65")
DECODE_TYPE(ml_dsa_87, "ML-DSA-87")

/* ---- tables ---- */

#define F(id, function)                                                                            \
        { OSSL_FUNC_DECODER_##id, (void (*)(void)) function }

/* clang-format off */
#define DECODER_FUNCTIONS(decode)                               \
        {                                                       \
                F(NEWCTX, decoder_newctx),                      \
                F(FREECTX, decoder_freectx),                    \
                F(DOES_SELECTION, decoder_does_selection),      \
                F(DECODE, decode),                              \
                F(EXPORT_OBJECT, decoder_export_object),        \
                { 0, NULL },                                    \
        }
/* clang-format on */

const OSSL_DISPATCH decoder_pem_functions[] = DECODER_FUNCTIONS(decode_pem);
const OSSL_DISPATCH decoder_rsa_functions[] = DECODER_FUNCTIONS(decode_rsa);
const OSSL_DISPATCH decoder_ec_functions[] = DECODER_FUNCTIONS(decode_ec);
const OSSL_DISPATCH decoder_ed25519_functions[] = DECODER_FUNCTIONS(decode_ed25519);
const OSSL_DISPATCH decoder_ml_dsa_44_functions[] = DECODER_FUNCTIONS(decode_ml_dsa_44);
const OSSL_DISPATCH decoder_ml_dsa_65_functions[] = DECODER_FUNCTIONS(decode_ml_dsa_65);
const OSSL_DISPATCH decoder_ml_dsa_87_functions[] = DECODER_FUNCTIONS(decode_ml_dsa_87);
