/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a configuration does to a program: found out by loading it as a program does, in a child
 * process.  A module that hangs or crashes takes only the child with it. */

#include <stdbool.h>

#include "lib/buf.h"
#include "lib/error.h"

typedef struct Probe {
        bool loads;          /* as a whole; but OpenSSL says nothing of a provider that does not */
        bool csign;          /* the provider is active */
        bool found;          /* and default_properties leave it in */
        bool fallback;       /* so is default */
        bool fips;           /* or fips with base, in its place */
        bool fallback_first; /* and comes before csign, for all keys but csign's own */
        char why[256];       /* OpenSSL's or the linker's reason, or "" */
} Probe;

/* The file at path; or the text, if it is not NULL.  -CSIGN_E_TIMEOUT after 5 s, -EIO if the child
 * crashed. */
int probe_conf(const char *path, const Buf *text, Probe *ret, Error *e);
