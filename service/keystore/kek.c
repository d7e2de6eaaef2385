/* SPDX-License-Identifier: Apache-2.0 */
/* Loads and makes the KEK.  The bytes live in the secure heap, once. */

#include "service/keystore/kek.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "lib/buf.h"
#include "lib/file.h"
#include "lib/macro.h"

struct Kek {
        uint8_t bytes[KEK_SIZE];
        uint8_t id[KEK_ID_SIZE];
};

/* The id is a hash of 256 random bits under a label of its own: it gives nothing away. */
static int kek_set_id(Kek *k) {
        static const char label[] = "csign KEK id v1"; /* with its NUL */
        uint8_t text[sizeof(label) + KEK_SIZE], hash[EVP_MAX_MD_SIZE];
        int ok;

        memcpy(text, label, sizeof(label));
        memcpy(text + sizeof(label), k->bytes, KEK_SIZE);
        ok = EVP_Digest(text, sizeof(text), hash, NULL, EVP_sha256(), NULL);
        erase(text, sizeof(text));
        if (ok != 1)
                return -EIO;

        memcpy(k->id, hash, KEK_ID_SIZE);
        return 0;
}

int kek_from_bytes(Kek **ret, const uint8_t bytes[static KEK_SIZE]) {
        _cleanup_(kek_freep) Kek *k = NULL;
        int r;

        k = OPENSSL_secure_zalloc(sizeof(*k));
        if (!k)
                return -ENOMEM;

        memcpy(k->bytes, bytes, KEK_SIZE);
        r = kek_set_id(k);
        if (r < 0)
                return r;

        *ret = TAKE(k);
        return 0;
}

int kek_load(Kek **ret, const char *path, Error *e) {
        _cleanup_(secret_done) Secret bytes = {};
        int r;

        /* One byte more than it should have, to tell a longer file from a right one. */
        r = file_read_secret(path, KEK_SIZE + 1, &bytes, e);
        if (r < 0 && r != -E2BIG)
                return r;
        if (r == -E2BIG || bytes.len != KEK_SIZE)
                return error_set(e, -CSIGN_E_BAD_CREDENTIAL, "%s is no KEK: it must have %d bytes",
                                 path, KEK_SIZE);

        r = kek_from_bytes(ret, bytes.data);
        if (r < 0)
                return error_set(e, r, "cannot keep the KEK in memory: %s", strerror(-r));
        return 0;
}

void kek_free(Kek *k) {
        OPENSSL_secure_clear_free(k, sizeof(*k));
}

int kek_create(const char *path, Error *e) {
        _cleanup_(secret_done) Secret bytes = {};
        int r;

        r = secret_new(&bytes, NULL, KEK_SIZE);
        if (r < 0)
                return r;
        if (RAND_priv_bytes(bytes.data, KEK_SIZE) != 1)
                return error_set(e, -EIO, "no random bytes are to be had");

        return file_create(path, bytes.data, bytes.len, 0400, e);
}

const uint8_t *kek_bytes(const Kek *k) {
        return k->bytes;
}

const uint8_t *kek_id(const Kek *k) {
        return k->id;
}

const char *kek_id_text(const uint8_t id[static KEK_ID_SIZE], char buf[static KEK_ID_TEXT_MAX]) {
        for (size_t i = 0; i < KEK_ID_SIZE; i++)
                snprintf(buf + 2 * i, 3, "%02x", id[i]);
        return buf;
}
