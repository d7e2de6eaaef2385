/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the handlers of certificates share. */

#include "service/ca/rows.h"
#include "service/request.h"

/* As it is listed; with its chain, as it is shown alone; above: that of the built-in
 * authority. */
int certificate_write(JsonOut *o, const CertificateRow *row);
int certificate_write_full(JsonOut *o, const CertificateRow *row, const Buf *above);
