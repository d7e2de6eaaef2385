/* SPDX-License-Identifier: Apache-2.0 */

/* A program with the set-user-ID bit, that signs for those who start it:
 *
 *     host-setuid CONFIG KEY
 *
 * What it is told on the command line stands for what such a program has built in.  Its environment
 * is its caller's. */

#include "host.h"

int main(int argc, char *argv[]) {
        OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
        EVP_PKEY *key;

        CHECK(argc == 3 && libctx);
        CHECK(OSSL_LIB_CTX_load_config(libctx, argv[1]) == 1);
        key = load_key(argv[2], libctx);
        CHECK(key);
        CHECK(sign_and_verify(key, libctx));
        printf("signed as %u for %u\n", (unsigned) geteuid(), (unsigned) getuid());
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(libctx);
        return 0;
}
