/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A request with an Idempotency-Key that makes something: sent twice, it is done once, and the
 * second gets the first answer.  Signatures have their own way in api-sign.c. */

#include "service/request.h"

/* Runs the route, unless it was run for this key already. */
int once_run(Request *req, Error *e);

/* Has the reply kept with the record, in the transaction of the change. */
void once_keep(Request *req, AuditRecord *rec);
