/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log's chain, as `csign audit verify` computes it. */

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "cli/chain.h"
#include "lib/json.h"
#include "tests/unit/test.h"

static void hex(const uint8_t *p, char ret[static CHAIN_HEX_SIZE]) {
        for (size_t i = 0; i < CHAIN_HASH_SIZE; i++)
                (void) sprintf(ret + 2 * i, "%02x", p[i]);
}

/* n records, chained as the service has to. */
static json_t *log_of(size_t n) {
        json_t *records = json_array();
        uint8_t hash[CHAIN_HASH_SIZE] = {};

        for (size_t i = 1; i <= n; i++) {
                char previous[CHAIN_HEX_SIZE], own[CHAIN_HEX_SIZE], entry[64];
                uint8_t input[CHAIN_HASH_SIZE + sizeof(entry)];
                int len;

                len = snprintf(entry, sizeof(entry), "{\"kind\":\"sign\",\"n\":%zu}", i);
                hex(hash, previous);
                memcpy(input, hash, CHAIN_HASH_SIZE);
                memcpy(input + CHAIN_HASH_SIZE, entry, (size_t) len);
                assert_true(EVP_Digest(input, CHAIN_HASH_SIZE + (size_t) len, hash, NULL,
                                       EVP_sha256(), NULL));
                hex(hash, own);
                (void) json_array_append_new(
                        records, json_pack("{s:I, s:s, s:s, s:s}", "number", (json_int_t) i, "hash",
                                           own, "previous", previous, "entry", entry));
        }
        return records;
}

static Anchor anchor_of(const json_t *records, size_t i) {
        const json_t *record = json_array_get(records, i);
        Anchor a = { .number = (uint64_t) json_integer_value(json_object_get(record, "number")) };

        (void) snprintf(a.hash, sizeof(a.hash), "%s",
                        json_string_value(json_object_get(record, "hash")));
        return a;
}

static void whole_log_is_whole(void **state) {
        _cleanup_(json_decrefp) json_t *records = log_of(5);
        Chain c = { .head = anchor_of(records, 4), .noted = anchor_of(records, 2) };
        Error e = {};

        assert_int_equal(chain_add(&c, records, &e), 0);
        assert_int_equal(chain_end(&c, &e), 0);
        assert_int_equal(c.number, 5);
}

static void empty_log_is_whole(void **state) {
        _cleanup_(json_decrefp) json_t *records = json_array();
        Chain c = {};
        Error e = {};

        assert_int_equal(chain_add(&c, records, &e), 0);
        assert_int_equal(chain_end(&c, &e), 0);
}

/* What somebody could do to the third of five records, and which one is named. */
static void changes_are_found(void **state) {
        static const struct {
                const char *field, *value;
                const char *named;
        } cases[] = {
                { "entry", "{\"kind\":\"sign\",\"n\":9}", "audit record 3: its content" },
                { "hash", "00", "audit record 3: its content" },
                { "previous", "00", "audit record 3: it does not follow" },
                { "entry", NULL, "audit record 3: it has no entry" },
                { NULL, NULL, "audit record 3: it is missing" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(json_decrefp) json_t *records = log_of(5);
                json_t *third = json_array_get(records, 2);
                Chain c = {};
                Error e = {};

                if (!cases[i].field)
                        (void) json_array_remove(records, 2);
                else if (!cases[i].value)
                        (void) json_object_del(third, cases[i].field);
                else
                        (void) json_object_set_new(third, cases[i].field,
                                                   json_string(cases[i].value));

                assert_int_equal(chain_add(&c, records, &e), -CSIGN_E_AUDIT_BROKEN);
                assert_non_null(strstr(e.detail, cases[i].named));
                assert_int_equal(c.number, 2);
        }
}

static void cut_log_is_found(void **state) {
        _cleanup_(json_decrefp) json_t *records = log_of(5), *shorter = log_of(3);
        Chain c = { .noted = anchor_of(records, 4) };
        Error e = {};

        assert_int_equal(chain_add(&c, shorter, &e), 0);
        assert_int_equal(chain_end(&c, &e), -CSIGN_E_AUDIT_BROKEN);
        assert_non_null(strstr(e.detail, "audit record 4"));
}

/* A chain that is right in itself, and is another one than somebody saw. */
static void rewritten_log_is_found(void **state) {
        _cleanup_(json_decrefp) json_t *records = log_of(3);
        Chain c = { .noted = { .number = 2 } };
        Error e = {};

        memset(c.noted.hash, 'a', CHAIN_HEX_SIZE - 1);
        assert_int_equal(chain_add(&c, records, &e), -CSIGN_E_AUDIT_BROKEN);
        assert_non_null(strstr(e.detail, "audit record 2"));
}

static void anchors_are_read_strictly(void **state) {
        static const char *const bad[] = {
                "",
                "17",
                "17:",
                "17:00",
                "0:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
                "1:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b0",
                "1:zb86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
        };
        Anchor a = {};
        Error e = {};

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(anchor_parse(bad[i], &a, &e), -CSIGN_E_BAD_REQUEST);
        assert_int_equal(a.number, 0);
        assert_int_equal(
                anchor_parse("17:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
                             &a, &e),
                0);
        assert_int_equal(a.number, 17);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(whole_log_is_whole),
                cmocka_unit_test(empty_log_is_whole),
                cmocka_unit_test(changes_are_found),
                cmocka_unit_test(cut_log_is_found),
                cmocka_unit_test(rewritten_log_is_found),
                cmocka_unit_test(anchors_are_read_strictly),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
