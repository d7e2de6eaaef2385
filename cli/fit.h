/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Signed FIT images (U-Boot's): a flattened device tree whose signature nodes hold signatures over
 * an image's data, or over those parts of the tree that make up a configuration. */

#include <openssl/evp.h>

#include "lib/buf.h"
#include "lib/error.h"

/* Every signature node has to have a signature by this key, and there has to be one at all.
 * -CSIGN_E_BAD_SIGNATURE names the node.  path is for sentences only. */
int fit_verify(const char *path, const Buf *content, EVP_PKEY *key, Error *e);

typedef int (*FitHint)(const char *hint, void *userdata, Error *e);

/* The key-name-hint of each signature node: of an image, and of a source (its own text only). */
int fit_hints(const char *path, const Buf *content, FitHint f, void *userdata, Error *e);
int fit_source_hints(const Buf *source, FitHint f, void *userdata, Error *e);
