/* SPDX-License-Identifier: Apache-2.0 */

/* What csign-service sends to the key store: what is taken writes and reads back as the same. */

#include "service/keystore/protocol.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(buf_done) Buf b = {};
        Request req;
        Error e = {};
        int r;

        r = request_decode(data, size, &req, &e);
        if (r < 0) {
                assert(e.code == r && e.detail[0]);
                return 0;
        }
        assert(request_encode(&req, &b) == 0);
        assert(b.len == size && memcmp(b.data, data, size) == 0);
        return 0;
}
