/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/buf.h"
#include "tests/unit/test.h"

static void what_is_appended_is_there(void **state) {
        _cleanup_(buf_done) Buf b = {};

        assert_string_equal(buf_str(&b), "");
        assert_int_equal(buf_append(&b, "ab", 2), 0);
        assert_int_equal(buf_append_str(&b, "cd"), 0);
        assert_int_equal(buf_printf(&b, "%d-%s", 7, "x"), 0);
        assert_int_equal(buf_append(&b, NULL, 0), 0);
        assert_string_equal(buf_str(&b), "abcd7-x");
        assert_int_equal(b.len, 7);
        assert_int_equal(b.data[b.len], 0);

        buf_clear(&b);
        assert_int_equal(b.len, 0);
        assert_string_equal(buf_str(&b), "");
}

static void a_long_text_survives_every_growth(void **state) {
        _cleanup_(buf_done) Buf b = {};

        for (int i = 0; i < 10000; i++)
                assert_int_equal(buf_printf(&b, "%04d,", i), 0);
        assert_int_equal(b.len, 50000);
        assert_memory_equal(b.data, "0000,0001,", 10);
        assert_memory_equal(b.data + 49990, "9998,9999,", 10);
}

static void the_limit_holds_and_nothing_changes_past_it(void **state) {
        _cleanup_(buf_done) Buf b = BUF_MAX(8);
        uint8_t big[16] = {};

        assert_int_equal(buf_append_str(&b, "1234567"), 0);
        assert_int_equal(buf_append(&b, big, 2), -E2BIG);
        assert_int_equal(buf_append(&b, big, SIZE_MAX), -E2BIG);
        assert_int_equal(buf_printf(&b, "%s", "89"), -E2BIG);
        assert_int_equal(buf_put_u64(&b, 1), -E2BIG);
        assert_int_equal(buf_put_bytes16(&b, big, 4), -E2BIG);
        assert_int_equal(buf_append_hex(&b, big, 4), -E2BIG);
        assert_int_equal(buf_append_base64(&b, big, 4), -E2BIG);
        assert_int_equal(buf_append_base64url(&b, big, 4), -E2BIG);
        assert_string_equal(buf_str(&b), "1234567");
        assert_int_equal(buf_append_str(&b, "8"), 0);
        assert_string_equal(buf_str(&b), "12345678");

        buf_done(&b);
        assert_null(b.data);
        assert_int_equal(b.max, 8);
        assert_int_equal(buf_append(&b, big, 9), -E2BIG);
}

static void numbers_are_big_endian(void **state) {
        static const uint8_t expect[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09,
                                          0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x00, 0x02, 'h',
                                          'i',  0x00, 0x00, 0x00, 0x01, 'x',  0x00, 0x01, 'y' };
        _cleanup_(buf_done) Buf b = {};

        assert_int_equal(buf_put_u8(&b, 0x01), 0);
        assert_int_equal(buf_put_u16(&b, 0x0203), 0);
        assert_int_equal(buf_put_u32(&b, 0x04050607), 0);
        assert_int_equal(buf_put_u64(&b, 0x08090a0b0c0d0e0full), 0);
        assert_int_equal(buf_put_bytes16(&b, "hi", 2), 0);
        assert_int_equal(buf_put_bytes32(&b, "x", 1), 0);
        assert_int_equal(buf_put_str16(&b, "y"), 0);
        assert_int_equal(b.len, sizeof(expect));
        assert_memory_equal(b.data, expect, sizeof(expect));
}

static void a_length_that_does_not_fit_is_refused(void **state) {
        _cleanup_(buf_done) Buf b = {};
        _cleanup_(buf_done) Buf big = {};

        assert_int_equal(buf_reserve(&big, 65536), 0);
        memset(big.data, 'a', 65536);
        assert_int_equal(buf_put_bytes16(&b, big.data, 65536), -E2BIG);
        assert_int_equal(b.len, 0);
        assert_int_equal(buf_put_bytes16(&b, big.data, 65535), 0);
        assert_int_equal(b.len, 65537);
}

