/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/service-answers.h"
#include "tests/unit/test.h"

#include <openssl/x509.h>

#include "lib/ossl.h"
#include "sidecar/clock.h"

#define KEY_ID "key_aaaaaaaaaaaaaaaaaaaaaaaaaa"

static SignItem items[2];
static SignRequest requests[2];

static SignItem *const *two_items(void) {
        static SignItem *const pointers[] = { &items[0], &items[1] };

        for (int i = 0; i < 2; i++) {
                requests[i].request_id = i ? "req_b" : "req_a";
                buf_done(&items[i].sig);
                items[i] = (SignItem){ .req = &requests[i], .r = 77 };
        }
        return pointers;
}

static void each_item_has_its_own_result(void **state) {
        static const char answer[] =
                "{\"results\":[{\"request_id\":\"req_a\",\"signature\":\"AQID\",\"record\":"
                "{\"number\":9,\"hash\":\"00\"}},{\"problem\":{\"type\":\"urn:csign:error:"
                "KeyDisabled\","
                "\"status\":403,\"detail\":\"the key is disabled\",\"rule\":\"key-state\","
                "\"request_id\":\"req_b\"}}]}";
        Error e = {};

        assert_int_equal(service_parse_signatures(answer, strlen(answer), two_items(), 2, &e), 0);
        assert_int_equal(items[0].r, 0);
        assert_int_equal(items[0].sig.len, 3);
        assert_int_equal(items[0].record, 9);
        assert_int_equal(items[1].r, -CSIGN_E_KEY_DISABLED);
        assert_string_equal(items[1].e.rule, "key-state");
        assert_string_equal(items[1].e.request_id, "req_b");
        assert_int_equal(items[1].sig.len, 0);
        (void) two_items();
}

static void a_signature_of_another_request_is_refused(void **state) {
        static const char *const firsts[] = {
                "{\"request_id\":\"req_b\",\"signature\":\"AQID\",\"record\":{\"number\":9}}",
                "{\"signature\":\"AQID\",\"record\":{\"number\":9}}",
                "{\"request_id\":\"req_a\",\"signature\":\"AQID\"}",
                "{\"request_id\":\"req_a\",\"record\":{\"number\":9}}",
                "{\"request_id\":\"req_a\",\"signature\":\"\",\"record\":{\"number\":9}}",
                "{\"request_id\":\"req_a\",\"signature\":\"?\",\"record\":{\"number\":9}}",
                "{\"request_id\":\"req_a\",\"signature\":\"AQID\",\"record\":{}}",
                "{\"request_id\":\"req_a\",\"signature\":\"AQID\",\"record\":{\"number\":-1}}",
                "{\"problem\":{}}",
                "{\"problem\":{\"type\":\"about:blank\"}}",
                "{}",
                "null",
                "[]",
        };
        char answer[512];

        for (size_t i = 0; i < ELEMENTSOF(firsts); i++) {
                Error e = {};

                snprintf(answer, sizeof(answer),
                         "{\"results\":[%s,{\"request_id\":\"req_b\",\"signature\":\"AQID\","
                         "\"record\":"
                         "{\"number\":10}}]}",
                         firsts[i]);
                assert_int_equal(
                        service_parse_signatures(answer, strlen(answer), two_items(), 2, &e), 0);
                assert_refused(items[0].r, -CSIGN_E_BAD_ANSWER, &items[0].e);
                assert_int_equal(items[0].sig.len, 0);
                assert_int_equal(items[1].r, 0); /* the neighbour is not harmed */
                assert_int_equal(items[1].record, 10);
        }
        (void) two_items();
}

