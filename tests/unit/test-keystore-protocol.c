/* SPDX-License-Identifier: Apache-2.0 */
#include "service/keystore/protocol.h"
#include "tests/unit/test.h"

#define KEY_ID "key_aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CALL   0x0102030405060708u

static const uint8_t digest[32] = { 0xd1 }, sealed[] = "sealed";

static void fill(Request *ret, uint8_t op) {
        *ret = (Request){
                .op = op,
                .call = CALL,
                .key_id = KEY_ID,
                .version = 9,
                .usage = KEY_USAGE_CA,
                .alg = key_alg_by_name("RSA-3072"),
                .schemes = SCHEME_BIT(SCHEME_RSA_PSS),
                .sign = {
                        .scheme = SCHEME_RSA_PSS,
                        .hash = hash_alg_by_name("SHA256"),
                        .mgf1_hash = hash_alg_by_name("SHA512"),
                        .salt_len = 20,
                        .digest = digest,
                        .digest_len = sizeof(digest),
                },
                .sealed = sealed,
                .sealed_len = sizeof(sealed),
        };
        if (op != OP_SIGN_MESSAGE)
                return;
        ret->message_fd = -1;
        ret->sign = (SignRequest){ .scheme = SCHEME_ED25519, .hash = &hash_none };
}

/* -- requests -- */

static void requests_come_back_as_they_were(void **state) {
        static const uint8_t ops[] = { OP_HELLO, OP_GENERATE, OP_SIGN, OP_RESEAL, OP_FORGET };

        for (size_t i = 0; i < ELEMENTSOF(ops); i++) {
                _cleanup_(buf_done) Buf b = {};
                Request in, out;
                Error e = {};

                fill(&in, ops[i]);
                assert_int_equal(request_encode(&in, &b), 0);
                assert_int_equal(request_decode(b.data, b.len, &out, &e), 0);
                assert_int_equal(out.op, ops[i]);
                assert_int_equal(out.call, CALL);
                if (ops[i] == OP_HELLO)
                        continue;

                assert_string_equal(out.key_id, KEY_ID);
                if (ops[i] == OP_FORGET)
                        continue;
                assert_int_equal(out.version, 9);
                if (ops[i] == OP_RESEAL) {
                        assert_int_equal(out.sealed_len, sizeof(sealed));
                        assert_memory_equal(out.sealed, sealed, sizeof(sealed));
                        continue;
                }
                assert_int_equal(out.usage, KEY_USAGE_CA);
                if (ops[i] == OP_GENERATE) {
                        assert_ptr_equal(out.alg, in.alg);
                        assert_int_equal(out.schemes, in.schemes);
                        continue;
                }
                assert_string_equal(out.sign.key_id, KEY_ID);
                assert_int_equal(out.sign.version, 9);
                assert_int_equal(out.sign.scheme, SCHEME_RSA_PSS);
                assert_ptr_equal(out.sign.hash, in.sign.hash);
                assert_ptr_equal(out.sign.mgf1_hash, in.sign.mgf1_hash);
                assert_int_equal(out.sign.salt_len, 20);
                assert_int_equal(out.sign.digest_len, sizeof(digest));
                assert_memory_equal(out.sign.digest, digest, sizeof(digest));
                assert_int_equal(out.sealed_len, sizeof(sealed));
                assert_memory_equal(out.sealed, sealed, sizeof(sealed));
        }
}

static void the_sign_request_has_the_documented_bytes(void **state) {
        static const uint8_t expect[] = {
                1, 3,  0,   0,   1,   2,   3, 4, 5, 6, 7, 8, /* header */
                0, 30, 'k', 'e', 'y', '_',                   /* and 26 letters */
        };
        static const uint8_t behind[] = {
                0, 0, 0, 9, 2, 2, 0, 2, 0, 4, 0, 0, 0, 20, 0, 32, 0xd1, 0,
        };
        _cleanup_(buf_done) Buf b = {};
        Request req;

        fill(&req, OP_SIGN);
        assert_int_equal(request_encode(&req, &b), 0);
        assert_memory_equal(b.data, expect, sizeof(expect));
        assert_memory_equal(b.data + 12 + 2 + 30, behind, sizeof(behind));
        assert_int_equal(b.len, 12 + 2 + 30 + 4 + 1 + 1 + 2 + 2 + 4 + 2 + 32 + 2 + sizeof(sealed));
}

