/* SPDX-License-Identifier: Apache-2.0 */
/* The certificates that verifiers need. */

#include <errno.h>
#include <string.h>

#include <openssl/pem.h>

#include "lib/ossl.h"
#include "service/api.h"
#include "service/ca/ca.h"
#include "service/policy.h"

static int to_pem(const Buf *der, Buf *pem) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
        char *text;
        long len;

        if (!bio || PEM_write_bio(bio, PEM_STRING_X509, "", der->data, (long) der->len) <= 0)
                return -ENOMEM;
        len = BIO_get_mem_data(bio, &text);
        return buf_append(pem, text, (size_t) len);
}

int api_authorities(Request *req, Error *e) {
        _cleanup_(authority_done) Authority a = {};
        _cleanup_(buf_done) Buf pem = {};
        JsonOut o = JSON_OUT(&req->reply);
        char path[PATH_MAX_LEN];
        Tsg t;
        int r;

        if (!form_get(&req->query, "tsg"))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'tsg' is missing");
        r = request_path(req, "tsg", path, e);
        if (r < 0)
                return r;
        r = tsg_by_path(req->service->db, req->principal->tsg, path, &t, e);
        if (r == -CSIGN_E_NOT_FOUND)
                return policy_unreachable(req->principal, r, "TSG", path, e);
        if (r >= 0)
                r = authority_above(req->service->db, t.id, &a, e);
        if (r >= 0)
                r = to_pem(&a.certificate, &pem);
        if (r < 0)
                return r;

        json_begin_object(&o, NULL);
        json_out_str(&o, "certificates", buf_str(&pem));
        json_end_object(&o);
        return o.r;
}
