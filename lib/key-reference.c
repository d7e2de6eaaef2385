/* SPDX-License-Identifier: Apache-2.0 */

/* The PEM that stands in for a private key: written by `csign ref`, read by the provider. */

#include "lib/key-reference.h"

#include <errno.h>
#include <string.h>

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "lib/alg.h"

#define FORMAT "csign-ref-v1"

/* The public half is ASN1_ANY, not X509_PUBKEY: that one would decode the key at once, and in the
 * application's library context. */
typedef struct ReferenceAsn1 {
        ASN1_UTF8STRING *format;
        ASN1_UTF8STRING *uri;
        ASN1_UTF8STRING *key_type;
        ASN1_UTF8STRING *id;
        ASN1_INTEGER *version;
        ASN1_TYPE *spki;
} ReferenceAsn1;

/* clang-format off */
ASN1_SEQUENCE(ReferenceAsn1) = {
        ASN1_SIMPLE(ReferenceAsn1, format, ASN1_UTF8STRING),
        ASN1_SIMPLE(ReferenceAsn1, uri, ASN1_UTF8STRING),
        ASN1_SIMPLE(ReferenceAsn1, key_type, ASN1_UTF8STRING),
        ASN1_SIMPLE(ReferenceAsn1, id, ASN1_UTF8STRING),
        ASN1_SIMPLE(ReferenceAsn1, version, ASN1_INTEGER),
        ASN1_EXP(ReferenceAsn1, spki, ASN1_ANY, 0),
} static_ASN1_SEQUENCE_END(ReferenceAsn1)
/* clang-format on */

static void reference_asn1_free(ReferenceAsn1 *a) {
        ASN1_item_free((ASN1_VALUE *) a, ASN1_ITEM_rptr(ReferenceAsn1));
}
DEFINE_CLEANUP(ReferenceAsn1, reference_asn1_free)

static ReferenceAsn1 *reference_asn1_new(void) {
        return (ReferenceAsn1 *) ASN1_item_new(ASN1_ITEM_rptr(ReferenceAsn1));
}

static ReferenceAsn1 *reference_asn1_decode(const uint8_t *der, size_t len) {
        const uint8_t *p = der;
        _cleanup_(reference_asn1_freep) ReferenceAsn1 *a = NULL;

        a = (ReferenceAsn1 *) ASN1_item_d2i(NULL, &p, (long) len, ASN1_ITEM_rptr(ReferenceAsn1));
        if (!a || p != der + len)
                return NULL;
        return TAKE(a);
}

static int reference_asn1_encode(const ReferenceAsn1 *a, Buf *ret) {
        uint8_t *der = NULL;
        int len, r;

        len = ASN1_item_i2d((const ASN1_VALUE *) a, &der, ASN1_ITEM_rptr(ReferenceAsn1));
        if (len < 0)
                return -ENOMEM;

        r = buf_append(ret, der, (size_t) len);
        OPENSSL_free(der);
        return r;
}

void key_reference_done(KeyReference *ref) {
        buf_done(&ref->spki);
        *ref = (KeyReference){};
}

static bool key_type_is_known(const char *type) {
        const KeyAlg *alg;

        for (size_t i = 0; (alg = key_alg_at(i)); i++)
                if (strcmp(alg->ossl_type, type) == 0)
                        return true;
        return false;
}

static bool spki_is_sequence(const Buf *spki) {
        const uint8_t *p = spki->data;
        int tag, class, r;
        long len;

        if (spki->len == 0 || spki->len > KEY_REFERENCE_DER_MAX)
                return false;

        r = ASN1_get_object(&p, &len, &tag, &class, (long) spki->len);
        return r == V_ASN1_CONSTRUCTED && tag == V_ASN1_SEQUENCE && class == V_ASN1_UNIVERSAL &&
               p + len == spki->data + spki->len;
}

/* What holds for every reference, read or written. */
static int reference_check(const KeyReference *ref, Error *e) {
        KeyUri uri;
        int r;

        r = key_uri_parse(ref->uri, &uri, e);
        if (r < 0)
                return r;
        if (uri.listing)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "key reference: '%s' is not a key",
                                 ref->uri);
        if (!key_type_is_known(ref->key_type))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "key reference: unknown key type '%s'",
                                 ref->key_type);
        if (!id_is_valid(ref->id, "key"))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "key reference: bad key id '%s'",
                                 ref->id);
        if (ref->version == 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "key reference: no key version");
        if (!spki_is_sequence(&ref->spki))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "key reference: no public key");
        return 0;
}

static bool put_text(ASN1_UTF8STRING *s, const char *text) {
        return ASN1_STRING_set(s, text, (int) strlen(text)) == 1;
}

static bool put_spki(ASN1_TYPE *t, const Buf *spki) {
        ASN1_STRING *s = ASN1_STRING_type_new(V_ASN1_SEQUENCE);

        if (!s || ASN1_STRING_set(s, spki->data, (int) spki->len) != 1) {
                ASN1_STRING_free(s);
                return false;
        }
        ASN1_TYPE_set(t, V_ASN1_SEQUENCE, s);
        return true;
}

