/* SPDX-License-Identifier: Apache-2.0 */

/* An application that loads its key once and signs as long as it lives:
 *
 *     host-hold KEY
 *
 * says "loaded", then reads names of files, one a line, and puts a signature of "data" into each;
 * it says "signed" or the first error. */

#include "host.h"

static void put(const char *path, const unsigned char *data, size_t len) {
        FILE *f = fopen(path, "wb");

        CHECK(f && fwrite(data, 1, len, f) == len && fclose(f) == 0);
}

static void say(const char *words) {
        CHECK(printf("%s\n", words) > 0 && fflush(stdout) == 0);
}

static void sign_into(EVP_PKEY *key, const char *path) {
        unsigned char sig[1024];
        size_t len = sizeof(sig);
        const char *data = "";
        int flags;

        if (sign(key, NULL, sig, &len)) {
                CHECK(verify(key, NULL, sig, len)); /* by the public half that it holds */
                put(path, sig, len);
                say("signed");
                return;
        }
        ERR_peek_error_data(&data, &flags);
        say(flags & ERR_TXT_STRING ? data : "no reason given");
        ERR_clear_error();
}

int main(int argc, char *argv[]) {
        EVP_PKEY *key;
        char path[4096];

        CHECK(argc == 2);
        key = load_key(argv[1], NULL);
        CHECK(key);
        say("loaded");
        while (fgets(path, sizeof(path), stdin)) {
                path[strcspn(path, "\n")] = '\0';
                sign_into(key, path);
        }
        EVP_PKEY_free(key);
        return 0;
}
