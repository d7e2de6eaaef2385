/* SPDX-License-Identifier: Apache-2.0 */
/* A handful of KEKs: looked through one by one. */

#include "service/keystore/keyring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config.h"
#include "service/keystore/seal.h"

struct Keyring {
        unsigned refs;
        size_t n;
        Kek *keks[KEYRING_MAX];
};

static int keyring_new(Keyring **ret) {
        Keyring *r = calloc(1, sizeof(*r));

        if (!r)
                return -ENOMEM;
        r->refs = 1;
        *ret = r;
        return 0;
}

Keyring *keyring_ref(Keyring *r) {
        __atomic_add_fetch(&r->refs, 1, __ATOMIC_RELAXED);
        return r;
}

void keyring_unref(Keyring *r) {
        if (!r || __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) > 0)
                return;
        for (size_t i = 0; i < r->n; i++)
                kek_free(r->keks[i]);
        free(r);
}

int keyring_of(Keyring **ret, Kek *const keks[], size_t n) {
        int r;

        assert(n > 0 && n <= KEYRING_MAX);

        r = keyring_new(ret);
        if (r < 0)
                return r;
        memcpy((*ret)->keks, keks, n * sizeof(*keks));
        (*ret)->n = n;
        return 0;
}

const Kek *keyring_at(const Keyring *r, size_t i) {
        return i < r->n ? r->keks[i] : NULL;
}

static const Kek *by_id(const Keyring *ring, const uint8_t *id) {
        for (size_t i = 0; i < ring->n; i++)
                if (memcmp(kek_id(ring->keks[i]), id, KEK_ID_SIZE) == 0)
                        return ring->keks[i];
        return NULL;
}

static int add_file(const char *path, void *userdata, Error *e) {
        _cleanup_(kek_freep) Kek *kek = NULL;
        Keyring *ring = userdata;
        int r;

        r = kek_load(&kek, path, e);
        if (r < 0)
                return r;
        if (by_id(ring, kek_id(kek)))
                return error_set(e, -CSIGN_E_BAD_CONFIG, "%s holds a KEK that was named before",
                                 path);
        if (ring->n == KEYRING_MAX)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "more than %d KEKs", KEYRING_MAX);
        ring->keks[ring->n++] = TAKE(kek);
        return 0;
}

int keyring_load(Keyring **ret, const char *primary, const char *older, Error *e) {
        _cleanup_(keyring_unrefp) Keyring *ring = NULL;
        int r;

        r = keyring_new(&ring);
        if (r >= 0)
                r = add_file(primary, ring, e);
        if (r >= 0 && older)
                r = config_each(older, add_file, ring, e);
        if (r < 0)
                return r;
        *ret = TAKE(ring);
        return 0;
}

int keyring_find(const Keyring *ring, const char *key_id, const void *sealed, size_t sealed_len,
                 const Kek **ret, Error *e) {
        const uint8_t *id = sealed_kek_id(sealed, sealed_len);
        char hex[KEK_ID_TEXT_MAX];

        if (!id)
                return error_set(e, -CSIGN_E_KEY_CORRUPT, "%s: that is no sealed key", key_id);
        *ret = by_id(ring, id);
        if (!*ret)
                return error_set(e, -CSIGN_E_KEY_CORRUPT,
                                 "%s is sealed under the KEK %s, which this key store does not "
                                 "have",
                                 key_id, kek_id_text(id, hex));
        return 0;
}
