/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A key reference: a PEM file that stands in for a private key wherever a program takes only a
 * file.  It holds no secret: which key, which version, and its public half, so that loading it
 * needs no round trip.
 *
 *     KeyReference ::= SEQUENCE {
 *             format   UTF8String ("csign-ref-v1"),
 *             uri      UTF8String,                 -- csign://acme/mobile/release
 *             keyType  UTF8String,                 -- "RSA", "EC": OpenSSL's name
 *             keyId    UTF8String,                 -- key_…
 *             version  INTEGER (1..4294967295),
 *             spki     [0] EXPLICIT SubjectPublicKeyInfo } */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/error.h"
#include "lib/id.h"
#include "lib/key-uri.h"

#define KEY_REFERENCE_LABEL    "CSIGN KEY REFERENCE"
#define KEY_REFERENCE_DER_MAX  ((size_t) 16 * 1024)
#define KEY_REFERENCE_TYPE_MAX 16

typedef struct KeyReference {
        char uri[KEY_URI_TEXT_MAX];
        char key_type[KEY_REFERENCE_TYPE_MAX];
        char id[ID_MAX];
        uint32_t version;
        Buf spki; /* DER */
} KeyReference;

void key_reference_done(KeyReference *ref);

/* Appends to *ret.  -CSIGN_E_BAD_REQUEST if a field is not what decoding would accept. */
int key_reference_encode_der(const KeyReference *ref, Buf *ret, Error *e);
int key_reference_encode_pem(const KeyReference *ref, Buf *ret, Error *e);

/* Whether DER begins as a reference does: if not, it is somebody else's, and no error. */
bool key_reference_is_der(const uint8_t *der, size_t len);

/* Takes exactly one reference in DER and nothing behind it; ret is to be zeroed.
 * -CSIGN_E_BAD_REQUEST; *ret is then empty.  The public half is checked for its outer form only. */
int key_reference_decode_der(const uint8_t *der, size_t len, KeyReference *ret, Error *e);
