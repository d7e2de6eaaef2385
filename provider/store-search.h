/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an application looks for in a store: each criterion that it has set must hold.
 *
 * Subject, issuer and serial number are of certificates.  A fingerprint is of a certificate, or of
 * a key's SubjectPublicKeyInfo.  The alias of a key, and of what comes with it, is its path or the
 * last name of it. */

#include <stdbool.h>

#include <openssl/core.h>
#include <openssl/x509.h>

#include "lib/buf.h"

typedef struct Search {
        X509_NAME *subject, *issuer;
        BIGNUM *serial;
        char *digest, *alias;
        Buf fingerprint;
} Search;

void search_done(Search *s);

/* Takes the criteria among params and lets the others be.  As functions of OpenSSL: 1 or 0. */
int search_set(Search *s, const OSSL_PARAM params[]);

bool search_matches_key(const Search *s, OSSL_LIB_CTX *libctx, const char *path, const Buf *spki);
bool search_matches_certificate(const Search *s, OSSL_LIB_CTX *libctx, const char *path,
                                const Buf *der);
