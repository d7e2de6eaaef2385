/* SPDX-License-Identifier: Apache-2.0 */

/* What the key store sends back: a result writes and reads back as the same. */

#include "service/keystore/protocol.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(buf_done) Buf b = {};
        Reply reply;

        if (reply_decode(data, size, &reply) < 0)
                return 0;

        assert(reply_encode(&reply, &b) == 0);
        if (reply.r == 0)
                assert(b.len == size && memcmp(b.data, data, size) == 0);
        else
                assert(reply.error.code == reply.r);
        return 0;
}
