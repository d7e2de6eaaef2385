/* SPDX-License-Identifier: Apache-2.0 */

/* One item of POST /v1/signatures: whatever is accepted has the form that the rest relies on. */

#include "lib/id.h"
#include "service/sign-item.h"
#include "tests/fuzz/fuzz.h"

static void check_accepted(const SignItem *it) {
        assert(it->e.code == 0);
        assert(id_is_valid(it->key_id, "key"));
        assert(it->req.scheme != SCHEME_NONE && it->req.hash);
        assert(it->req.digest_len == it->digest.len && it->digest.len <= 4 * DIGEST_MAX);
        assert(it->caller_text.len <= CALLER_MAX);
        for (size_t i = 0; key_alg_at(i); i++)
                (void) sign_request_check(&it->req, key_alg_at(i), NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        json_t *root = NULL;
        SignItem it = {};
        Error e = {};

        if (json_parse(data, size, &root, &e) < 0)
                return 0;
        if (sign_item_read(&it, root, NULL) == 0)
                check_accepted(&it);
        else
                assert(it.e.code < 0 && it.e.detail[0]);
        assert(id_is_valid(it.request_id, "req"));
        sign_item_done(&it);
        json_decref(root);
        return 0;
}
