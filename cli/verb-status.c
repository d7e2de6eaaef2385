/* SPDX-License-Identifier: Apache-2.0 */
/* csign status, csign keys: what the sidecar is, and what it may use. */

#include <errno.h>

#include "cli/ask-sidecar.h"
#include "cli/cli.h"
#include "cli/output.h"

/* ---- status ---- */

static int status_add(const char *name, const char *value, void *userdata) {
        return json_object_set_new(userdata, name, json_string(value)) < 0 ? -ENOMEM : 0;
}

static int status_run(char *args[], size_t n, Error *e) {
        static const Column fields[] = {
                { "Address", "address" },       { "Version", "version" },
                { "Grant", "grant" },           { "Service", "service" },
                { "Account", "account" },       { "Client id", "client-id" },
                { "Scope", "scope" },           { "Token expires", "token-expires" },
                { "Credential", "credential" }, { "Last error", "last-error" },
                { "Calls", "calls" },           { "Signatures", "signatures" },
        };
        _cleanup_(sidecar_client_freep) SidecarClient *c = NULL;
        _cleanup_(json_decrefp) json_t *status = json_object();
        int r;

        r = sidecar_open(&c, e);
        if (r < 0)
                return r;
        r = sidecar_client_status(c, status_add, status, e);
        if (r < 0)
                return r;
        (void) json_object_set_new(status, "address", json_string(sidecar_client_address(c)));
        output_object(status, fields, ELEMENTSOF(fields));
        return 0;
}

const Verb verb_status = {
        .name = "status",
        .args = "",
        .help = "the sidecar: whom it signs for, how it is",
        .example = "csign status",
        .flags = VERB_SIDECAR | VERB_JSON,
        .run = status_run,
};

/* ---- keys ---- */

static int keys_add(const KeyInfo *k, void *userdata) {
        return json_array_append_new(userdata, key_info_json(k)) < 0 ? -ENOMEM : 0;
}

static int keys_run(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "KEY", "uri" },
                { "ALGORITHM", "algorithm" },
                { "VERSION", "version", COLUMN_NUMBER },
                { "STATE", "state", COLUMN_STATE },
        };
        _cleanup_(sidecar_client_freep) SidecarClient *c = NULL;
        _cleanup_(json_decrefp) json_t *keys = json_array();
        KeyUri prefix = {};
        int r;

        if (n > 0) {
                r = key_uri_parse_loose(args[0], &prefix, e);
                if (r < 0)
                        return r;
        }
        r = sidecar_open(&c, e);
        if (r < 0)
                return r;
        r = sidecar_client_list_keys(c, prefix.path, keys_add, keys, e);
        if (r < 0)
                return r;
        output_list(keys, columns, ELEMENTSOF(columns), "No key that you may use.");
        return 0;
}

const Verb verb_keys = {
        .name = "keys",
        .args = "[TSG]",
        .help = "the keys that you may use",
        .example = "csign keys acme/mobile",
        .max_args = 1,
        .flags = VERB_SIDECAR | VERB_JSON,
        .run = keys_run,
};
