/* SPDX-License-Identifier: Apache-2.0 */

/* Sealed keys out of a database that somebody may have written to: nothing opens but what was
 * sealed.  The corpus holds a blob under this KEK; it and its name open, no change of it does. */

#include "service/keystore/seal.h"
#include "tests/fuzz/fuzz.h"

#define KEY_ID "key_aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define PLAIN  "the private key"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uint8_t bytes[KEK_SIZE] = { 1, 2, 3 };
        _cleanup_(kek_freep) Kek *kek = NULL;
        _cleanup_(secret_done) Secret plain = {};
        SealInfo info = {};
        Error e = {};
        int r;

        assert(kek_from_bytes(&kek, bytes) == 0);
        r = unseal(kek, KEY_ID, 7, data, size, &info, &plain, &e);
        if (r == 0) {
                assert(plain.len == strlen(PLAIN) && memcmp(plain.data, PLAIN, plain.len) == 0);
                assert(info.alg && info.usage == KEY_USAGE_SIGN);
        } else {
                assert(r == -CSIGN_E_KEY_CORRUPT && e.detail[0]);
                assert(!plain.data && !info.alg);
        }
        return 0;
}
