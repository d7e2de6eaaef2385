/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* csign-service backup and restore: the state directory's one file of a moment, and the way back.
 * A backup holds the TLS key, and no KEK and no API key: without the key store's KEKs no signing
 * key in it opens. */

#include "service/config.h"

/* While the service runs, or while it does not.  -EEXIST: a file is never written over. */
int backup_run(const Config *c, const char *output, Error *e);

/* Into a state directory that is not there yet, or is empty: all of it, or nothing.  -EEXIST. */
int restore_run(const Config *c, const char *input, Error *e);
