/* SPDX-License-Identifier: Apache-2.0 */
/* Revisions of rows, as SQL and as ETags. */

#include "service/revision.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int revision_bump(DbConn *c, const char *touch, const char *what, const char *id, uint64_t if_match,
                  Error *e) {
        int r;

        r = db_exec(c, touch, DB_ARGS(DB_TEXT(id), DB_INT(if_match)), e);
        if (r != 0)
                return r < 0 ? r : 0;
        if (if_match == 0)
                return error_set(e, -CSIGN_E_NOT_FOUND, "the %s is gone", what);
        return error_set_rule(e, -CSIGN_E_PRECONDITION_FAILED, "if-match",
                              "the %s is not at revision %" PRIu64 " any more", what, if_match);
}

int revision_parse(const char *etag, uint64_t *ret, Error *e) {
        size_t digits = etag[0] == '"' ? strspn(etag + 1, "0123456789") : 0;
        uint64_t v;

        if (strcmp(etag, "*") == 0) {
                *ret = 0;
                return 0;
        }
        errno = 0;
        v = digits > 0 ? strtoull(etag + 1, NULL, 10) : 0;
        if (v == 0 || v > INT64_MAX || errno != 0 || etag[1] == '0' ||
            strcmp(etag + 1 + digits, "\"") != 0)
                return error_set(
                        e, -CSIGN_E_BAD_REQUEST,
                        "If-Match is * or one ETag as this service gives them, like \"7\"");
        *ret = v;
        return 0;
}

const char *revision_etag(uint64_t revision, char buf[static REVISION_ETAG_MAX]) {
        snprintf(buf, REVISION_ETAG_MAX, "\"%" PRIu64 "\"", revision);
        return buf;
}
