/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the handlers of keys and of their versions share. */

#include "service/ca/ca.h"
#include "service/keys.h"
#include "service/request.h"

/* The key of the path's first id at a version (0: the primary), if the principal reaches it.
 * -CSIGN_E_KEY_NOT_FOUND. */
int key_find(Request *req, uint32_t version, Key **ret, Error *e);

/* The same, if the principal may change keys there, too. */
int key_find_to_change(Request *req, uint32_t version, Key **ret, Error *e);

void key_write(JsonOut *o, const Key *k);
int key_reply(Request *req, const Key *k);

/* Has the built-in CA certify k's public half, and puts the chain into k.  subject NULL: the key's
 * path, or its name if that is too long. */
int key_certify(Request *req, Key *k, const char *subject, unsigned days, Authority *authority,
                Certificate *cert, Error *e);
