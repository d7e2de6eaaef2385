/* SPDX-License-Identifier: Apache-2.0 */

/* Heads of requests: cut in two anywhere, the same comes out. */

#include "service/head-check.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        size_t cut = size > 0 ? data[0] % size : 0;
        HeadCheck whole = {}, halves = {};
        Error e = {}, other = {};
        int r, q;

        r = head_check_feed(&whole, data, size, 1000, &e);
        q = head_check_feed(&halves, data, cut, 1000, &other);
        if (q >= 0)
                q = head_check_feed(&halves, data + cut, size - cut, 1000, &other);
        assert(r == q && strcmp(e.detail, other.detail) == 0 && whole.state == halves.state);
        assert(whole.left == halves.left && (r >= 0) == (e.code == 0));
        head_check_done(&whole);
        head_check_done(&halves);
        return 0;
}
