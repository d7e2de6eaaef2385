/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The verbs' way to a sidecar: --bus, else what lib/sidecar-client.h finds. */

#include <jansson.h>

#include "lib/sidecar-client.h"

int sidecar_open(SidecarClient **ret, Error *e);

/* The key of a URI or bare path, as a person types it.  A listing (csign://acme/) is
 * -CSIGN_E_BAD_REQUEST. */
int sidecar_key(SidecarClient *c, const char *uri, KeyInfo *ret, Error *e);

/* A new reference, or NULL without memory. */
json_t *key_info_json(const KeyInfo *k);

/* The public half as OpenSSL's own object. */
int key_info_pkey(const KeyInfo *k, EVP_PKEY **ret, Error *e);
