/* SPDX-License-Identifier: Apache-2.0 */
/* Seals and opens.  Blobs come out of the service's database: they are outside bytes until the tag
 * fits. */

#include "service/keystore/seal.h"

#include <errno.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "lib/macro.h"
#include "lib/ossl.h"

DEFINE_CLEANUP(EVP_CIPHER_CTX, EVP_CIPHER_CTX_free)

#define MAGIC       "CSK1"
#define MAGIC_SIZE  4
#define HEADER_SIZE (MAGIC_SIZE + KEK_ID_SIZE + 2 + 4 + 1)
#define NONCE_SIZE  12
#define TAG_SIZE    16

static int put_header(Buf *b, const Kek *kek, const SealInfo *info) {
        if (buf_append(b, MAGIC, MAGIC_SIZE) < 0 || buf_append(b, kek_id(kek), KEK_ID_SIZE) < 0 ||
            buf_put_u16(b, info->alg->id) < 0 || buf_put_u32(b, info->schemes) < 0 ||
            buf_put_u8(b, (uint8_t) info->usage) < 0)
                return -ENOMEM;
        return 0;
}

/* What is authenticated: the header as it stands in the blob, then the name that the blob does not
 * hold. */
static int put_aad(Buf *b, const uint8_t *header, const char *key_id, uint32_t version) {
        if (buf_append(b, header, HEADER_SIZE) < 0 || buf_put_str16(b, key_id) < 0 ||
            buf_put_u32(b, version) < 0)
                return -ENOMEM;
        return 0;
}

/* AES-256-GCM in one step.  0, -EBADMSG (opening, and the tag does not fit) or -EIO. */
static int gcm(bool encrypt, const Kek *kek, const uint8_t *nonce, const Buf *aad,
               const uint8_t *in, size_t len, uint8_t *out, uint8_t tag[static TAG_SIZE]) {
        _cleanup_(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        uint8_t rest[TAG_SIZE];
        int n;

        if (!ctx ||
            EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), kek_bytes(kek), nonce, encrypt, NULL) != 1 ||
            EVP_CipherUpdate(ctx, NULL, &n, aad->data, (int) aad->len) != 1 ||
            EVP_CipherUpdate(ctx, out, &n, in, (int) len) != 1)
                return -EIO;
        if (!encrypt && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) != 1)
                return -EIO;
        if (EVP_CipherFinal_ex(ctx, rest, &n) != 1)
                return encrypt ? -EIO : -EBADMSG;
        if (encrypt && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, tag) != 1)
                return -EIO;
        return 0;
}

int seal(const Kek *kek, const char *key_id, uint32_t version, const SealInfo *info,
         const Secret *pkcs8, Buf *ret, Error *e) {
        _cleanup_(buf_done) Buf blob = {}, aad = {};
        uint8_t nonce[NONCE_SIZE], tag[TAG_SIZE];
        uint8_t *out;
        int r;

        if (RAND_bytes(nonce, sizeof(nonce)) != 1)
                return error_set(e, -EIO, "no random bytes are to be had");
        if (put_header(&blob, kek, info) < 0 || put_aad(&aad, blob.data, key_id, version) < 0 ||
            buf_append(&blob, nonce, sizeof(nonce)) < 0 || buf_reserve(&blob, pkcs8->len) < 0)
                return -ENOMEM;

        out = blob.data + blob.len;
        r = gcm(true, kek, nonce, &aad, pkcs8->data, pkcs8->len, out, tag);
        if (r < 0)
                return error_set(e, r, "cannot seal the key");
        blob.len += pkcs8->len;

        if (buf_append(&blob, tag, sizeof(tag)) < 0)
                return -ENOMEM;
        return buf_append(ret, blob.data, blob.len);
}

const uint8_t *sealed_kek_id(const void *sealed, size_t sealed_len) {
        if (sealed_len < HEADER_SIZE || memcmp(sealed, MAGIC, MAGIC_SIZE) != 0)
                return NULL;
        return (const uint8_t *) sealed + MAGIC_SIZE;
}

/* The header says what the key may do; nothing of it is believed before the tag was checked. */
static int get_header(Reader *rd, const Kek *kek, const char *key_id, SealInfo *ret, Error *e) {
        const uint8_t *magic = reader_bytes(rd, MAGIC_SIZE);
        const uint8_t *id = reader_bytes(rd, KEK_ID_SIZE);
        uint16_t alg_id = reader_u16(rd);
        uint32_t schemes = reader_u32(rd);
        uint8_t usage = reader_u8(rd);

        if (rd->failed || memcmp(magic, MAGIC, MAGIC_SIZE) != 0)
                return error_set(e, -CSIGN_E_KEY_CORRUPT, "%s: that is no sealed key", key_id);
        if (memcmp(id, kek_id(kek), KEK_ID_SIZE) != 0)
                return error_set(e, -CSIGN_E_KEY_CORRUPT,
                                 "%s is sealed under another KEK than this key store has", key_id);

        *ret = (SealInfo){ .alg = key_alg_by_id(alg_id), .schemes = schemes, .usage = usage };
        if (!ret->alg)
                return error_set(e, -CSIGN_E_KEY_CORRUPT, "%s: unknown key algorithm %u", key_id,
                                 alg_id);
        return 0;
}

int unseal(const Kek *kek, const char *key_id, uint32_t version, const void *sealed,
           size_t sealed_len, SealInfo *ret_info, Secret *ret_pkcs8, Error *e) {
        _cleanup_(buf_done) Buf aad = {};
        _cleanup_(secret_done) Secret pkcs8 = {};
        Reader rd = READER(sealed, sealed_len);
        const uint8_t *nonce, *ciphertext;
        uint8_t tag[TAG_SIZE];
        SealInfo info;
        int r;

        r = get_header(&rd, kek, key_id, &info, e);
        if (r < 0)
                return r;

        nonce = reader_bytes(&rd, NONCE_SIZE);
        if (rd.failed || rd.left <= TAG_SIZE)
                return error_set(e, -CSIGN_E_KEY_CORRUPT, "%s: the sealed key is cut off", key_id);
        memcpy(tag, rd.p + rd.left - TAG_SIZE, TAG_SIZE);
        ciphertext = reader_bytes(&rd, rd.left - TAG_SIZE);

        r = secret_new(&pkcs8, NULL, (size_t) (rd.p - ciphertext));
        if (r < 0)
                return r;
        if (put_aad(&aad, sealed, key_id, version) < 0)
                return -ENOMEM;

        r = gcm(false, kek, nonce, &aad, ciphertext, pkcs8.len, pkcs8.data, tag);
        if (r == -EBADMSG)
                return error_set(e, -CSIGN_E_KEY_CORRUPT,
                                 "the sealed key is damaged, or is not %s version %u", key_id,
                                 version);
        if (r < 0)
                return error_set(e, r, "cannot open the sealed key");

        *ret_info = info;
        *ret_pkcs8 = pkcs8;
        pkcs8 = (Secret){};
        return 0;
}
