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

/* The same bytes as the header that tells of the caller, beside a message. */
static void as_message(const uint8_t *data, size_t size) {
        _cleanup_(buf_done) Buf message = {}, header = {};
        SignItem it = {};

        if (buf_append_str(&message, "message") < 0 || buf_append(&header, data, size) < 0)
                return;
        if (sign_item_read_message(&it, "key_aaaaaaaaaaaaaaaaaaaaaaaaaa", 1, "ed25519",
                                   "req_aaaaaaaaaaaaaaaaaaaaaaaaaa", &message, &header) == 0)
                assert(it.req.hash == &hash_none && it.caller_text.len <= CALLER_MAX);
        else
                assert(it.e.code < 0 && it.e.detail[0]);
        sign_item_done(&it);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        json_t *root = NULL;
        SignItem it = {};
        Error e = {};

        as_message(data, size);
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
