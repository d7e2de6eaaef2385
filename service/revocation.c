/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping lists of what was revoked. */

#include "service/revocation.h"

#include <stdio.h>

#include "service/audit/entry.h"

#define TRIES 8

typedef struct NewList {
        const char *authority;
        const Crl *crl;
} NewList;

static int store(DbConn *c, void *userdata, Error *e) {
        const NewList *n = userdata;

        return crl_store(c, n->authority, n->crl, e);
}

static int keep(Service *s, const Authority *a, const Crl *crl, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = { .kind = "crl.issue", .rule = "schedule" };
        NewList n = { .authority = a->id, .crl = crl };
        AuditJob job = { .change = store, .userdata = &n, .records = &rec, .n_records = 1, .e = e };
        char number[24];
        int r;

        snprintf(number, sizeof(number), "%llu", (unsigned long long) crl->number + 1);
        r = audit_entry_change(&rec, &event, "authority", a->id, "subject", a->subject,
                               "crl_number", number, NULL);
        return r < 0 ? r : audit_commit(s->audit, &job);
}

/* Somebody else may store a list, or revoke something, in between: then it is made once more. */
int revocation_list(Service *s, const Authority *a, Crl *ret, Error *e) {
        for (int i = 0; i < TRIES; i++) {
                _cleanup_(crl_done) Crl crl = {};
                int r;

                r = crl_get(s->db, s->keystore, a, &crl, e);
                if (r >= 0 && crl.renew != 0)
                        r = keep(s, a, &crl, e);
                if (r == -CSIGN_E_ALREADY_EXISTS)
                        continue;
                if (r < 0)
                        return r;
                *ret = crl;
                crl = (Crl){};
                return 0;
        }
        return error_set(e, -CSIGN_E_RATE_LIMITED,
                         "the authority revokes faster than its list can be made");
}
