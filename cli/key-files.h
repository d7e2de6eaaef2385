/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What stands in for a key where a program wants files. */

#include "lib/sidecar-client.h"

/* Appends the PEM reference of one version of a key. */
int key_reference_pem(const KeyInfo *key, Buf *ret, Error *e);

/* Appends certificates `from` up to the last one, at most n, in PEM. */
int key_certificates_pem(const KeyInfo *key, size_t from, size_t n, Buf *ret, Error *e);
