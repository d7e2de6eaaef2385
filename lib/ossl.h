/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Ownership by scope for OpenSSL's objects: `_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;`. */

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "lib/macro.h"

DEFINE_CLEANUP(BIO, BIO_free_all)
DEFINE_CLEANUP(EVP_MD, EVP_MD_free)
DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)
DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
DEFINE_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
DEFINE_CLEANUP(X509, X509_free)
DEFINE_CLEANUP(X509_NAME, X509_NAME_free)
