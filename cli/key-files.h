/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What stands in for a key where a program wants files. */

#include "lib/sidecar-client.h"

/* Appends the PEM reference of one version of a key. */
int key_reference_pem(const KeyInfo *key, Buf *ret, Error *e);

/* Appends certificates `from` up to the last one, at most n, in PEM. */
int key_certificates_pem(const KeyInfo *key, size_t from, size_t n, Buf *ret, Error *e);

/* Appends the topmost of the key's chain in PEM, as one that OpenSSL trusts as it is: it need not
 * be a root's.  Nothing, if the key's own is the only one. */
int key_anchor_pem(const KeyInfo *key, Buf *ret, Error *e);
