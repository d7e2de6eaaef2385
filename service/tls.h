/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The service's end of TLS: 1.3, or 1.2 with forward secrecy; its own certificate; and of each
 * client the public key that it proved to have.  Client certificates are self-signed (RFC 8705
 * section 2.2): which keys count is the database's business, not a chain's. */

#include <stdbool.h>
#include <stdint.h>

#include <openssl/types.h>

#include "lib/error.h"
#include "service/config.h"
#include "service/digest.h"

/* Reads tls.key (which nobody else may read) and tls.crt of the state directory. */
int tls_context_new(SSL_CTX **ret, const Config *c, Error *e);

/* SHA-256 of the client's SubjectPublicKeyInfo, made once a connection.  false: it showed no
 * certificate. */
bool tls_client_key(SSL *ssl, uint8_t ret[static SHA256_SIZE]);

/* Files of the state directory, made by tls-identity.c. */
#define TLS_KEY_FILE  "tls.key"
#define TLS_CERT_FILE "tls.crt"
#define TLS_CA_FILE   "ca.pem"
