/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include <openssl/x509.h>

#include "cli/ask-sidecar.h"
#include "cli/cli.h"

int sidecar_open(SidecarClient **ret, Error *e) {
        return sidecar_client_new(ret, arg_bus, 0, e);
}

int sidecar_key(SidecarClient *c, const char *uri, KeyInfo *ret, Error *e) {
        KeyUri u;
        int r;

        r = key_uri_parse_loose(uri, &u, e);
        if (r < 0)
                return r;
        if (u.listing)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' names a TSG, not a key", uri);
        return sidecar_client_get_key(c, u.path, u.version, ret, e);
}

json_t *key_info_json(const KeyInfo *k) {
        char uri[PATH_MAX_LEN + sizeof("csign://")];

        (void) snprintf(uri, sizeof(uri), "csign://%s", k->path);
        return json_pack("{s:s, s:s, s:s, s:I, s:s, s:s}", "uri", uri, "path", k->path, "id", k->id,
                         "version", (json_int_t) k->version, "algorithm",
                         k->alg ? k->alg->name : "", "state", k->state);
}

int key_info_pkey(const KeyInfo *k, EVP_PKEY **ret, Error *e) {
        const uint8_t *p = k->spki.data;
        EVP_PKEY *pkey;

        pkey = p ? d2i_PUBKEY(NULL, &p, (long) k->spki.len) : NULL;
        if (!pkey || p != k->spki.data + k->spki.len) {
                EVP_PKEY_free(pkey);
                return error_set(e, -CSIGN_E_BAD_ANSWER, "key '%s' has no readable public half",
                                 k->path);
        }
        *ret = pkey;
        return 0;
}
