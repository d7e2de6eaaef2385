/* SPDX-License-Identifier: Apache-2.0 */

/* A FIT image that mkimage has made, or somebody else: no tree is walked out of, and none is signed
 * by a key that was made a moment ago. */

#include <openssl/rsa.h>

#include "cli/fit.h"
#include "tests/fuzz/fuzz.h"

static int count_hint(const char *hint, void *userdata, Error *e) {
        *(size_t *) userdata += strlen(hint) > 0;
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static EVP_PKEY *key;
        char *copy = malloc(size + 1);
        size_t n = 0;
        Error e = {};
        Buf b;

        if (!key)
                key = EVP_RSA_gen(2048);
        assert(key && copy);
        memcpy(copy, data, size);
        copy[size] = 0;
        b = (Buf){ .data = (uint8_t *) copy, .len = size };

        assert(fit_verify("fit", &b, key, &e) == -CSIGN_E_BAD_SIGNATURE && e.detail[0]);
        (void) fit_hints("fit", &b, count_hint, &n, &e);
        (void) fit_source_hints(&b, count_hint, &n, &e);
        free(copy);
        return 0;
}
