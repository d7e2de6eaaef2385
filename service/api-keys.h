/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the handlers of keys and of their versions share. */

#include "service/keys.h"
#include "service/request.h"

/* The key of the path's first id at a version (0: the primary), if the principal reaches it.
 * -CSIGN_E_KEY_NOT_FOUND. */
int key_find(Request *req, uint32_t version, Key **ret, Error *e);

void key_write(JsonOut *o, const Key *k);
int key_reply(Request *req, const Key *k);
