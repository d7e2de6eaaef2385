/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/file.h"
#include "service/keystore/seal.h"
#include "tests/unit/test.h"

#define KEY_ID   "key_aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER_ID "key_baaaaaaaaaaaaaaaaaaaaaaaaa"

static const uint8_t kek_a[KEK_SIZE] = { 1, 2, 3 }, kek_b[KEK_SIZE] = { 3, 2, 1 };

static Kek *make_kek(const uint8_t bytes[static KEK_SIZE]) {
        Kek *k = NULL;

        assert_int_equal(kek_from_bytes(&k, bytes), 0);
        return k;
}

static SealInfo info(void) {
        return (SealInfo){
                .alg = key_alg_by_name("P-256"),
                .schemes = SCHEME_BIT(SCHEME_ECDSA),
                .usage = KEY_USAGE_SIGN,
        };
}

static void make_sealed(const Kek *kek, Buf *ret) {
        _cleanup_(secret_done) Secret plain = {};
        SealInfo i = info();
        Error e = {};

        assert_int_equal(secret_new(&plain, "the private key", 15), 0);
        assert_int_equal(seal(kek, KEY_ID, 7, &i, &plain, ret, &e), 0);
}

static void what_is_sealed_opens(void **state) {
        _cleanup_(kek_freep) Kek *kek = make_kek(kek_a);
        _cleanup_(buf_done) Buf sealed = {};
        _cleanup_(secret_done) Secret plain = {};
        SealInfo i = {};
        Error e = {};

        make_sealed(kek, &sealed);
        assert_int_equal(sealed.len, 19 + 12 + 15 + 16); /* as docs/keystore.md counts */
        assert_memory_equal(sealed.data, "CSK1", 4);
        assert_memory_equal(sealed.data + 4, kek_id(kek), KEK_ID_SIZE);

        assert_int_equal(unseal(kek, KEY_ID, 7, sealed.data, sealed.len, &i, &plain, &e), 0);
        assert_int_equal(plain.len, 15);
        assert_memory_equal(plain.data, "the private key", 15);
        assert_ptr_equal(i.alg, info().alg);
        assert_int_equal(i.schemes, info().schemes);
        assert_int_equal(i.usage, KEY_USAGE_SIGN);
}

/* Made by an implementation of docs/keystore.md in another language: the format does not drift. */
static void the_documented_blob_opens(void **state) {
        static const char hex[] = "43534b310f71dd7910cfad4200010000000801" /* header */
                                  "000102030405060708090a0b"               /* nonce */
                                  "f1a7b4b09ee528c3c9cbb6ff1531938ef123c4ead405f71718405d4d539617";
        _cleanup_(kek_freep) Kek *kek = make_kek(kek_a);
        _cleanup_(buf_done) Buf sealed = {};
        _cleanup_(secret_done) Secret plain = {};
        SealInfo i = {};
        Error e = {};

        assert_int_equal(buf_decode_hex(&sealed, hex, strlen(hex)), 0);
        assert_int_equal(unseal(kek, KEY_ID, 7, sealed.data, sealed.len, &i, &plain, &e), 0);
        assert_int_equal(plain.len, 15);
        assert_memory_equal(plain.data, "the private key", 15);
}

static void two_blobs_of_one_key_differ(void **state) {
        _cleanup_(kek_freep) Kek *kek = make_kek(kek_a);
        _cleanup_(buf_done) Buf a = {}, b = {};

        make_sealed(kek, &a);
        make_sealed(kek, &b);
        assert_int_equal(a.len, b.len);
        assert_memory_not_equal(a.data + 19, b.data + 19, a.len - 19);
}

static void assert_corrupt(const Kek *kek, const char *id, uint32_t version, const Buf *sealed) {
        SealInfo i = {};
        Secret plain = {};
        Error e = {};
        int r;

        r = unseal(kek, id, version, sealed->data, sealed->len, &i, &plain, &e);
        assert_refused(r, -CSIGN_E_KEY_CORRUPT, &e);
        assert_null(plain.data);
        assert_null(i.alg);
}

