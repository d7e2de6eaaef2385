/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The list of what an authority has revoked, as it is handed out: the kept one, or a new one, which
 * is recorded and kept first. */

#include "service/ca/crl.h"
#include "service/service.h"

int revocation_list(Service *s, const Authority *a, Crl *ret, Error *e);