static void the_request_to_sign_a_message_has_the_documented_bytes(void **state) {
        static const uint8_t behind[] = { 0, 0, 0, 9, 2, 4, 0, sizeof(sealed), 's' };
        _cleanup_(buf_done) Buf b = {};
        Request req, out;
        Error e = {};

        fill(&req, OP_SIGN_MESSAGE);
        assert_int_equal(request_encode(&req, &b), 0);
        assert_int_equal(b.data[1], 4);
        assert_memory_equal(b.data + 12 + 2 + 30, behind, sizeof(behind));
        assert_int_equal(b.len, 12 + 2 + 30 + 4 + 1 + 1 + 2 + sizeof(sealed));

        assert_int_equal(request_decode(b.data, b.len, &out, &e), 0);
        assert_int_equal(out.sign.scheme, SCHEME_ED25519);
        assert_ptr_equal(out.sign.hash, &hash_none);
        assert_string_equal(out.sign.key_id, KEY_ID);
        assert_int_equal(out.sign.version, 9);
        assert_int_equal(out.usage, KEY_USAGE_CA);
        assert_int_equal(out.sealed_len, sizeof(sealed));
}

/* A message is no digest, even one that would fit into the packet. */
static void a_message_does_not_come_as_a_digest(void **state) {
        _cleanup_(buf_done) Buf b = {};
        Request req;
        Error e = {};

        fill(&req, OP_SIGN_MESSAGE);
        req.op = OP_SIGN;
        req.sign.digest = digest;
        req.sign.digest_len = sizeof(digest);
        assert_int_equal(request_encode(&req, &b), 0);
        assert_refused(request_decode(b.data, b.len, &req, &e), -CSIGN_E_UNSUPPORTED_SCHEME, &e);
}

