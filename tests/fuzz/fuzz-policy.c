/* SPDX-License-Identifier: Apache-2.0 */

/* policy.conf: a mistake must end in a sentence, and never in a yes that nobody wrote. */

#include "sidecar/access.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_string(data, size);
        Caller c = { .uid = 1000, .gid = 1000, .pid = 1, .exe = "/usr/bin/openssl" };
        Access *a = NULL;
        Error e = {};

        if (access_parse(&a, "policy.conf", text, &e) >= 0) {
                int any = access_check_any(a, &c, &e);

                if (access_check(a, &c, "acme/mobile/release", &e) >= 0) {
                        assert(any >= 0);
                        assert(strstr(text, "allow"));
                } else
                        assert(e.code == -CSIGN_E_LOCAL_POLICY && e.detail[0] && e.rule[0]);
        } else
                assert(!a && e.detail[0]);
        access_free(a);
        free(text);
        return 0;
}
