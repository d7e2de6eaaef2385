/* SPDX-License-Identifier: Apache-2.0 */

/* What a service answers: the same bytes as signatures, as a key, as a list, as a token and as a
 * problem. */

#include "lib/http.h"
#include "sidecar/service-api.h"
#include "sidecar/token.h"
#include "tests/fuzz/fuzz.h"

static void as_signatures(const uint8_t *data, size_t size) {
        const SignRequest requests[2] = { { .request_id = "req_a" }, { .request_id = "req_b" } };
        SignItem items[2] = { { .req = &requests[0] }, { .req = &requests[1] } };
        SignItem *const pointers[2] = { &items[0], &items[1] };
        Error e = {};

        if (service_parse_signatures(data, size, pointers, 2, &e) >= 0)
                for (int i = 0; i < 2; i++)
                        assert(items[i].r < 0 ? items[i].e.detail[0] && items[i].sig.len == 0
                                              : items[i].sig.len > 0);
        else
                assert(e.code == -CSIGN_E_BAD_ANSWER && e.detail[0]);
        for (int i = 0; i < 2; i++)
                buf_done(&items[i].sig);
}

static void as_signature(const uint8_t *data, size_t size) {
        const SignRequest request = { .request_id = "req_a" };
        SignItem item = { .req = &request };
        Error e = {};

        if (service_parse_signature(data, size, &item, &e) >= 0)
                assert(item.sig.len > 0);
        else
                assert(e.code < 0 && e.detail[0]);
        buf_done(&item.sig);
}

static void as_keys(const uint8_t *data, size_t size) {
        KeyCache *cache = NULL;
        KeyList list = {};
        Key *k = NULL;
        Error e = {};

        assert(key_cache_new(&cache, &e) >= 0);
        if (service_parse_key(data, size, &k, &e) >= 0) {
                assert(k->alg && k->version > 0);
                if (key_cache_put(cache, k, 0, &e) >= 0)
                        assert(k->public_key);
        } else
                assert(!k && e.detail[0]);
        if (service_parse_key_list(data, size, &list, &e) < 0)
                assert(list.n == 0);
        key_list_done(&list);
        key_unref(k);
        key_cache_free(cache);
}

static void as_refusal(const uint8_t *data, size_t size) {
        HttpResponse r = { .status = 403, .content_type = "application/problem+json" };
        Error e = {};

        assert(buf_append(&r.body, data, size) >= 0 || size > 0);
        assert(http_response_error(&r, &e) < 0);
        assert(e.code < 0 && e.detail[0]);
        http_response_done(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char token[TOKEN_MAX];
        uint32_t expires;
        WhoAmI who = {};
        Error e = {};

        as_signatures(data, size);
        as_signature(data, size);
        as_keys(data, size);
        as_refusal(data, size);
        service_parse_own_keys(data, size, &who);
        assert(strlen(who.key_expires) < sizeof(who.key_expires));
        if (token_parse(data, size, token, &expires, &e) >= 0)
                assert(token[0] && !strpbrk(token, "\r\n "));
        return 0;
}
