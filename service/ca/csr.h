/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Certificate signing requests for outside authorities (PKCS #10), signed by the key itself. */

#include "service/ca/ca.h"

typedef struct CsrRequest {
        const char *key_id;
        uint32_t version;
        const KeyAlg *alg;
        const Buf *spki, *sealed;
        const char *path;        /* the key's, for the policy's names */
        const char *common_name; /* 1 to 64 bytes of UTF-8, no control characters */
        const CertPolicy *policy;
} CsrRequest;

/* ret is DER; it was verified.  -CSIGN_E_BAD_REQUEST, and the key store's failures. */
int csr_make(Keystore *ks, const CsrRequest *req, Buf *ret, Error *e);
