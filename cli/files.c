/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/files.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "lib/mu.h"
#include "lib/ossl.h"

static void closep(FILE **f) {
        if (*f && *f != stdin && *f != stdout)
                (void) fclose(*f);
}

/* Hands the file on in pieces, to f; "-" is the standard input. */
static int read_pieces(const char *path, int (*f)(void *arg, const uint8_t *data, size_t len),
                       void *arg, Error *e) {
        _cleanup_(closep) FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
        uint8_t chunk[65536];
        size_t n;
        int r;

        if (!in)
                return error_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
        while ((n = fread(chunk, 1, sizeof(chunk), in)) > 0) {
                r = f(arg, chunk, n);
                if (r < 0)
                        return error_set(e, r, "cannot take in %s: %s", path, strerror(-r));
        }
        if (ferror(in))
                return error_set(e, -EIO, "cannot read %s: %s", path, strerror(errno));
        return 0;
}

static int hash_piece(void *arg, const uint8_t *data, size_t len) {
        return EVP_DigestUpdate(arg, data, len) == 1 ? 0 : -EIO;
}

static int keep_piece(void *arg, const uint8_t *data, size_t len) {
        return message_append(*(const int *) arg, data, len);
}

static int digest_file(const char *path, const HashAlg *hash, Content *ret, Error *e) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        const EVP_MD *md = EVP_get_digestbyname(hash->name);
        int r;

        if (!ctx || !md || EVP_DigestInit_ex(ctx, md, NULL) <= 0)
                return error_set(e, -EIO, "cannot hash with %s", hash->name);
        r = read_pieces(path, hash_piece, ctx, e);
        if (r < 0)
                return r;
        if (EVP_DigestFinal_ex(ctx, ret->digest, NULL) <= 0)
                return error_set(e, -EIO, "cannot hash with %s", hash->name);
        return 0;
}

static int mu_of_file(const char *path, const EVP_PKEY *key, Content *ret, Error *e) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = mu_begin(NULL, key, NULL, 0);
        int r;

        if (!ctx)
                return error_set(e, -EIO, "cannot begin to hash for ML-DSA");
        r = read_pieces(path, hash_piece, ctx, e);
        if (r < 0)
                return r;
        if (EVP_DigestFinalXOF(ctx, ret->digest, MU_SIZE) <= 0)
                return error_set(e, -EIO, "cannot hash for ML-DSA");
        return 0;
}

static int keep_file(const char *path, Content *ret, Error *e) {
        int r;

        ret->fd = message_new();
        if (ret->fd < 0)
                return error_set(e, ret->fd, "no memory for %s", path);
        r = read_pieces(path, keep_piece, &ret->fd, e);
        if (r < 0)
                return r;
        r = message_seal(ret->fd);
        if (r < 0)
                return error_set(e, r, "cannot seal the memory with %s", path);
        return message_map(&ret->message, ret->fd, SIZE_MAX, e);
}

int content_read(const char *path, const HashAlg *hash, const EVP_PKEY *key, Content *ret,
                 Error *e) {
        int r;

        *ret = (Content){ .fd = -1 };
        if (hash == &hash_none)
                r = keep_file(path, ret, e);
        else if (hash == &hash_mu)
                r = mu_of_file(path, key, ret, e);
        else
                r = digest_file(path, hash, ret, e);
        if (r < 0) {
                content_done(ret);
                return r;
        }

        ret->data = hash == &hash_none ? ret->message.data : ret->digest;
        ret->len = hash == &hash_none ? ret->message.len : hash->size;
        return 0;
}

void content_done(Content *c) {
        message_unmap(&c->message);
        if (c->fd >= 0)
                close(c->fd);
        c->fd = -1;
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
