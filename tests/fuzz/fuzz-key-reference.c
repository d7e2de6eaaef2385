/* SPDX-License-Identifier: Apache-2.0 */

/* Key references: what is taken is exactly what would be written. */

#include "lib/key-reference.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        KeyReference ref = {};
        Buf again = {};
        Error e = {};

        if (key_reference_decode_der(data, size, &ref, &e) == 0) {
                assert(key_reference_is_der(data, size));
                assert(key_reference_encode_der(&ref, &again, &e) == 0);
                assert(again.len == size && memcmp(again.data, data, size) == 0);
        } else {
                assert(e.detail[0] && !ref.spki.data);
                (void) key_reference_is_der(data, size);
        }
        key_reference_done(&ref);
        buf_done(&again);
        return 0;
}
