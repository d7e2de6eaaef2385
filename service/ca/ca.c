/* SPDX-License-Identifier: Apache-2.0 */
/* Authorities: what all of them check. */

#include <stdio.h>
#include <string.h>

#include "service/ca/ca-impl.h"
#include "service/clock.h"

void authority_done(Authority *a) {
        buf_done(&a->spki);
        buf_done(&a->sealed);
        buf_done(&a->certificate);
}

void hierarchy_done(Hierarchy *h) {
        authority_done(&h->root);
        authority_done(&h->issuing);
}

void certificate_done(Certificate *c) {
        buf_done(&c->der);
        buf_done(&c->chain);
}

const char *authority_kind_name(AuthorityKind k) {
        return k == AUTHORITY_ROOT ? "root" : "issuing";
}

int common_name_check(const char *name, Error *e) {
        size_t len = strlen(name);

        if (len == 0 || len > COMMON_NAME_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "a certificate's common name has 1 to %d bytes, not %zu",
                                 COMMON_NAME_MAX, len);
        for (size_t i = 0; i < len; i++)
                if ((unsigned char) name[i] < 0x20 || name[i] == 0x7f)
                        return error_set(
                                e, -CSIGN_E_BAD_REQUEST,
                                "a certificate's common name cannot hold control characters");
        return 0;
}

int ca_create(Keystore *ks, const char *tsg, AuthorityKind kind, const char *common_name,
              const Authority *issuer, const char *base_url, Authority *ret, Error *e) {
        Authority a = { .kind = kind, .created = clock_now(), .revision = 1 };
        int r;

        r = common_name_check(common_name, e);
        if (r >= 0)
                r = id_new(a.id, "ca");
        if (r < 0)
                return r;
        snprintf(a.tsg, sizeof(a.tsg), "%s", tsg);
        snprintf(a.issuer, sizeof(a.issuer), "%s", issuer ? issuer->id : "");
        snprintf(a.subject, sizeof(a.subject), "%s", common_name);
        strcpy(a.policy.extended_key_usage, "codeSigning");

        r = ca_builtin.create(ks, issuer, base_url, &a, e);
        if (r < 0) {
                authority_done(&a);
                return r;
        }
        *ret = a;
        return 0;
}

int ca_create_hierarchy(Keystore *ks, const char *tsg, const char *tsg_name, const char *base_url,
                        Hierarchy *ret, Error *e) {
        char root[COMMON_NAME_MAX + 1], issuing[COMMON_NAME_MAX + 1];
        Hierarchy h = {};
        int r;

        snprintf(root, sizeof(root), "csign root CA %.50s", tsg_name);
        snprintf(issuing, sizeof(issuing), "csign issuing CA %.47s", tsg_name);
        r = ca_create(ks, tsg, AUTHORITY_ROOT, root, NULL, base_url, &h.root, e);
        if (r >= 0)
                r = ca_create(ks, tsg, AUTHORITY_ISSUING, issuing, &h.root, base_url, &h.issuing,
                              e);
        if (r < 0) {
                hierarchy_done(&h);
                return r;
        }
        h.issuing.created = h.root.created; /* they are one */
        *ret = h;
        return 0;
}

int ca_issue(Keystore *ks, const Authority *a, const CertRequest *req, Certificate *ret, Error *e) {
        uint64_t now = clock_now();
        Certificate c = { .created = now };
        int r;

        r = common_name_check(req->common_name, e);
        if (r < 0)
                return r;
        if (req->days == 0 || req->days > req->days_max)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "a certificate is valid for 1 to %u days, not %u", req->days_max,
                                 req->days);
        r = id_new(c.id, "crt");
        if (r < 0)
                return r;
        snprintf(c.authority, sizeof(c.authority), "%s", a->id);

        /* Backdated for clocks that are behind; the whole life stays within the limit. */
        c.not_before = now - CERT_BACKDATE_SEC * USEC_PER_SEC;
        c.not_after = c.not_before + req->days * USEC_PER_DAY - USEC_PER_SEC;
        r = ca_builtin.issue(ks, a, req, &c, e);
        if (r < 0) {
                certificate_done(&c);
                return r;
        }
        *ret = c;
        return 0;
}
