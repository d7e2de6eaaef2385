/* SPDX-License-Identifier: Apache-2.0 */

/* host-stream URI FILE SIGNATURE: an application that signs a file piece by piece, with a key that
 * takes no hash.  Prints how much memory it came to use, in KiB. */

#include <sys/resource.h>

#include "host.h"

static int sign_file(EVP_PKEY *key, FILE *in, FILE *out) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        unsigned char chunk[65536], sig[8192];
        size_t n, len = sizeof(sig);
        int ok;

        ok = ctx && EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL) == 1;
        while (ok && (n = fread(chunk, 1, sizeof(chunk), in)) > 0)
                ok = EVP_DigestSignUpdate(ctx, chunk, n) == 1;
        ok = ok && EVP_DigestSignFinal(ctx, sig, &len) == 1 && fwrite(sig, 1, len, out) == len;
        EVP_MD_CTX_free(ctx);
        return ok;
}

int main(int argc, char *argv[]) {
        FILE *in = argc == 4 ? fopen(argv[2], "rb") : NULL;
        FILE *out = argc == 4 ? fopen(argv[3], "wb") : NULL;
        EVP_PKEY *key = in && out ? load_key(argv[1], NULL) : NULL;
        struct rusage used;
        int ok;

        ok = key && sign_file(key, in, out) && fclose(out) == 0;
        if (!ok)
                ERR_print_errors_fp(stderr);
        EVP_PKEY_free(key);
        getrusage(RUSAGE_SELF, &used);
        printf("%ld\n", used.ru_maxrss);
        return !ok;
}
