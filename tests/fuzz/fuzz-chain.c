/* SPDX-License-Identifier: Apache-2.0 */

/* Chains of certificates that somebody brings, and what is asked of one that can be read. */

#include "service/ca/chain.h"
#include "tests/fuzz/fuzz.h"

static void check_chain(const CertChain *c) {
        _cleanup_(certificate_done) Certificate stored = {};
        Error e = {};
        const uint8_t *p;
        size_t left, n = 0;
        ssize_t len;

        assert(c->n >= 1 && c->n <= CHAIN_CERTIFICATES_MAX);
        if (chain_certificate(c, &stored, &e) < 0) {
                assert(e.detail[0]);
                return;
        }
        assert(stored.not_after > stored.not_before && stored.serial[0]);
        p = stored.chain.data;
        left = stored.chain.len;
        for (; (len = der_length(p, left)) > 0; p += len, left -= (size_t) len)
                n++;
        assert(len == 0 && n == c->n - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uint8_t other_key[] = { 0x30, 0x00 };
        _cleanup_(buf_done) Buf spki = {};
        char *text = fuzz_string(data, size);
        CertChain c = {};
        Error e = {};

        (void) der_length(data, size);
        if (chain_parse(text, &c, &e) == 0) {
                assert(buf_append(&spki, other_key, sizeof(other_key)) == 0);
                assert(chain_check(&c, &spki, 1, &e) < 0 && e.detail[0]);
                check_chain(&c);
        } else
                assert(e.detail[0] && c.n == 0);
        chain_done(&c);
        free(text);
        return 0;
}
