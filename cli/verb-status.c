/* SPDX-License-Identifier: Apache-2.0 */
/* csign status, csign keys: what the sidecar is, and what it may use. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/ask-sidecar.h"
#include "cli/cli.h"
#include "cli/folders.h"
#include "cli/output.h"

/* For a grant that nobody waits for. */
#define OTHER_USEC ((uint64_t) 3 * 1000 * 1000)

/* ---- status ---- */

static int status_add(const char *name, const char *value, void *userdata) {
        return json_object_set_new(userdata, name, json_string(value)) < 0 ? -ENOMEM : 0;
}

static int status_ask(SidecarClient *c, json_t *status, Error *e) {
        int r;

        r = sidecar_client_status(c, status_add, status, e);
        if (r < 0)
                return r;
        return status_add("address", sidecar_client_address(c), status);
}

/* Installed, and without a sidecar: it is there all the same. */
static void status_unserved(Folder folder, const char *name, const Error *e, json_t *others) {
        char path[PATH_MAX], text[ERROR_TEXT_MAX];
        Error ignored = {};

        if (folder_file(folder, "sidecar.conf", path, &ignored) < 0 || access(path, F_OK) < 0)
                return;
        (void) json_array_append_new(
                others, json_pack("{s:s, s:s}", "grant", name, "last-error", error_text(e, text)));
}

static void status_other(SidecarGrant grant, const char *used, json_t *others) {
        static const struct {
                const char *name;
                Folder folder;
        } rows[] = {
                [SIDECAR_GRANT_USER] = { "user", FOLDER_USER },
                [SIDECAR_GRANT_MACHINE] = { "machine", FOLDER_MACHINE },
        };
        _cleanup_(sidecar_client_freep) SidecarClient *c = NULL;
        _cleanup_(json_decrefp) json_t *status = json_object();
        Error e = {};

        if (sidecar_client_new_grant(&c, grant, OTHER_USEC, &e) < 0 ||
            status_ask(c, status, &e) < 0)
                status_unserved(rows[grant].folder, rows[grant].name, &e, others);
        else if (strcmp(json_text_at(status, "address"), used) != 0)
                (void) json_array_append(others, status);
}

static void status_show(const json_t *status) {
        static const Column fields[] = {
                { "Address", "address" },
                { "Version", "version" },
                { "Grant", "grant" },
                { "Service", "service" },
                { "Account", "account" },
                { "Client id", "client-id" },
                { "Scope", "scope" },
                { "Token expires", "token-expires" },
                { "Token's age (s)", "token-age" },
                { "Clock offset (s)", "clock-offset" },
                { "Credential", "credential" },
                { "Credential expires", "credential-expires" },
                { "Last error", "last-error" },
                { "Calls", "calls" },
                { "Signatures", "signatures" },
        };
        const json_t *other;
        size_t i;

        output_object(status, fields, ELEMENTSOF(fields));
        if (arg_json)
                return;
        json_array_foreach(json_object_get(status, "others"), i, other) {
                output_note("Also there, and not used:");
                output_object(other, fields, ELEMENTSOF(fields));
        }
}

static int status_run(char *args[], size_t n, Error *e) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = NULL;
        _cleanup_(json_decrefp) json_t *status = json_object(), *others = json_array();
        const char *given = getenv("CSIGN_BUS");
        int r;

        r = sidecar_open(&c, e);
        if (r >= 0)
                r = status_ask(c, status, e);
        if (r < 0)
                return r;
        if (!arg_bus && !(given && given[0])) {
                status_other(SIDECAR_GRANT_USER, sidecar_client_address(c), others);
                status_other(SIDECAR_GRANT_MACHINE, sidecar_client_address(c), others);
        }
        if (json_array_size(others) > 0)
                (void) json_object_set(status, "others", others);
        status_show(status);
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
