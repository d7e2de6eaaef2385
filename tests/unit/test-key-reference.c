/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/key-reference.h"

#include <openssl/pem.h>

#include "lib/ossl.h"
#include "tests/unit/test.h"

#define KEY_ID "key_abcdefghijklmnopqrstuvwxyz"

static const uint8_t spki[] = { 0x30, 0x03, 0x02, 0x01,
                                0x05 }; /* a SEQUENCE is all that is looked at */

static KeyReference reference(void) {
        KeyReference ref = {
                .uri = "csign://acme/mobile/release", .key_type = "EC", .id = KEY_ID, .version = 3
        };

        assert_int_equal(buf_append(&ref.spki, spki, sizeof(spki)), 0);
        return ref;
}

static void what_is_written_reads_back(void **state) {
        _cleanup_(key_reference_done) KeyReference ref = reference(), again = {};
        _cleanup_(buf_done) Buf der = {};
        Error e = {};

        assert_int_equal(key_reference_encode_der(&ref, &der, &e), 0);
        assert_true(key_reference_is_der(der.data, der.len));
        assert_int_equal(key_reference_decode_der(der.data, der.len, &again, &e), 0);
        assert_string_equal(again.uri, ref.uri);
        assert_string_equal(again.key_type, "EC");
        assert_string_equal(again.id, KEY_ID);
        assert_int_equal(again.version, 3);
        assert_int_equal(again.spki.len, sizeof(spki));
        assert_memory_equal(again.spki.data, spki, sizeof(spki));
}

static void openssl_reads_the_pem(void **state) {
        _cleanup_(key_reference_done) KeyReference ref = reference();
        _cleanup_(buf_done) Buf pem = {}, der = {};
        _cleanup_(BIO_free_allp) BIO *bio = NULL;
        char *label, *header;
        uint8_t *data;
        Error e = {};
        long len;

        assert_int_equal(key_reference_encode_pem(&ref, &pem, &e), 0);
        assert_int_equal(key_reference_encode_der(&ref, &der, &e), 0);
        bio = BIO_new_mem_buf(pem.data, (int) pem.len);
        assert_int_equal(PEM_read_bio(bio, &label, &header, &data, &len), 1);
        assert_string_equal(label, KEY_REFERENCE_LABEL);
        assert_string_equal(header, "");
        assert_int_equal(len, der.len);
        assert_memory_equal(data, der.data, der.len);
        OPENSSL_free(label);
        OPENSSL_free(header);
        OPENSSL_free(data);
}

static void bad_fields_are_not_written(void **state) {
        static const struct {
                const char *uri, *key_type, *id;
                uint32_t version;
        } cases[] = {
                { "csign://acme/mobile/", "EC", KEY_ID, 1 }, /* a listing */
                { "file:///etc/passwd", "EC", KEY_ID, 1 },
                { "csign://acme/mobile/release", "DSA", KEY_ID, 1 },
                { "csign://acme/mobile/release", "EC", "key_short", 1 },
                { "csign://acme/mobile/release", "EC", "acc_abcdefghijklmnopqrstuvwxyz", 1 },
                { "csign://acme/mobile/release", "EC", KEY_ID, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(key_reference_done) KeyReference ref = reference();
                _cleanup_(buf_done) Buf pem = {};
                Error e = {};

                strcpy(ref.uri, cases[i].uri);
                strcpy(ref.key_type, cases[i].key_type);
                strcpy(ref.id, cases[i].id);
                ref.version = cases[i].version;
                assert_refused(key_reference_encode_pem(&ref, &pem, &e), -CSIGN_E_BAD_REQUEST, &e);
                assert_int_equal(pem.len, 0);
        }
}

static void no_public_key_is_refused(void **state) {
        _cleanup_(key_reference_done) KeyReference ref = reference();
        _cleanup_(buf_done) Buf der = {};
        Error e = {};

        buf_clear(&ref.spki);
        assert_refused(key_reference_encode_der(&ref, &der, &e), -CSIGN_E_BAD_REQUEST, &e);
}

/* Cut short, lengthened, or with any one bit turned, it is another reference or none, never a
 * fault. */
static void damage_is_refused(void **state) {
        _cleanup_(key_reference_done) KeyReference ref = reference();
        _cleanup_(buf_done) Buf der = {}, longer = {};
        Error e = {};

        assert_int_equal(key_reference_encode_der(&ref, &der, &e), 0);
        for (size_t len = 0; len < der.len; len++) {
                _cleanup_(key_reference_done) KeyReference out = {};

                e = (Error){};
                assert_refused(key_reference_decode_der(der.data, len, &out, &e),
                               -CSIGN_E_BAD_REQUEST, &e);
                assert_null(out.spki.data);
        }

        assert_int_equal(buf_append(&longer, der.data, der.len), 0);
        assert_int_equal(buf_put_u8(&longer, 0), 0);
        e = (Error){};
        assert_refused(key_reference_decode_der(longer.data, longer.len, &ref, &e),
                       -CSIGN_E_BAD_REQUEST, &e);

        for (size_t bit = 0; bit < der.len * 8; bit++) {
                _cleanup_(key_reference_done) KeyReference out = {};
                _cleanup_(buf_done) Buf again = {};

                der.data[bit / 8] ^= (uint8_t) (1 << bit % 8);
                if (key_reference_decode_der(der.data, der.len, &out, &e) == 0) {
                        assert_int_equal(key_reference_encode_der(&out, &again, &e), 0);
                        assert_int_equal(again.len, der.len);
                        assert_memory_equal(again.data, der.data, der.len);
                }
                der.data[bit / 8] ^= (uint8_t) (1 << bit % 8);
        }
}

static void other_der_is_not_ours(void **state) {
        static const uint8_t ec[] = { 0x30, 0x13, 0x02, 0x01, 0x00 };

        assert_false(key_reference_is_der(ec, sizeof(ec)));
        assert_false(key_reference_is_der(spki, sizeof(spki)));
        assert_false(key_reference_is_der((const uint8_t *) "", 0));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_written_reads_back),
                cmocka_unit_test(openssl_reads_the_pem),
                cmocka_unit_test(bad_fields_are_not_written),
                cmocka_unit_test(no_public_key_is_refused),
                cmocka_unit_test(damage_is_refused),
                cmocka_unit_test(other_der_is_not_ours),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
