/* SPDX-License-Identifier: Apache-2.0 */
/* What can be read from a certificate that somebody wants another one like. */

#include <errno.h>
#include <stdio.h>

#include <openssl/x509.h>

#include "lib/ossl.h"
#include "service/ca/ca.h"

#define SERIAL_MAX 20

static int read_common_name(const X509 *x, char buf[static COMMON_NAME_MAX + 1]) {
        int len;

        len = X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, NULL, 0);
        if (len <= 0 || len > COMMON_NAME_MAX)
                return -EBADMSG;
        (void) X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, buf,
                                         COMMON_NAME_MAX + 1);
        return 0;
}

/* The last second of a life is within it: 365 days are 364 and a bit from begin to end. */
static int read_days(const X509 *x, unsigned *ret) {
        int days, seconds;

        if (ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(x), X509_get0_notAfter(x)) != 1 ||
            days < 0 || seconds < 0)
                return -EBADMSG;
        *ret = (unsigned) days + (seconds > 0);
        return 0;
}

int certificate_terms(const Buf *der, char common_name[static COMMON_NAME_MAX + 1],
                      unsigned *ret_days, Error *e) {
        _cleanup_(X509_freep) X509 *x = NULL;
        const unsigned char *p = der->data;

        x = d2i_X509(NULL, &p, (long) der->len);
        if (!x || read_common_name(x, common_name) < 0 || read_days(x, ret_days) < 0)
                return error_set(e, -EBADMSG, "a stored certificate does not decode");
        return 0;
}

int certificate_serial(const Buf *der, char ret[static CERT_SERIAL_MAX]) {
        _cleanup_(X509_freep) X509 *x = NULL;
        const unsigned char *p = der->data;
        BIGNUM *bn = NULL;
        int r = -EBADMSG;

        x = d2i_X509(NULL, &p, (long) der->len);
        bn = x ? ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL) : NULL;
        if (bn && !BN_is_negative(bn) && !BN_is_zero(bn) && BN_num_bytes(bn) <= SERIAL_MAX) {
                uint8_t raw[SERIAL_MAX];
                int len = BN_bn2bin(bn, raw);

                for (int i = 0; i < len; i++)
                        snprintf(ret + 2 * i, 3, "%02x", raw[i]);
                r = 0;
        }
        BN_free(bn);
        return r;
}
