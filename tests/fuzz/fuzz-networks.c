/* SPDX-License-Identifier: Apache-2.0 */

/* Lists of networks: what is taken writes and reads back as the same. */

#include "service/networks.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *s = fuzz_string(data, size), text[NETWORKS_TEXT], twice[NETWORKS_TEXT];
        Networks n = {}, again = {};
        Error e = {};

        if (networks_parse(&n, s, &e) == 0) {
                assert(networks_parse(&again, networks_text(&n, text), &e) == 0);
                assert(strcmp(text, networks_text(&again, twice)) == 0 && n.n == again.n);
        } else
                assert(e.detail[0]);
        (void) networks_allow(&n, s);
        free(s);
        return 0;
}
