/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an authority must be able to do.  Only files of this folder include this. */

#include "service/ca/ca.h"

typedef struct CaOps {
        const char *name;
        /* ret->id, tsg, subject and created are set. */
        int (*create)(Keystore *ks, Authority *ret, Error *e);
        /* ret->id, not_before and not_after are set. */
        int (*issue)(Keystore *ks, const Authority *a, const CertRequest *req, Certificate *ret,
                     Error *e);
} CaOps;

extern const CaOps ca_builtin;
