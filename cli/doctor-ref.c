/* SPDX-License-Identifier: Apache-2.0 */

/* csign doctor --ref: a reference names one version of one key.  Loading it asks nobody, so that a
 * stale one is found only when something is to be signed. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "cli/ask-sidecar.h"
#include "cli/doctor.h"
#include "cli/files.h"
#include "lib/key-reference.h"
#include "lib/ossl.h"

#define CHECK "reference"
#define ANEW  "write it anew: csign ref URI -o FILE"

static int decode(const char *path, const Buf *file, KeyReference *ret, Error *e) {
        _cleanup_(BIO_free_allp) BIO *in = BIO_new_mem_buf(buf_str(file), (int) file->len);
        char *name = NULL, *header = NULL;
        uint8_t *der = NULL;
        long len = 0;
        int r;

        if (!in || PEM_read_bio(in, &name, &header, &der, &len) != 1)
                r = error_set(e, -CSIGN_E_BAD_REQUEST, "%s is no PEM file", path);
        else if (strcmp(name, KEY_REFERENCE_LABEL) != 0)
                r = error_set(e, -CSIGN_E_BAD_REQUEST, "%s holds a %s, no key reference", path,
                              name);
        else
                r = key_reference_decode_der(der, (size_t) len, ret, e);
        ERR_clear_error();
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, len > 0 ? (size_t) len : 0);
        return r;
}

/* What the sidecar says of it now.  -CSIGN_E_* when it cannot be asked. */
static int ask(Doctor *d, const KeyReference *ref, KeyInfo *key, KeyInfo *primary, Error *e) {
        KeyUri uri;
        int r;

        r = key_uri_parse(ref->uri, &uri, e);
        if (r >= 0)
                r = sidecar_client_get_key(d->sidecar, uri.path, ref->version, key, e);
        return r < 0 ? r : sidecar_client_get_key(d->sidecar, uri.path, 0, primary, e);
}

static void compare(Doctor *d, const char *path, const KeyReference *ref, const KeyInfo *key,
                    const KeyInfo *primary) {
        if (strcmp(key->id, ref->id) != 0 || key->spki.len != ref->spki.len ||
            CRYPTO_memcmp(key->spki.data, ref->spki.data, ref->spki.len) != 0)
                doctor_say(d, RESULT_FAIL, CHECK, ANEW,
                           "%s: %s is another key now than when it was written", path, ref->uri);
        else if (strcmp(key->state, "enabled") != 0)
                doctor_say(d, RESULT_FAIL, CHECK, error_info(CSIGN_E_KEY_DISABLED)->advice,
                           "%s: %s is %s", path, ref->uri, key->state);
        else if (primary->version != key->version)
                doctor_say(d, RESULT_WARN, CHECK, ANEW,
                           "%s names version %" PRIu32 " of %s; new signatures are made with "
                           "version %" PRIu32,
                           path, key->version, key->path, primary->version);
        else
                doctor_say(d, RESULT_OK, CHECK, NULL, "%s is %s", path, ref->uri);
}

void doctor_reference(Doctor *d, const char *path) {
        _cleanup_(key_reference_done) KeyReference ref = {};
        _cleanup_(key_info_done) KeyInfo key = {}, primary = {};
        _cleanup_(buf_done) Buf file = {};
        Error e = {};

        if (file_read(path, FILE_ANY, &file, &e) < 0 || decode(path, &file, &ref, &e) < 0) {
                doctor_say(d, RESULT_FAIL, CHECK, ANEW, "%s", e.detail);
                return;
        }
        if (!d->sidecar)
                return;
        if (ask(d, &ref, &key, &primary, &e) < 0) {
                char text[ERROR_TEXT_MAX];

                doctor_say(d, RESULT_FAIL, CHECK,
                           e.code == -CSIGN_E_KEY_NOT_FOUND ? ANEW : error_info(e.code)->advice,
                           "%s: %s", path, error_text(&e, text));
                return;
        }
        compare(d, path, &ref, &key, &primary);
}
