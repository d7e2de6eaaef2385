/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Certificates that somebody brings from an outside authority: read strictly, and accepted only as
 * a whole. */

#include <openssl/x509.h>

#include "service/ca/ca.h"

#define CHAIN_CERTIFICATES_MAX 8
#define CHAIN_CERTIFICATE_MAX  16384 /* bytes of DER */

typedef struct CertChain {
        X509 *certs[CHAIN_CERTIFICATES_MAX]; /* the key's own first */
        size_t n;
} CertChain;

/* Reads PEM blocks of certificates; text between them is left out, any other block is an error, and
 * so is DER that is not the one encoding of what it says.  -CSIGN_E_BAD_REQUEST. */
int chain_parse(const char *pem, CertChain *ret, Error *e);
void chain_done(CertChain *c);

/* Whether the first is for that public key, each next one has certified the one before, the last is
 * signed by itself if it is alone, and the first is valid now and for at most days_max in all.
 * -CSIGN_E_BAD_REQUEST with rule "chain-key", "chain-order", "chain-dates" or "chain-verify". */
int chain_check(const CertChain *c, const Buf *spki, unsigned days_max, Error *e);

/* After both: as it is stored. */
int chain_certificate(const CertChain *c, Certificate *ret, Error *e);

/* Walks over DER objects that stand one after the other: the length of the first, 0 at the end, or
 * -EBADMSG. */
ssize_t der_length(const uint8_t *der, size_t len);
