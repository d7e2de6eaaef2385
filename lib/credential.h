/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An account's authentication key.  It proves who one is, twice: it signs the assertion for a
 * token, and it is the TLS client key to which the token is bound.  It never leaves this process;
 * one that a provider keeps never gets into it. */

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "lib/error.h"

typedef struct Credential {
        EVP_PKEY *key;
        X509 *cert;          /* self-signed, made here, never written anywhere */
        const char *jwt_alg; /* "ES256", "ES384", "RS256", "EdDSA" */
        const char *md;      /* to sign with; NULL for EdDSA */
} Credential;

/* place: a file's absolute path, or a URI that the provider knows; provider: OpenSSL's name of it,
 * NULL for files that need none.
 *
 * -CSIGN_E_NO_CREDENTIAL: no such file.  -CSIGN_E_BAD_CREDENTIAL: others can read it, somebody else
 * owns it, or there is no usable key in it; or the provider cannot be had. */
int credential_load(Credential **ret, const char *place, const char *provider,
                    const char *client_id, Error *e);

/* The key alone, of what can be read from a descriptor: it is read to its end, and stays the
 * caller's. */
int credential_read_key(int fd, EVP_PKEY **ret, Error *e);

/* Of a key that is there; takes a reference. */
int credential_new(Credential **ret, EVP_PKEY *key, const char *name, const char *client_id,
                   Error *e);
void credential_free(Credential *c);
DEFINE_CLEANUP(Credential, credential_free)
