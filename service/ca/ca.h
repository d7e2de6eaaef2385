/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Certificate authorities: a root and an issuing one for each root TSG, and one of the system for
 * the service's own TLS.  An authority's private key is in the key store like any other, with a
 * usage that only certificates have.  Certificates are made from the authority's policy; nothing in
 * them but the key and the subject's words comes from a request.
 *
 * Authorities that were made before there were two of them have no issuer, and issue themselves. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/error.h"
#include "lib/id.h"
#include "lib/key-uri.h"
#include "service/keystore/keystore.h"

#define COMMON_NAME_MAX   64 /* RFC 5280: ub-common-name, ub-organization-name */
#define CERT_BACKDATE_SEC 7200
#define CERT_EKU_MAX      256
#define CERT_URL_MAX      512
#define CERT_SERIAL_MAX   41 /* hex of 20 bytes, and the NUL */

typedef enum AuthorityKind {
        AUTHORITY_ROOT,    /* certifies authorities */
        AUTHORITY_ISSUING, /* certifies keys */
} AuthorityKind;

/* What it puts into the certificates of keys; "" for none. */
typedef struct CertPolicy {
        char organization[COMMON_NAME_MAX + 1];
        char country[3];
        char alternative_name[256]; /* "URI:csign://{path}", "email:release@acme.example" */
        char extended_key_usage[CERT_EKU_MAX]; /* "codeSigning,lifetimeSigning" */
} CertPolicy;

typedef struct Authority {
        char id[ID_MAX];
        char tsg[ID_MAX];
        char issuer[ID_MAX]; /* "": itself */
        AuthorityKind kind;
        char subject[COMMON_NAME_MAX + 1]; /* its common name */
        uint64_t created;
        uint64_t revision;
        CertPolicy policy;
        Buf spki, sealed, certificate;
} Authority;

void authority_done(Authority *a);
const char *authority_kind_name(AuthorityKind k); /* "root", "issuing" */

typedef enum CertProfile {
        CERT_CODE_SIGNING, /* digitalSignature, codeSigning and what the policy has besides */
        CERT_TLS_SERVER,   /* digitalSignature, serverAuth, names */
        CERT_ROOT,         /* keyCertSign, cRLSign, pathlen:1 */
        CERT_ISSUING,      /* keyCertSign, cRLSign, pathlen:0 */
} CertProfile;

typedef struct CertRequest {
        CertProfile profile;
        const char *common_name; /* 1 to 64 bytes of UTF-8, no control characters */
        const Buf *spki;
        unsigned days, days_max;
        const char *path;     /* CODE_SIGNING: the key's, for the policy's names */
        const char *names;    /* TLS_SERVER: "DNS:localhost,IP:127.0.0.1" */
        const char *base_url; /* where lists and authorities are served; NULL: it says nothing of
                                 them */
} CertRequest;

typedef struct Certificate {
        char id[ID_MAX];
        char authority[ID_MAX]; /* "": an outside one */
        char serial[CERT_SERIAL_MAX];
        uint64_t not_before, not_after, created;
        Buf der;
        Buf chain; /* of an outside one: those above it, DER one after the other */
} Certificate;

void certificate_done(Certificate *c);

/* Makes a key in the key store and a certificate for it: signed by itself with issuer NULL, which
 * then both certifies and issues if its kind is AUTHORITY_ISSUING.  Stores nothing. */
int ca_create(Keystore *ks, const char *tsg, AuthorityKind kind, const char *common_name,
              const Authority *issuer, const char *base_url, Authority *ret, Error *e);

/* A root TSG's two. */
typedef struct Hierarchy {
        Authority root, issuing;
} Hierarchy;

int ca_create_hierarchy(Keystore *ks, const char *tsg, const char *tsg_name, const char *base_url,
                        Hierarchy *ret, Error *e);
void hierarchy_done(Hierarchy *h);

/* Issues a certificate, which is linted before it is signed (lint.h) and verified before it is
 * given out.  Stores nothing.  -CSIGN_E_BAD_REQUEST, and the key store's failures. */
int ca_issue(Keystore *ks, const Authority *a, const CertRequest *req, Certificate *ret, Error *e);

/* Puts words into a policy, those that are not NULL, and checks that it can stand in certificates.
 * -CSIGN_E_BAD_REQUEST. */
int cert_policy_merge(CertPolicy *p, const char *organization, const char *country,
                      const char *alternative_name, const char *extended_key_usage, Error *e);

/* What a certificate was issued with, to issue another one alike: its common name, and the days of
 * its life. */
int certificate_terms(const Buf *der, char common_name[static COMMON_NAME_MAX + 1],
                      unsigned *ret_days, Error *e);

/* Hex.  -EBADMSG: it is negative, 0, or longer than 20 bytes. */
int certificate_serial(const Buf *der, char ret[static CERT_SERIAL_MAX]);