/* RFC 4648 section 10, and the two alphabets' last characters. */
static const struct {
        const char *bytes, *base64, *base64url, *hex;
} texts[] = {
        { "", "", "", "" },
        { "f", "Zg==", "Zg", "66" },
        { "fo", "Zm8=", "Zm8", "666f" },
        { "foo", "Zm9v", "Zm9v", "666f6f" },
        { "foob", "Zm9vYg==", "Zm9vYg", "666f6f62" },
        { "fooba", "Zm9vYmE=", "Zm9vYmE", "666f6f6261" },
        { "foobar", "Zm9vYmFy", "Zm9vYmFy", "666f6f626172" },
        { "\xfb\xff", "+/8=", "-_8", "fbff" },
};

static void text_forms_go_both_ways(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(buf_done) Buf text = {}, bytes = {};
                size_t len = strlen(texts[i].bytes);

                assert_int_equal(buf_append_base64(&text, texts[i].bytes, len), 0);
                assert_string_equal(buf_str(&text), texts[i].base64);
                buf_clear(&text);
                assert_int_equal(buf_append_base64url(&text, texts[i].bytes, len), 0);
                assert_string_equal(buf_str(&text), texts[i].base64url);
                buf_clear(&text);
                assert_int_equal(buf_append_hex(&text, texts[i].bytes, len), 0);
                assert_string_equal(buf_str(&text), texts[i].hex);

                assert_int_equal(
                        buf_decode_base64(&bytes, texts[i].base64, strlen(texts[i].base64)), 0);
                assert_string_equal(buf_str(&bytes), texts[i].bytes);
                buf_clear(&bytes);
                assert_int_equal(buf_decode_base64url(&bytes, texts[i].base64url,
                                                      strlen(texts[i].base64url)),
                                 0);
                assert_string_equal(buf_str(&bytes), texts[i].bytes);
                buf_clear(&bytes);
                assert_int_equal(buf_decode_hex(&bytes, texts[i].hex, strlen(texts[i].hex)), 0);
                assert_string_equal(buf_str(&bytes), texts[i].bytes);
        }
}

