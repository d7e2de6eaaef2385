/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The service's own TLS key and certificate: the one private key that is not in the key store,
 * since TLS needs it at hand.  It signs nothing but handshakes. */

#include "lib/buf.h"
#include "service/ca/ca.h"
#include "service/config.h"

typedef struct TlsIdentity {
        Secret key; /* PEM */
        Certificate certificate;
} TlsIdentity;

/* A new key, and a certificate of the system's authority for these names
 * ("DNS:localhost,IP:127.0.0.1"). */
int tls_identity_new(TlsIdentity *ret, Keystore *ks, const Authority *a, const char *san, Error *e);
void tls_identity_done(TlsIdentity *t);

/* Writes tls.key, tls.crt and ca.pem into the state directory. */
int tls_identity_write(const TlsIdentity *t, const Authority *a, const Config *c, Error *e);
