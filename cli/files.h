/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files that people name: hashed, and written where they point. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/alg.h"
#include "lib/error.h"
#include "lib/file.h"
#include "lib/message.h"
#include "lib/sign.h"

/* What is signed of a file, and where a SignRequest's digest points. */
typedef struct Content {
        const uint8_t *data;
        size_t len;

        /* One of these has it. */
        uint8_t digest[DIGEST_MAX];
        Message message;
        int fd; /* the message, sealed; -1: there is none */
} Content;

#define CONTENT_NONE ((Content){ .fd = -1 })

/* The file's digest; with hash_mu its mu for the key, with hash_none all of it.  "-" is the
 * standard input. */
int content_read(const char *path, const HashAlg *hash, const EVP_PKEY *key, Content *ret,
                 Error *e);
void content_done(Content *c);

/* Replaces the file as a whole (mode 0644).  NULL and "-" are the standard output; what is there
 * and no regular file (a pipe, /dev/stdout) is written to, never replaced; a symbolic link is
 * followed. */
int output_file(const char *path, const void *data, size_t len, Error *e);

bool file_is_regular(const char *path);