static void decoders_are_strict(void **state) {
        static const struct {
                int (*decode)(Buf *b, const char *s, size_t len);
                const char *text;
        } cases[] = {
                { buf_decode_base64, "Zg" },
                { buf_decode_base64, "Zg=" },
                { buf_decode_base64, "Zg===" },
                { buf_decode_base64, "Zh==" },
                { buf_decode_base64, "Zm9=" },
                { buf_decode_base64, "Zg==\n" },
                { buf_decode_base64, " Zg==" },
                { buf_decode_base64, "Zg==Zg==" },
                { buf_decode_base64, "-_8=" },
                { buf_decode_base64, "====" },
                { buf_decode_base64, "Z===" },
                { buf_decode_base64, "Zm 9v" },
                { buf_decode_base64, "Z\xc3\xa4==" },
                { buf_decode_base64url, "Zg==" },
                { buf_decode_base64url, "Zh" },
                { buf_decode_base64url, "Z" },
                { buf_decode_base64url, "+/8" },
                { buf_decode_base64url, "Zm9" },
                { buf_decode_base64url, "Zm9vZ" },
                { buf_decode_hex, "6" },
                { buf_decode_hex, "6g" },
                { buf_decode_hex, "0x66" },
                { buf_decode_hex, "66 66" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(buf_done) Buf b = {};

                assert_int_equal(buf_append_str(&b, "kept"), 0);
                assert_int_equal(cases[i].decode(&b, cases[i].text, strlen(cases[i].text)),
                                 -EBADMSG);
                assert_string_equal(buf_str(&b), "kept");
        }
}

static void a_nul_byte_is_no_base64(void **state) {
        _cleanup_(buf_done) Buf b = {};

        assert_int_equal(buf_decode_base64(&b, "Zg=\0", 4), -EBADMSG);
        assert_int_equal(buf_decode_hex(&b, "6\0", 2), -EBADMSG);
}

static void a_secret_is_a_copy_and_ends_in_nul(void **state) {
        _cleanup_(secret_done) Secret s = {}, zeroes = {};
        static const uint8_t none[16] = {};
        char text[] = "hunter2";

        assert_int_equal(secret_new(&s, text, strlen(text)), 0);
        erase(text, sizeof(text));
        assert_memory_equal(text, none, sizeof(text));
        assert_int_equal(s.len, 7);
        assert_string_equal((const char *) s.data, "hunter2");

        assert_int_equal(secret_new(&zeroes, NULL, sizeof(none)), 0);
        assert_memory_equal(zeroes.data, none, sizeof(none));
        secret_done(&zeroes);
        assert_null(zeroes.data);
        assert_int_equal(zeroes.len, 0);
        erase(NULL, 0);
}

static void a_reader_gives_back_what_was_put(void **state) {
        _cleanup_(buf_done) Buf b = {};
        const uint8_t *p;
        char text[8];
        size_t len;
        Reader r;

        (void) buf_put_u8(&b, 0xfe);
        (void) buf_put_u16(&b, 0xfedc);
        (void) buf_put_u32(&b, 0xfedcba98);
        (void) buf_put_u64(&b, 0xfedcba9876543210ull);
        (void) buf_put_bytes16(&b, "ab", 2);
        (void) buf_put_bytes32(&b, "cde", 3);
        (void) buf_put_str16(&b, "1234567");
        (void) buf_append_str(&b, "zz");

        r = READER(b.data, b.len);
        assert_int_equal(reader_u8(&r), 0xfe);
        assert_int_equal(reader_u16(&r), 0xfedc);
        assert_int_equal(reader_u32(&r), 0xfedcba98);
        assert_true(reader_u64(&r) == 0xfedcba9876543210ull);
        p = reader_bytes16(&r, &len);
        assert_int_equal(len, 2);
        assert_memory_equal(p, "ab", 2);
        p = reader_bytes32(&r, &len);
        assert_int_equal(len, 3);
        assert_memory_equal(p, "cde", 3);
        reader_str16(&r, text, sizeof(text));
        assert_string_equal(text, "1234567");
        assert_int_equal(reader_end(&r), -EBADMSG); /* two bytes are left */
        assert_memory_equal(reader_bytes(&r, 2), "zz", 2);
        assert_int_equal(reader_end(&r), 0);
}

static void a_readers_failure_sticks(void **state) {
        static const uint8_t data[] = { 0x00, 0x05, 'a', 'b', 'c' };
        Reader r = READER(data, sizeof(data));
        size_t len = 99;

        assert_null(reader_bytes16(&r, &len));
        assert_int_equal(len, 0);
        assert_true(r.failed);
        assert_int_equal(reader_u8(&r), 0);
        assert_null(reader_bytes(&r, 1));
        assert_int_equal(reader_end(&r), -EBADMSG);
}

static void lengths_cannot_run_over_the_end(void **state) {
        static const uint8_t huge[] = { 0xff, 0xff, 0xff, 0xff, 'a' };
        Reader r = READER(huge, sizeof(huge));
        size_t len;

        assert_null(reader_bytes32(&r, &len));
        assert_int_equal(len, 0);
        assert_true(r.failed);

        r = READER(huge, sizeof(huge));
        assert_null(reader_bytes(&r, SIZE_MAX));
        assert_true(r.failed);

        r = READER(NULL, 0);
        assert_int_equal(reader_end(&r), 0);
        assert_true(reader_u64(&r) == 0);
        assert_int_equal(reader_end(&r), -EBADMSG);
}

static void strings_that_do_not_fit_or_hold_nul_fail(void **state) {
        static const uint8_t too_long[] = { 0, 4, 'a', 'b', 'c', 'd' };
        static const uint8_t with_nul[] = { 0, 3, 'a', 0, 'c' };
        char text[4] = "old";
        Reader r;

        r = READER(too_long, sizeof(too_long));
        reader_str16(&r, text, sizeof(text));
        assert_int_equal(reader_end(&r), -EBADMSG);

        r = READER(with_nul, sizeof(with_nul));
        reader_str16(&r, text, sizeof(text));
        assert_int_equal(reader_end(&r), -EBADMSG);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_appended_is_there),
                cmocka_unit_test(a_long_text_survives_every_growth),
                cmocka_unit_test(the_limit_holds_and_nothing_changes_past_it),
                cmocka_unit_test(numbers_are_big_endian),
                cmocka_unit_test(a_length_that_does_not_fit_is_refused),
                cmocka_unit_test(text_forms_go_both_ways),
                cmocka_unit_test(decoders_are_strict),
                cmocka_unit_test(a_nul_byte_is_no_base64),
                cmocka_unit_test(a_secret_is_a_copy_and_ends_in_nul),
                cmocka_unit_test(a_reader_gives_back_what_was_put),
                cmocka_unit_test(a_readers_failure_sticks),
                cmocka_unit_test(lengths_cannot_run_over_the_end),
                cmocka_unit_test(strings_that_do_not_fit_or_hold_nul_fail),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
