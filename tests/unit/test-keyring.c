/* SPDX-License-Identifier: Apache-2.0 */
/* Several KEKs at once, and what is kept of an opened key. */

#include "lib/ossl.h"
#include "service/keystore/builtin.h"
#include "tests/unit/test.h"

#define KEY_ID   "key_aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER_ID "key_baaaaaaaaaaaaaaaaaaaaaaaaa"

enum { OLDER = 1, PRIMARY = 2 };

/* The KEKs of these numbers, up to a 0. */
static Keyring *keyring(const uint8_t numbers[static 3]) {
        Kek *keks[2] = {};
        Keyring *ret = NULL;
        size_t n;

        for (n = 0; numbers[n]; n++) {
                uint8_t bytes[KEK_SIZE] = { numbers[n] };

                assert_int_equal(kek_from_bytes(&keks[n], bytes), 0);
        }
        assert_int_equal(keyring_of(&ret, keks, n), 0);
        return ret;
}

#define KEYRING(...) keyring((const uint8_t[3]){ __VA_ARGS__ })

typedef struct Fixture {
        Builtin *b;
        Signer *signer;
        Buf spki, sealed; /* a key under the older KEK */
        EVP_PKEY *pkey;
} Fixture;

static int set_up(void **state) {
        SealInfo info = { key_alg_by_name("P-256"), SCHEME_BIT(SCHEME_ECDSA), KEY_USAGE_SIGN };
        Fixture *f = calloc(1, sizeof(*f));
        const unsigned char *p;
        Error e = {};

        assert_int_equal(builtin_new(&f->b, KEYRING(OLDER), 8), 0);
        assert_int_equal(builtin_signer_new(f->b, &f->signer), 0);
        assert_int_equal(builtin_generate(f->b, KEY_ID, 1, &info, &f->spki, &f->sealed, &e), 0);
        p = f->spki.data;
        f->pkey = d2i_PUBKEY(NULL, &p, (long) f->spki.len);
        assert_non_null(f->pkey);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        builtin_signer_free(f->b, f->signer);
        builtin_free(f->b);
        buf_done(&f->spki);
        buf_done(&f->sealed);
        EVP_PKEY_free(f->pkey);
        free(f);
        return 0;
}

static int sign(Fixture *f, const Buf *sealed, Error *e) {
        static const uint8_t digest[32];
        SignRequest req = {
                .key_id = KEY_ID,
                .version = 1,
                .scheme = SCHEME_ECDSA,
                .hash = hash_alg_by_name("SHA256"),
                .digest = digest,
                .digest_len = sizeof(digest),
        };
        _cleanup_(buf_done) Buf sig = {};
        int r;

        r = builtin_sign(f->b, f->signer, &req, KEY_USAGE_SIGN, sealed->data, sealed->len, &sig, e);
        return r < 0 ? r : sign_request_verify(&req, f->pkey, sig.data, sig.len, e);
}

static KeystoreStatus status(Fixture *f) {
        KeystoreStatus s = {};

        builtin_status(f->b, &s);
        return s;
}

static void a_blob_changes_its_kek_and_stays_the_key(void **state) {
        Fixture *f = *state;
        _cleanup_(buf_done) Buf resealed = {}, again = {};
        KeystoreStatus s;
        Error e = {};

        builtin_set_keks(f->b, KEYRING(PRIMARY, OLDER));
        s = status(f);
        assert_int_equal(s.n_keks, 2);
        assert_memory_equal(sealed_kek_id(f->sealed.data, f->sealed.len), s.keks[1], KEK_ID_SIZE);
        assert_int_equal(sign(f, &f->sealed, &e), 0);

        assert_int_equal(
                builtin_reseal(f->b, KEY_ID, 1, f->sealed.data, f->sealed.len, &resealed, &e), 0);
        assert_memory_equal(sealed_kek_id(resealed.data, resealed.len), s.keks[0], KEK_ID_SIZE);
        assert_int_equal(resealed.len, f->sealed.len);
        assert_memory_equal(resealed.data + 12, f->sealed.data + 12, 7); /* what it may do */
        assert_int_equal(sign(f, &resealed, &e), 0);

        assert_int_equal(builtin_reseal(f->b, KEY_ID, 1, resealed.data, resealed.len, &again, &e),
                         0);
        assert_int_equal(again.len, resealed.len);
        assert_memory_equal(again.data, resealed.data, again.len);

        /* Now the older one can go. */
        builtin_set_keks(f->b, KEYRING(PRIMARY));
        assert_int_equal(sign(f, &resealed, &e), 0);
}

