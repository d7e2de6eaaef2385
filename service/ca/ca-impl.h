/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an authority must be able to do, and how the built-in one signs.  Only files of this folder
 * include this. */

#include <openssl/x509.h>

#include "service/ca/ca.h"

#define OID_LIFETIME_SIGNING                                                                       \
        "1.3.6.1.4.1.311.10.3.13" /* Microsoft's: a time stamp prolongs nothing */

typedef struct CaOps {
        const char *name;
        /* ret->id, tsg, kind, issuer, subject and created are set; issuer NULL: itself. */
        int (*create)(Keystore *ks, const Authority *issuer, const char *base_url, Authority *ret,
                      Error *e);
        /* ret->id, authority, not_before and not_after are set. */
        int (*issue)(Keystore *ks, const Authority *a, const CertRequest *req, Certificate *ret,
                     Error *e);
} CaOps;

extern const CaOps ca_builtin;

/* OpenSSL signs only with a private key at hand, and an authority's is in another process.  So a
 * throw-away key signs first, which puts the algorithm's identifiers in their places; then the key
 * store signs the digest of the same bytes, and its signature takes the place of the first. */
EVP_PKEY *throw_away_key(void);
int authority_sign(Keystore *ks, const Authority *a, const void *tbs, size_t len, Buf *sig,
                   Error *e);
/* Into what X509_get0_signature() and its like gave: the object is ours, and OpenSSL has no other
 * way in. */
int put_signature(const ASN1_BIT_STRING *bits, const Buf *sig, Error *e);

/* Takes what i2d_…() allocated; len <= 0: it failed. */
int take_der(Buf *ret, unsigned char *der, int len, Error *e);

/* -EIO with what OpenSSL says, and its queue is empty. */
int openssl_fail(Error *e, const char *what);

/* A policy as parts of a certificate or a request: its subject, and its extended key usage and
 * alternative name, which the caller frees, after a failure too. */
bool policy_subject(const CertPolicy *p, const char *common_name, X509_NAME *name);
int policy_extensions(const CertPolicy *p, const char *path, STACK_OF(X509_EXTENSION) * *ret,
                      Error *e);

/* 1 to 64 bytes, no control characters. */
int common_name_check(const char *name, Error *e);
