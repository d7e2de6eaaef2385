/* SPDX-License-Identifier: Apache-2.0 */

/* DigestInfo by comparison: of each hash there is one encoding, so there is nothing to parse. */

#include "provider/digest-info.h"

#include <errno.h>
#include <string.h>

#include "lib/macro.h"

#define HEAD_LEN 19

/* SEQUENCE { SEQUENCE { OID 2.16.840.1.101.3.4.2.N, NULL }, OCTET STRING of `size` bytes } */
static void make_head(uint8_t oid_last, uint8_t size, uint8_t head[static HEAD_LEN]) {
        const uint8_t bytes[HEAD_LEN] = {
                0x30,     (uint8_t) (HEAD_LEN - 2 + size),
                0x30,     0x0d,
                0x06,     0x09,
                0x60,     0x86,
                0x48,     0x01,
                0x65,     0x03,
                0x04,     0x02,
                oid_last, 0x05,
                0x00,     0x04,
                size,
        };

        memcpy(head, bytes, HEAD_LEN);
}

int digest_info_parse(const uint8_t *der, size_t len, const HashAlg **ret_hash,
                      const uint8_t **ret_digest) {
        /* The last arc below 2.16.840.1.101.3.4.2, NIST's hash algorithms. */
        static const struct {
                const char *hash;
                uint8_t oid_last;
        } oids[] = {
                { "SHA224", 4 },   { "SHA256", 1 },   { "SHA384", 2 },    { "SHA512", 3 },
                { "SHA3-256", 8 }, { "SHA3-384", 9 }, { "SHA3-512", 10 },
        };

        for (size_t i = 0; i < ELEMENTSOF(oids); i++) {
                const HashAlg *hash = hash_alg_by_name(oids[i].hash);
                uint8_t head[HEAD_LEN];

                if (!hash || len != HEAD_LEN + hash->size)
                        continue;
                make_head(oids[i].oid_last, (uint8_t) hash->size, head);
                if (memcmp(der, head, HEAD_LEN) == 0) {
                        *ret_hash = hash;
                        *ret_digest = der + HEAD_LEN;
                        return 0;
                }
        }
        return -EBADMSG;
}
