/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Key pairs of accounts, made on this machine. */

#include <openssl/evp.h>

#include "lib/buf.h"
#include "lib/error.h"

/* "P-256", "P-384", "RSA-3072", "Ed25519" ... */
int pair_generate(const char *algorithm, EVP_PKEY **ret, Error *e);

/* The private half in PEM (PKCS#8): to a file that nobody else reads and that was not there before,
 * or into a Buf that the caller wipes. */
int pair_save(const EVP_PKEY *pkey, const char *path, Error *e);
int pair_private(const EVP_PKEY *pkey, Buf *ret, Error *e);

int pair_public(EVP_PKEY *pkey, Buf *ret);