/* The answer to an operation that was asked for before has the first request's id. */
static void a_repeated_answer_keeps_its_request_id(void **state) {
        static const char answer[] =
                "{\"results\":[{\"request_id\":\"req_aaaaaaaaaaaaaaaaaaaaaaaaaa\",\"signature\":"
                "\"AQID\",\"record\":{\"number\":9},\"repeated\":true},{\"request_id\":\"none\","
                "\"signature\":\"AQID\",\"record\":{\"number\":9},\"repeated\":true}]}";
        Error e = {};

        assert_int_equal(service_parse_signatures(answer, strlen(answer), two_items(), 2, &e), 0);
        assert_int_equal(items[0].r, 0);
        assert_string_equal(items[0].request_id, "req_aaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert_refused(items[1].r, -CSIGN_E_BAD_ANSWER, &items[1].e);
        (void) two_items();
}

static void answers_of_another_shape_are_refused(void **state) {
        static const char *const cases[] = {
                "",
                "{",
                "[]",
                "{}",
                "{\"results\":{}}",
                "{\"results\":[]}",
                "{\"results\":[{}]}",
                "{\"results\":[{},{},{}]}",
                "{\"results\":null}",
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Error e = {};

                assert_refused(
                        service_parse_signatures(cases[i], strlen(cases[i]), two_items(), 2, &e),
                        -CSIGN_E_BAD_ANSWER, &e);
        }
}

/* ---- keys ---- */

static void new_spki(Buf *spki) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        unsigned char *der = NULL;
        int len = i2d_PUBKEY(key, &der);

        assert_true(len > 0);
        buf_clear(spki);
        assert_int_equal(buf_append(spki, der, (size_t) len), 0);
        OPENSSL_free(der);
}

static Key *key_of(const Buf *spki, const char *algorithm) {
        _cleanup_(buf_done) Buf json = {};
        Key *k = NULL;
        Error e = {};

        assert_int_equal(buf_printf(&json,
                                    "{\"id\":\"" KEY_ID
                                    "\",\"path\":\"acme/mobile/release\",\"tsg\":\"x\","
                                    "\"algorithm\":\"%s\",\"state\":\"enabled\",\"version\":3,"
                                    "\"certificates\":[\"AQID\",\"BAUG\"],\"public_key\":\"",
                                    algorithm),
                         0);
        assert_int_equal(buf_append_base64(&json, spki->data, spki->len), 0);
        assert_int_equal(buf_append_str(&json, "\"}"), 0);
        assert_int_equal(service_parse_key(json.data, json.len, &k, &e), 0);
        return k;
}

static void keys_are_read_and_found_again(void **state) {
        _cleanup_(key_cache_freep) KeyCache *cache = NULL;
        _cleanup_(buf_done) Buf spki = {};
        _cleanup_(key_unrefp) Key *k = NULL, *by_id = NULL, *by_path = NULL;
        Error e = {};

        new_spki(&spki);
        k = key_of(&spki, "P-256");
        assert_int_equal(k->n_certificates, 2);
        assert_int_equal(key_cache_new(&cache, &e), 0);
        assert_int_equal(key_cache_put(cache, k, 0, &e), 0);

        by_id = key_cache_by_id(cache, KEY_ID, 3, USEC_PER_SEC);
        by_path = key_cache_by_path(cache, "acme/mobile/release", 0, USEC_PER_SEC);
        assert_ptr_equal(by_id, k);
        assert_ptr_equal(by_path, k);
        assert_non_null(k->public_key);
        assert_null(key_cache_by_id(cache, KEY_ID, 2, USEC_PER_SEC));
        assert_null(key_cache_by_path(cache, "acme/mobile/release", 3, USEC_PER_SEC));
        /* A path and an id never meet, even if somebody calls a key so. */
        assert_null(key_cache_by_path(cache, KEY_ID, 3, USEC_PER_SEC));
}

static void a_public_half_is_decoded_once(void **state) {
        _cleanup_(key_cache_freep) KeyCache *cache = NULL;
        _cleanup_(key_unrefp) Key *first = NULL, *second = NULL;
        _cleanup_(buf_done) Buf spki = {};
        Error e = {};

        new_spki(&spki);
        first = key_of(&spki, "P-256");
        second = key_of(&spki, "P-256");
        assert_int_equal(key_cache_new(&cache, &e), 0);
        assert_int_equal(key_cache_put(cache, first, 0, &e), 0);
        assert_int_equal(key_cache_put(cache, second, 0, &e), 0);
        assert_ptr_equal(first->public_key, second->public_key);
}

static void a_public_half_never_changes(void **state) {
        _cleanup_(key_cache_freep) KeyCache *cache = NULL;
        _cleanup_(key_unrefp) Key *first = NULL, *second = NULL, *found = NULL;
        _cleanup_(buf_done) Buf spki = {};
        Error e = {};

        new_spki(&spki);
        first = key_of(&spki, "P-256");
        new_spki(&spki);
        second = key_of(&spki, "P-256");
        assert_int_equal(key_cache_new(&cache, &e), 0);
        assert_int_equal(key_cache_put(cache, first, 0, &e), 0);
        assert_refused(key_cache_put(cache, second, 0, &e), -CSIGN_E_BAD_ANSWER, &e);
        found = key_cache_by_id(cache, KEY_ID, 3, USEC_PER_SEC);
        assert_ptr_equal(found, first);
}

