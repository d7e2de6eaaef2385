/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/files.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/evp.h>

#include "lib/ossl.h"

static void closep(FILE **f) {
        if (*f && *f != stdin && *f != stdout)
                (void) fclose(*f);
}

int file_digest(const char *path, const HashAlg *hash, uint8_t ret[static DIGEST_MAX], Error *e) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        _cleanup_(closep) FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
        const EVP_MD *md = EVP_get_digestbyname(hash->name);
        uint8_t chunk[65536];
        size_t n;

        if (!f)
                return error_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
        if (!ctx || !md || EVP_DigestInit_ex(ctx, md, NULL) <= 0)
                return error_set(e, -EIO, "cannot hash with %s", hash->name);

        while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
                if (EVP_DigestUpdate(ctx, chunk, n) <= 0)
                        return error_set(e, -EIO, "cannot hash with %s", hash->name);
        if (ferror(f))
                return error_set(e, -EIO, "cannot read %s: %s", path, strerror(errno));
        if (EVP_DigestFinal_ex(ctx, ret, NULL) <= 0)
                return error_set(e, -EIO, "cannot hash with %s", hash->name);
        return 0;
}

bool file_is_regular(const char *path) {
        struct stat st;

        return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static int write_stream(FILE *f, const char *name, const void *data, size_t len, Error *e) {
        if (fwrite(data, 1, len, f) != len || fflush(f) == EOF)
                return error_set(e, -EIO, "cannot write %s: %s", name, strerror(errno));
        return 0;
}

int output_file(const char *path, const void *data, size_t len, Error *e) {
        _cleanup_(closep) FILE *f = NULL;
        char target[PATH_MAX];
        struct stat st;

        if (!path || strcmp(path, "-") == 0)
                return write_stream(stdout, "the standard output", data, len, e);

        if (stat(path, &st) < 0)
                return file_replace(path, data, len, 0644, e);
        if (S_ISREG(st.st_mode))
                return file_replace(realpath(path, target) ? target : path, data, len, 0644, e);

        f = fopen(path, "we");
        if (!f)
                return error_set(e, -errno, "cannot write %s: %s", path, strerror(errno));
        return write_stream(f, path, data, len, e);
}