int key_reference_encode_der(const KeyReference *ref, Buf *ret, Error *e) {
        _cleanup_(reference_asn1_freep) ReferenceAsn1 *a = NULL;
        int r;

        r = reference_check(ref, e);
        if (r < 0)
                return r;

        a = reference_asn1_new();
        if (!a || !put_text(a->format, FORMAT) || !put_text(a->uri, ref->uri) ||
            !put_text(a->key_type, ref->key_type) || !put_text(a->id, ref->id) ||
            ASN1_INTEGER_set_uint64(a->version, ref->version) != 1 ||
            !put_spki(a->spki, &ref->spki))
                return error_set(e, -ENOMEM, "out of memory");

        r = reference_asn1_encode(a, ret);
        if (r < 0)
                return error_set(e, r, "cannot encode the key reference");
        return 0;
}

int key_reference_encode_pem(const KeyReference *ref, Buf *ret, Error *e) {
        _cleanup_(buf_done) Buf der = {}, base64 = {};
        int r;

        r = key_reference_encode_der(ref, &der, e);
        if (r < 0)
                return r;

        r = buf_append_base64(&base64, der.data, der.len);
        if (r >= 0)
                r = buf_append_str(ret, "-----BEGIN " KEY_REFERENCE_LABEL "-----\n");
        for (size_t at = 0; r >= 0 && at < base64.len; at += 64)
                r = buf_printf(ret, "%.64s\n", buf_str(&base64) + at);
        if (r >= 0)
                r = buf_append_str(ret, "-----END " KEY_REFERENCE_LABEL "-----\n");
        if (r < 0)
                return error_set(e, r, "cannot encode the key reference");
        return 0;
}

bool key_reference_is_der(const uint8_t *der, size_t len) {
        static const char head[] = "\x0c\x0c" FORMAT;
        const size_t head_len = sizeof(head) - 1;
        const uint8_t *p = der;
        int tag, class, r;
        long content;

        if (len < 2 || len > KEY_REFERENCE_DER_MAX)
                return false;

        ERR_set_mark();
        r = ASN1_get_object(&p, &content, &tag, &class, (long) len);
        ERR_pop_to_mark();
        return r == V_ASN1_CONSTRUCTED && tag == V_ASN1_SEQUENCE && class == V_ASN1_UNIVERSAL &&
               (size_t) content >= head_len && memcmp(p, head, head_len) == 0;
}

/* Fails if it does not fit or holds a NUL. */
static bool take_text(const ASN1_UTF8STRING *s, char *buf, size_t size) {
        size_t len = (size_t) ASN1_STRING_length(s);
        const uint8_t *data = ASN1_STRING_get0_data(s);

        if (len == 0 || len >= size || memchr(data, 0, len))
                return false;

        memcpy(buf, data, len);
        buf[len] = 0;
        return true;
}

static bool take_version(const ASN1_INTEGER *i, uint32_t *ret) {
        uint64_t v;

        if (ASN1_INTEGER_get_uint64(&v, i) != 1 || v == 0 || v > UINT32_MAX)
                return false;
        *ret = (uint32_t) v;
        return true;
}

static bool take_spki(const ASN1_TYPE *t, Buf *ret) {
        return t->type == V_ASN1_SEQUENCE &&
               buf_append(ret, ASN1_STRING_get0_data(t->value.sequence),
                          (size_t) ASN1_STRING_length(t->value.sequence)) == 0;
}

/* BER has many forms of one value; only the one that we would write ourselves is taken. */
static bool is_canonical(const ReferenceAsn1 *a, const uint8_t *der, size_t len) {
        _cleanup_(buf_done) Buf again = {};

        return reference_asn1_encode(a, &again) == 0 && again.len == len &&
               memcmp(again.data, der, len) == 0;
}

static int reference_decode(const uint8_t *der, size_t len, KeyReference *ref, Error *e) {
        _cleanup_(reference_asn1_freep) ReferenceAsn1 *a = NULL;
        char format[sizeof(FORMAT)];

        if (len > KEY_REFERENCE_DER_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "key reference: %zu bytes are too many",
                                 len);

        ERR_set_mark();
        a = reference_asn1_decode(der, len);
        ERR_pop_to_mark();
        if (!a || !take_text(a->format, format, sizeof(format)) || strcmp(format, FORMAT) != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "not a key reference of format %s",
                                 FORMAT);

        if (!take_text(a->uri, ref->uri, sizeof(ref->uri)) ||
            !take_text(a->key_type, ref->key_type, sizeof(ref->key_type)) ||
            !take_text(a->id, ref->id, sizeof(ref->id)) ||
            !take_version(a->version, &ref->version) || !take_spki(a->spki, &ref->spki) ||
            !is_canonical(a, der, len))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "key reference: malformed");

        return reference_check(ref, e);
}

int key_reference_decode_der(const uint8_t *der, size_t len, KeyReference *ret, Error *e) {
        _cleanup_(key_reference_done) KeyReference ref = {};
        int r;

        r = reference_decode(der, len, &ref, e);
        if (r < 0)
                return r;

        *ret = ref;
        ref.spki = (Buf){};
        return 0;
}
