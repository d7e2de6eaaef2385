/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Optimistic concurrency: a row that can be changed counts its changes.  The count is the ETag of
 * what shows the row (request.h: etag), and a change with If-Match (request.h: if_match) is done
 * only while the row is at that count.
 *
 * Whatever changes what a reply about the row shows, in whatever table, begins in its audit job
 * with revision_bump(): the comparison and the change are one transaction of the one writer, so of
 * two changes at once with the same If-Match one wins. */

#include <stdint.h>

#include "service/db/db.h"

/* touch is SQL_KEY_TOUCH or another of the kind: "UPDATE … SET revision = revision + 1 WHERE id = ?
 * AND ? IN (0, revision)".  if_match 0 wants no particular revision.
 * -CSIGN_E_PRECONDITION_FAILED, rule "if-match": it is at another one, or gone.
 * -CSIGN_E_NOT_FOUND: it is gone, and no revision was asked for. */
int revision_bump(DbConn *c, const char *touch, const char *what, const char *id, uint64_t if_match,
                  Error *e);

/* The value of an If-Match header: "7" with its quotes, or *, which is 0.  -CSIGN_E_BAD_REQUEST. */
int revision_parse(const char *etag, uint64_t *ret, Error *e);

#define REVISION_ETAG_MAX 24
const char *revision_etag(uint64_t revision, char buf[static REVISION_ETAG_MAX]);
