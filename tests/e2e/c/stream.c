/* SPDX-License-Identifier: Apache-2.0 */

/* host-stream URI FILE SIGNATURE [CHILD]: an application that signs a file piece by piece, with a
 * key that takes no hash.  Prints how much memory it came to use, in KiB.  With CHILD it forks
 * after the first piece: the child signs that and "child", to there; the parent goes on. */

#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static int finish(EVP_MD_CTX *ctx, const char *path) {
        unsigned char sig[8192];
        size_t len = sizeof(sig);
        FILE *out = fopen(path, "wb");

        return out && EVP_DigestSignFinal(ctx, sig, &len) == 1 && fwrite(sig, 1, len, out) == len &&
               fclose(out) == 0;
}

static int in_child(EVP_MD_CTX *ctx, const char *path) {
        int status = 1;
        pid_t pid = fork();

        if (pid == 0) {
                status = EVP_DigestSignUpdate(ctx, "child", 5) == 1 && finish(ctx, path);
                _exit(!status);
        }
        return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int sign_file(EVP_PKEY *key, FILE *in, const char *path, const char *child) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        unsigned char chunk[65536];
        size_t n;
        int ok;

        ok = ctx && EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL) == 1;
        while (ok && (n = fread(chunk, 1, sizeof(chunk), in)) > 0) {
                ok = EVP_DigestSignUpdate(ctx, chunk, n) == 1;
                if (ok && child)
                        ok = in_child(ctx, child);
                child = NULL;
        }
        ok = ok && finish(ctx, path);
        EVP_MD_CTX_free(ctx);
        return ok;
}

/* Of this program: getrusage() would tell that of the process that started it, if it was larger. */
static long peak_kib(void) {
        FILE *f = fopen("/proc/self/status", "re");
        char line[256];
        long kib = -1;

        while (f && kib < 0 && fgets(line, sizeof(line), f))
                (void) sscanf(line, "VmHWM: %ld", &kib);
        if (f)
                (void) fclose(f);
        return kib;
}

int main(int argc, char *argv[]) {
        FILE *in = argc >= 4 ? fopen(argv[2], "rb") : NULL;
        EVP_PKEY *key = in ? load_key(argv[1], NULL) : NULL;
        int ok;

        ok = key && sign_file(key, in, argv[3], argc > 4 ? argv[4] : NULL);
        if (!ok)
                ERR_print_errors_fp(stderr);
        EVP_PKEY_free(key);
        printf("%ld\n", peak_kib());
        return !ok;
}
