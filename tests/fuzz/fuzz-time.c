/* SPDX-License-Identifier: Apache-2.0 */

/* Times: what is taken is a time of this calendar, and writes and reads back as the same. */

#include "service/clock.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *s = fuzz_string(data, size), text[CLOCK_TEXT_MAX];
        uint64_t t = 1, again;

        if (clock_parse(s, &t) == 0) {
                assert(t % USEC_PER_SEC == 0);
                /* An offset may lead into the year 10000. */
                if (t < (uint64_t) 253402300800 * USEC_PER_SEC)
                        assert(clock_parse(clock_text_seconds(t, text), &again) == 0 && again == t);
        } else
                assert(t == 1);
        free(s);
        return 0;
}
