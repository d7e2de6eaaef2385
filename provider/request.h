/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From what OpenSSL was told to what travels: scheme, hash, salt length, digest.
 *
 * `how` is a context of the key's public half, initialised for verification, that has been given
 * the application's settings; NULL stands for one that has been given none. */

#include "lib/message.h"
#include "provider/key.h"

/* Signs the digest of a message that was hashed here.  *sig is replaced. */
int request_sign_digest(const Key *k, EVP_PKEY_CTX *how, const HashAlg *hash, const uint8_t *digest,
                        size_t len, Buf *sig, Error *e);

/* Signs a whole message; fd has it too, sealed, or is -1. */
int request_sign_message(const Key *k, const Message *m, int fd, Buf *sig, Error *e);

/* Signs what the application gives as already hashed: a digest of the hash in `how`; without one,
 * an RSA key takes a DigestInfo and an EC key what has the length of a SHA-2 digest.  Bytes of
 * unknown meaning are refused: what is signed must be something that the audit log can name. */
int request_sign_raw(const Key *k, EVP_PKEY_CTX *how, const uint8_t *tbs, size_t len, Buf *sig,
                     Error *e);