static void a_public_half_is_of_its_algorithm(void **state) {
        _cleanup_(key_cache_freep) KeyCache *cache = NULL;
        _cleanup_(key_unrefp) Key *wrong = NULL, *cut = NULL;
        _cleanup_(buf_done) Buf spki = {};
        Error e = {};

        new_spki(&spki);
        wrong = key_of(&spki, "P-384");
        spki.len--;
        cut = key_of(&spki, "P-256");
        assert_int_equal(key_cache_new(&cache, &e), 0);
        assert_refused(key_cache_put(cache, wrong, 0, &e), -CSIGN_E_BAD_ANSWER, &e);
        assert_refused(key_cache_put(cache, cut, 0, &e), -CSIGN_E_BAD_ANSWER, &e);
        assert_null(key_cache_by_id(cache, KEY_ID, 3, USEC_PER_SEC));
}

static void malformed_keys_are_refused(void **state) {
        static const struct {
                const char *id, *path, *algorithm, *state, *version, *more;
        } cases[] = {
                { "key_x", "a", "P-256", "enabled", "1", "" },
                { "tsg_aaaaaaaaaaaaaaaaaaaaaaaaaa", "a", "P-256", "enabled", "1", "" },
                { KEY_ID, "A", "P-256", "enabled", "1", "" },
                { KEY_ID, "/a", "P-256", "enabled", "1", "" },
                { KEY_ID, "", "P-256", "enabled", "1", "" },
                { KEY_ID, "a", "P-257", "enabled", "1", "" },
                { KEY_ID, "a", "P-256", "longer-than-any-state-there-is", "1", "" },
                { KEY_ID, "a", "P-256", "enabled", "0", "" },
                { KEY_ID, "a", "P-256", "enabled", "1", ",\"certificates\":[7]" },
                { KEY_ID, "a", "P-256", "enabled", "1",
                  ",\"certificates\":[\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\"]" },
        };
        char json[1024];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Key *k = NULL;
                Error e = {};

                snprintf(json, sizeof(json),
                         "{\"id\":\"%s\",\"path\":\"%s\",\"algorithm\":\"%s\",\"state\":\"%s\","
                         "\"version\":%s,\"public_key\":\"AQID\"%s}",
                         cases[i].id, cases[i].path, cases[i].algorithm, cases[i].state,
                         cases[i].version, cases[i].more);
                assert_refused(service_parse_key(json, strlen(json), &k, &e), -CSIGN_E_BAD_ANSWER,
                               &e);
                assert_null(k);
        }
}

/* What one asks for is a version: it signs only if both are enabled. */
static void a_state_is_of_key_and_version(void **state) {
        static const struct {
                const char *state, *more, *expect;
        } cases[] = {
                { "enabled", "", "enabled" }, /* a service that knows no versions' states */
                { "disabled", "", "disabled" },
                { "enabled", ",\"version_state\":\"enabled\"", "enabled" },
                { "enabled", ",\"version_state\":\"disabled\"", "disabled" },
                { "disabled", ",\"version_state\":\"enabled\"", "disabled" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(key_unrefp) Key *k = NULL;
                char json[512];
                Error e = {};

                snprintf(json, sizeof(json),
                         "{\"id\":\"%s\",\"path\":\"a\",\"algorithm\":\"P-256\",\"state\":\"%s\","
                         "\"version\":1,\"public_key\":\"AQID\"%s}",
                         KEY_ID, cases[i].state, cases[i].more);
                assert_int_equal(service_parse_key(json, strlen(json), &k, &e), 0);
                assert_string_equal(k->state, cases[i].expect);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_item_has_its_own_result),
                cmocka_unit_test(a_signature_of_another_request_is_refused),
                cmocka_unit_test(a_repeated_answer_keeps_its_request_id),
                cmocka_unit_test(answers_of_another_shape_are_refused),
                cmocka_unit_test(keys_are_read_and_found_again),
                cmocka_unit_test(a_public_half_is_decoded_once),
                cmocka_unit_test(a_public_half_never_changes),
                cmocka_unit_test(a_public_half_is_of_its_algorithm),
                cmocka_unit_test(malformed_keys_are_refused),
                cmocka_unit_test(a_state_is_of_key_and_version),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