/* Where a byte of an encoded request is, and what it must not be. */
static void bad_requests_are_named(void **state) {
        enum { ID = 12 + 2, AFTER_ID = ID + 30 };
        static const struct {
                uint8_t op;
                size_t at;
                uint8_t value;
                int expect;
        } cases[] = {
                { OP_HELLO, 0, 2, -CSIGN_E_BAD_REQUEST }, /* protocol */
                { OP_HELLO, 1, 0, -CSIGN_E_BAD_REQUEST }, /* operation */
                { OP_HELLO, 1, 7, -CSIGN_E_BAD_REQUEST },
                { OP_HELLO, 1, 0x81, -CSIGN_E_BAD_REQUEST },
                { OP_HELLO, 3, 1, -CSIGN_E_BAD_REQUEST },       /* reserved */
                { OP_HELLO, 1, OP_SIGN, -CSIGN_E_BAD_REQUEST }, /* no fields */
                { OP_GENERATE, ID, '/', -CSIGN_E_BAD_REQUEST }, /* the key id */
                { OP_GENERATE, ID + 5, 0, -CSIGN_E_BAD_REQUEST },
                { OP_GENERATE, AFTER_ID + 3, 0, -CSIGN_E_BAD_REQUEST },  /* version */
                { OP_GENERATE, AFTER_ID + 5, 99, -CSIGN_E_BAD_REQUEST }, /* algorithm */
                { OP_GENERATE, AFTER_ID + 9, 0, -CSIGN_E_UNSUPPORTED_SCHEME },
                { OP_GENERATE, AFTER_ID + 9, 8, -CSIGN_E_UNSUPPORTED_SCHEME },
                { OP_GENERATE, AFTER_ID + 6, 1, -CSIGN_E_UNSUPPORTED_SCHEME },
                { OP_GENERATE, AFTER_ID + 10, 3, -CSIGN_E_BAD_REQUEST }, /* usage */
                { OP_SIGN, ID, '/', -CSIGN_E_BAD_REQUEST },
                { OP_SIGN, AFTER_ID + 3, 0, -CSIGN_E_BAD_REQUEST },
                { OP_SIGN, AFTER_ID + 4, 0, -CSIGN_E_BAD_REQUEST },
                { OP_SIGN, AFTER_ID + 5, 0, -CSIGN_E_UNSUPPORTED_SCHEME },
                { OP_SIGN, AFTER_ID + 5, 4, -CSIGN_E_UNSUPPORTED_SCHEME },
                { OP_SIGN, AFTER_ID + 7, 99, -CSIGN_E_UNSUPPORTED_SCHEME },
                { OP_SIGN, AFTER_ID + 9, 99, -CSIGN_E_UNSUPPORTED_SCHEME },
                { OP_SIGN, AFTER_ID + 15, 31, -CSIGN_E_BAD_REQUEST }, /* the digest's length */
                { OP_SIGN_MESSAGE, ID, '/', -CSIGN_E_BAD_REQUEST },
                { OP_SIGN_MESSAGE, AFTER_ID + 3, 0, -CSIGN_E_BAD_REQUEST },
                { OP_SIGN_MESSAGE, AFTER_ID + 4, 0, -CSIGN_E_BAD_REQUEST },
                { OP_SIGN_MESSAGE, AFTER_ID + 5, 0, -CSIGN_E_UNSUPPORTED_SCHEME },
                { OP_SIGN_MESSAGE, AFTER_ID + 5, 3, -CSIGN_E_UNSUPPORTED_SCHEME },
                { OP_SIGN_MESSAGE, AFTER_ID + 5, 5, -CSIGN_E_UNSUPPORTED_SCHEME },
                { OP_SIGN_MESSAGE, AFTER_ID + 5, 99, -CSIGN_E_UNSUPPORTED_SCHEME },
                { OP_SIGN_MESSAGE, AFTER_ID + 7, 8, -CSIGN_E_BAD_REQUEST }, /* the blob's length */
                { OP_RESEAL, ID, '/', -CSIGN_E_BAD_REQUEST },
                { OP_RESEAL, AFTER_ID + 3, 0, -CSIGN_E_BAD_REQUEST },
                { OP_RESEAL, AFTER_ID + 5, 8, -CSIGN_E_BAD_REQUEST }, /* the blob's length */
                { OP_FORGET, ID, '/', -CSIGN_E_BAD_REQUEST },
                { OP_FORGET, ID - 1, 29, -CSIGN_E_BAD_REQUEST }, /* the id's length */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(buf_done) Buf b = {};
                Request req;
                Error e = {};
                int r;

                fill(&req, cases[i].op);
                assert_int_equal(request_encode(&req, &b), 0);
                b.data[cases[i].at] = cases[i].value;
                r = request_decode(b.data, b.len, &req, &e);
                assert_refused(r, cases[i].expect, &e);
                assert_int_equal(req.call, CALL); /* it can be answered */
        }
}

static void cut_off_and_longer_requests_are_refused(void **state) {
        for (uint8_t op = OP_HELLO; op <= OP_FORGET; op++) {
                _cleanup_(buf_done) Buf b = {};
                Request req;

                fill(&req, op);
                assert_int_equal(request_encode(&req, &b), 0);
                for (size_t len = 0; len < b.len; len++) {
                        Error e = {};
                        int r = request_decode(b.data, len, &req, &e);

                        assert_refused(r, len < 12 ? -EBADMSG : -CSIGN_E_BAD_REQUEST, &e);
                }
                assert_int_equal(buf_put_u8(&b, 0), 0);
                assert_int_equal(request_decode(b.data, b.len, &req, NULL), -CSIGN_E_BAD_REQUEST);
        }
}

/* -- replies -- */

