/* SPDX-License-Identifier: Apache-2.0 */

/* DigestInfo: what is taken is one hash's digest at the very end, and libcrypto reads it the same
 * way. */

#include <openssl/x509.h>

#include "provider/digest-info.h"
#include "tests/fuzz/fuzz.h"

static void compare(const uint8_t *der, size_t len, const HashAlg *hash, const uint8_t *digest) {
        const ASN1_OCTET_STRING *octets;
        const X509_ALGOR *algorithm;
        const ASN1_OBJECT *oid;
        const uint8_t *p = der;
        X509_SIG *sig;

        sig = d2i_X509_SIG(NULL, &p, (long) len);
        assert(sig && p == der + len);

        X509_SIG_get0(sig, &algorithm, &octets);
        X509_ALGOR_get0(&oid, NULL, NULL, algorithm);
        assert(EVP_get_digestbyobj(oid) == EVP_get_digestbyname(hash->name));
        assert((size_t) ASN1_STRING_length(octets) == hash->size);
        assert(memcmp(ASN1_STRING_get0_data(octets), digest, hash->size) == 0);
        X509_SIG_free(sig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const HashAlg *hash = NULL;
        const uint8_t *digest = NULL;

        if (digest_info_parse(data, size, &hash, &digest) == 0) {
                assert(digest + hash->size == data + size);
                compare(data, size, hash, digest);
        } else
                assert(!hash && !digest);
        return 0;
}