static void what_does_not_open_is_not_sealed_anew(void **state) {
        Fixture *f = *state;
        _cleanup_(buf_done) Buf resealed = {};
        const Buf *b = &f->sealed;
        Error e = {};
        int r;

        builtin_set_keks(f->b, KEYRING(PRIMARY, OLDER));
        r = builtin_reseal(f->b, KEY_ID, 2, b->data, b->len, &resealed, &e);
        assert_refused(r, -CSIGN_E_KEY_CORRUPT, &e);
        r = builtin_reseal(f->b, OTHER_ID, 1, b->data, b->len, &resealed, &e);
        assert_refused(r, -CSIGN_E_KEY_CORRUPT, &e);
        for (size_t len = 0; len < b->len; len++) {
                r = builtin_reseal(f->b, KEY_ID, 1, b->data, len, &resealed, &e);
                assert_refused(r, -CSIGN_E_KEY_CORRUPT, &e);
        }
        for (size_t at = 0; at < b->len; at++) {
                b->data[at] ^= 4;
                r = builtin_reseal(f->b, KEY_ID, 1, b->data, b->len, &resealed, &e);
                assert_refused(r, -CSIGN_E_KEY_CORRUPT, &e);
                b->data[at] ^= 4;
        }
        assert_null(resealed.data);
}

/* A key that is opened already does not hide that its KEK is gone. */
static void a_missing_kek_is_named(void **state) {
        Fixture *f = *state;
        char id[KEK_ID_TEXT_MAX];
        Error e = {};

        assert_int_equal(sign(f, &f->sealed, &e), 0);
        builtin_set_keks(f->b, KEYRING(PRIMARY));
        assert_refused(sign(f, &f->sealed, &e), -CSIGN_E_KEY_CORRUPT, &e);
        assert_non_null(
                strstr(e.detail, kek_id_text(sealed_kek_id(f->sealed.data, f->sealed.len), id)));
        assert_non_null(strstr(e.detail, "which this key store does not have"));
}

/* It has to be opened again, and its context set up: neither the cache nor the signer has it. */
static void a_forgotten_key_is_not_kept(void **state) {
        Fixture *f = *state;
        KeystoreStatus before, after;
        Error e = {};

        assert_int_equal(sign(f, &f->sealed, &e), 0);
        before = status(f);
        builtin_forget(f->b, OTHER_ID);
        assert_int_equal(sign(f, &f->sealed, &e), 0);
        after = status(f);
        assert_int_equal(after.keys_opened, before.keys_opened);
        assert_int_equal(after.contexts_made, before.contexts_made);

        builtin_forget(f->b, KEY_ID);
        assert_int_equal(sign(f, &f->sealed, &e), 0);
        after = status(f);
        assert_int_equal(after.keys_opened, before.keys_opened + 1);
        assert_int_equal(after.contexts_made, before.contexts_made + 1);
}

#define FIXTURE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                FIXTURE_TEST(a_blob_changes_its_kek_and_stays_the_key),
                FIXTURE_TEST(what_does_not_open_is_not_sealed_anew),
                FIXTURE_TEST(a_missing_kek_is_named),
                FIXTURE_TEST(a_forgotten_key_is_not_kept),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