static void results_come_back_as_they_were(void **state) {
        Reply in = {
                .op = OP_SIGN,
                .call = CALL,
                .sig = digest,
                .sig_len = 32,
                .spki = digest,
                .spki_len = 5,
                .sealed = sealed,
                .sealed_len = sizeof(sealed),
                .status = { "1.2.3", "OpenSSL", 2, 3, 4, 5, 6, { { 7 }, { 8 } }, 2 },
        };
        _cleanup_(buf_done) Buf b = {};
        Reply out;

        assert_int_equal(reply_encode(&in, &b), 0);
        assert_int_equal(reply_decode(b.data, b.len, &out), 0);
        assert_int_equal(out.op, OP_SIGN);
        assert_int_equal(out.call, CALL);
        assert_int_equal(out.r, 0);
        assert_int_equal(out.sig_len, 32);
        assert_memory_equal(out.sig, digest, 32);

        buf_clear(&b);
        in.op = OP_GENERATE;
        assert_int_equal(reply_encode(&in, &b), 0);
        assert_int_equal(reply_decode(b.data, b.len, &out), 0);
        assert_int_equal(out.spki_len, 5);
        assert_memory_equal(out.spki, digest, 5);
        assert_int_equal(out.sealed_len, sizeof(sealed));
        assert_memory_equal(out.sealed, sealed, sizeof(sealed));

        buf_clear(&b);
        in.op = OP_HELLO;
        assert_int_equal(reply_encode(&in, &b), 0);
        assert_int_equal(reply_decode(b.data, b.len, &out), 0);
        assert_string_equal(out.status.version, "1.2.3");
        assert_string_equal(out.status.openssl, "OpenSSL");
        assert_int_equal(out.status.memory_locked, 2);
        assert_int_equal(out.status.signatures, 3);
        assert_int_equal(out.status.keys_generated, 4);
        assert_int_equal(out.status.keys_opened, 5);
        assert_int_equal(out.status.contexts_made, 6);
        assert_int_equal(out.status.n_keks, 2);
        assert_int_equal(out.status.keks[1][0], 8);

        buf_clear(&b);
        in.op = OP_RESEAL;
        assert_int_equal(reply_encode(&in, &b), 0);
        assert_int_equal(reply_decode(b.data, b.len, &out), 0);
        assert_int_equal(out.sealed_len, sizeof(sealed));
        assert_memory_equal(out.sealed, sealed, sizeof(sealed));

        buf_clear(&b);
        in.op = OP_FORGET;
        assert_int_equal(reply_encode(&in, &b), 0);
        assert_int_equal(b.len, 12 + 2);
        assert_int_equal(reply_decode(b.data, b.len, &out), 0);
}

static void every_error_keeps_its_name_and_sentence(void **state) {
        for (size_t i = 0; error_info_at(i); i++) {
                _cleanup_(buf_done) Buf b = {};
                Reply in = { .op = OP_SIGN, .call = CALL }, out;

                in.r = -error_info_at(i)->code;
                error_set_rule(&in.error, in.r, "key-usage", "something is wrong with %zu", i);
                assert_int_equal(reply_encode(&in, &b), 0);
                assert_int_equal(reply_decode(b.data, b.len, &out), 0);
                assert_int_equal(out.r, in.r);
                assert_int_equal(out.error.code, in.r);
                assert_string_equal(out.error.detail, in.error.detail);
                assert_string_equal(out.error.rule, "key-usage");
        }
}

static void bad_replies_are_no_replies(void **state) {
        static const struct {
                size_t at;
                uint8_t value;
        } cases[] = {
                { 0, 2 },       /* protocol */
                { 1, OP_SIGN }, /* no reply */
                { 1, 0x87 },    /* unknown operation */
                { 2, 1 },       /* reserved */
                { 13, 2 },      /* result */
                { 15, 31 },     /* the signature's length */
        };
        Reply in = { .op = OP_SIGN, .call = CALL, .sig = digest, .sig_len = 32 }, out;
        _cleanup_(buf_done) Buf b = {};

        assert_int_equal(reply_encode(&in, &b), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint8_t was = b.data[cases[i].at];

                b.data[cases[i].at] = cases[i].value;
                assert_int_equal(reply_decode(b.data, b.len, &out), -EBADMSG);
                b.data[cases[i].at] = was;
        }
        for (size_t len = 0; len < b.len; len++)
                assert_int_equal(reply_decode(b.data, len, &out), -EBADMSG);
        assert_int_equal(buf_put_u8(&b, 0), 0);
        assert_int_equal(reply_decode(b.data, b.len, &out), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(requests_come_back_as_they_were),
                cmocka_unit_test(the_sign_request_has_the_documented_bytes),
                cmocka_unit_test(the_request_to_sign_a_message_has_the_documented_bytes),
                cmocka_unit_test(a_message_does_not_come_as_a_digest),
                cmocka_unit_test(bad_requests_are_named),
                cmocka_unit_test(cut_off_and_longer_requests_are_refused),
                cmocka_unit_test(results_come_back_as_they_were),
                cmocka_unit_test(every_error_keeps_its_name_and_sentence),
                cmocka_unit_test(bad_replies_are_no_replies),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
