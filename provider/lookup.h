/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the sidecar told of a key that a URI names.
 *
 * The last one is remembered for two seconds: programs open the same URI once for the certificate
 * and once more for the key. */

#include "lib/key-uri.h"
#include "provider/provider.h"

typedef struct Lookup {
        char path[PATH_MAX_LEN];
        uint32_t version; /* 0: whichever is the primary */
        uint64_t usec;    /* when it was asked for, on the monotonic clock */
        KeyInfo key;
} Lookup;

void lookup_free(Lookup *l);
DEFINE_CLEANUP(Lookup, lookup_free)

/* From memory, or from the sidecar: fails as sidecar_client_get_key() does. */
int lookup_get(Provider *p, const KeyUri *uri, Lookup **ret, Error *e);

/* Takes l over, which may be NULL, and remembers it. */
void lookup_done(Provider *p, Lookup *l);

/* When a signature was refused: who then loads the key again is to see it as it is now. */
void lookup_forget(Provider *p);
