/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether a certificate is as RFC 5280 and the CA/Browser Forum's code-signing requirements want
 * it. The built-in authority asks this of each certificate before it signs it. */

#include <openssl/x509.h>

#include "service/ca/ca.h"

typedef struct LintTerms {
        CertProfile profile;
        X509 *issuer;      /* NULL: it is signed by itself */
        EVP_PKEY *key;     /* whose certificate it is to be */
        unsigned days_max; /* of its life */
} LintTerms;

/* -CSIGN_E_BAD_REQUEST; the rule is "lint-" and the name of the first one that it breaks: version,
 * serial, algorithm, dates, subject, issuer, key, constraints, key-usage, extended-key-usage,
 * key-identifier, duplicate, unknown, names, urls. */
int certificate_lint(X509 *x, const LintTerms *t, Error *e);