static void every_bit_is_authenticated(void **state) {
        _cleanup_(kek_freep) Kek *kek = make_kek(kek_a);
        _cleanup_(buf_done) Buf sealed = {};

        make_sealed(kek, &sealed);
        for (size_t bit = 0; bit < sealed.len * 8; bit++) {
                sealed.data[bit / 8] ^= (uint8_t) (1u << bit % 8);
                assert_corrupt(kek, KEY_ID, 7, &sealed);
                sealed.data[bit / 8] ^= (uint8_t) (1u << bit % 8);
        }
}

static void another_name_length_or_kek_does_not_open(void **state) {
        _cleanup_(kek_freep) Kek *kek = make_kek(kek_a), *other = make_kek(kek_b);
        _cleanup_(buf_done) Buf sealed = {};

        make_sealed(kek, &sealed);
        assert_corrupt(kek, OTHER_ID, 7, &sealed);
        assert_corrupt(kek, KEY_ID, 8, &sealed);
        assert_corrupt(other, KEY_ID, 7, &sealed);

        assert_int_equal(buf_append(&sealed, "x", 1), 0);
        assert_corrupt(kek, KEY_ID, 7, &sealed);
        for (sealed.len -= 2; sealed.len > 0; sealed.len--)
                assert_corrupt(kek, KEY_ID, 7, &sealed);
        assert_corrupt(kek, KEY_ID, 7, &sealed);
}

/* -- the KEK's file -- */

static void a_kek_is_made_once_and_read_back(void **state) {
        char dir[] = "/tmp/test-seal-XXXXXX", path[64];
        _cleanup_(kek_freep) Kek *a = NULL, *b = NULL;
        Error e = {};

        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/kek", dir);
        assert_int_equal(kek_create(path, &e), 0);
        assert_int_equal(kek_load(&a, path, &e), 0);
        assert_refused(kek_create(path, &e), -EEXIST, &e);

        assert_int_equal(kek_load(&b, path, &e), 0);
        assert_memory_equal(kek_bytes(a), kek_bytes(b), KEK_SIZE);
        assert_memory_equal(kek_id(a), kek_id(b), KEK_ID_SIZE);
        assert_memory_not_equal(kek_bytes(a), kek_id(a), KEK_ID_SIZE);
        unlink(path);
        rmdir(dir);
}

static void bad_kek_files_are_named(void **state) {
        static const struct {
                size_t len;
                mode_t mode;
                int expect;
        } cases[] = {
                { KEK_SIZE - 1, 0400, -CSIGN_E_BAD_CREDENTIAL },
                { KEK_SIZE + 1, 0400, -CSIGN_E_BAD_CREDENTIAL },
                { KEK_SIZE + 2, 0400, -CSIGN_E_BAD_CREDENTIAL },
                { 0, 0400, -CSIGN_E_BAD_CREDENTIAL },
                { KEK_SIZE, 0440, -CSIGN_E_BAD_CREDENTIAL },
                { KEK_SIZE, 0404, -CSIGN_E_BAD_CREDENTIAL },
        };
        char dir[] = "/tmp/test-seal-XXXXXX", path[64];
        Kek *k = NULL;
        Error e = {};

        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/kek", dir);
        assert_refused(kek_load(&k, path, &e), -ENOENT, &e);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                static const uint8_t bytes[KEK_SIZE + 2];

                e = (Error){};
                assert_int_equal(file_replace(path, bytes, cases[i].len, cases[i].mode, &e), 0);
                assert_refused(kek_load(&k, path, &e), cases[i].expect, &e);
                assert_null(k);
        }
        unlink(path);
        rmdir(dir);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_sealed_opens),
                cmocka_unit_test(the_documented_blob_opens),
                cmocka_unit_test(two_blobs_of_one_key_differ),
                cmocka_unit_test(every_bit_is_authenticated),
                cmocka_unit_test(another_name_length_or_kek_does_not_open),
                cmocka_unit_test(a_kek_is_made_once_and_read_back),
                cmocka_unit_test(bad_kek_files_are_named),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
