/* SPDX-License-Identifier: Apache-2.0 */

/* Client assertions: what parses is bounded text, and none is by this key. */

#include <openssl/ec.h>
#include <openssl/evp.h>

#include "service/jwt.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_string(data, size);
        static EVP_PKEY *key;
        Error e = {};
        Jwt j = {};

        if (!key)
                key = EVP_EC_gen("P-256");
        if (jwt_parse(text, &j, &e) < 0)
                assert(e.detail[0] && !j.signature.data);
        else {
                assert(j.iss[0] && j.sub[0] && j.aud[0] && j.jti[0] && j.alg[0]);
                assert(j.signed_len < strlen(text));
                assert(jwt_verify(&j, key, &e) < 0);
                (void) jwt_check_claims(&j, "https://localhost:8443", 1000000, &e);
        }
        jwt_done(&j);
        free(text);
        return 0;
}
