/* SPDX-License-Identifier: Apache-2.0 */
/* csign key: signing keys, administered.  Their private halves never leave the key store. */

#include <stdio.h>
#include <string.h>

#include "cli/key.h"
#include "cli/output.h"
#include "lib/id.h"
#include "lib/key-uri.h"

static const char *arg_algorithm = "P-256", *arg_description, *arg_certificate, *arg_subject;
static const char *arg_not_before, *arg_not_after, *arg_schemes, *arg_hashes, *arg_label,
        *arg_state;
static uint64_t arg_validity_days;

static const Column key_fields[] = {
        { "Key", "path" },
        { "Id", "id" },
        { "Algorithm", "algorithm" },
        { "Schemes", "schemes" },
        { "State", "state", COLUMN_STATE },
        { "Version", "version" },
        { "Version's state", "version_state", COLUMN_STATE },
        { "Version created", "version_created" },
        { "Primary version", "primary_version" },
        { "Created", "created" },
        { "Valid from", "not_before" },
        { "Valid until", "not_after" },
        { "Destroyed at", "destroy_at" },
        { "Destroyed", "destroyed" },
        { "Description", "description" },
        { "Labels", "labels" },
        { "Hashes", "policy.hashes" },
        { "Signatures an hour", "policy.signatures_per_hour" },
        { "Signatures a day", "policy.signatures_per_day" },
};

/* The N of PATH@N; 0: the key as a whole. */
static int key_version(const char *name, uint32_t *ret, Error *e) {
        KeyUri uri = {};
        int r;

        r = id_is_valid(name, "key") ? 0 : key_uri_parse_loose(name, &uri, e);
        if (r < 0)
                return r;
        *ret = uri.version;
        return 0;
}

static int version_of(const json_t *key) {
        return (int) json_integer_value(json_object_get(key, "version"));
}

static bool is_primary(const json_t *key) {
        return json_equal(json_object_get(key, "version"), json_object_get(key, "primary_version"));
}

/* ---- create ---- */

static void add_life(json_t *body) {
        json_t *policy = json_object();

        if (arg_not_before)
                (void) json_object_set_new(body, "not_before", key_time(arg_not_before));
        if (arg_not_after)
                (void) json_object_set_new(body, "not_after", key_time(arg_not_after));
        if (arg_schemes)
                (void) json_object_set_new(policy, "schemes", key_names(arg_schemes));
        if (arg_hashes)
                (void) json_object_set_new(policy, "hashes", key_names(arg_hashes));
        (void) json_object_set_new(body, "policy", policy);
}

static int key_create(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *body = NULL, *key = NULL;
        char path[PATH_MAX_LEN];
        int r;

        r = path_normalize(args[0], path, e);
        if (r < 0)
                return r;
        body = json_pack("{s:s, s:s, s:s*, s:s*, s:s*}", "path", path, "algorithm", arg_algorithm,
                         "description", arg_description, "certificate", arg_certificate, "subject",
                         arg_subject);
        if (arg_validity_days)
                (void) json_object_set_new(body, "validity_days",
                                           json_integer((json_int_t) arg_validity_days));
        add_life(body);

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = admin_call(a, "POST", "/v1/keys", body, &key, e);
        if (r < 0)
                return r;
        output_result(key, "Created key csign://%s (%s, %s).", json_text_at(key, "path"),
                      json_text_at(key, "algorithm"), json_text_at(key, "id"));
        return 0;
}

static const Option key_create_options[] = {
        { "algorithm", "NAME",
          "P-256 (default) P-384 P-521 RSA-2048 RSA-3072 RSA-4096 Ed25519 "
          "ML-DSA-44 ML-DSA-65 ML-DSA-87",
          &arg_algorithm },
        { "description", "TEXT", "what it is for", &arg_description },
        { "certificate", "WHICH", "builtin (default: from the built-in CA) or none",
          &arg_certificate },
        { "subject", "NAME", "the certificate's common name (default: the path)", &arg_subject },
        { "validity-days", "N", "of the certificate (default 365, at most 460)", &arg_validity_days,
          OPTION_NUMBER },
        { "not-before", "TIME", "the key signs from then on: 2027-01-31 or RFC 3339",
          &arg_not_before },
        { "not-after", "TIME", "the key signs until then", &arg_not_after },
        { "schemes", "NAMES", "that it can sign by, for good: sealed with it", &arg_schemes },
        { "hashes", "NAMES", "that it may sign", &arg_hashes },
};

static const Verb verb_key_create = {
        .name = "key create",
        .args = "PATH",
        .help = "makes a signing key in the key store",
        .example = "csign key create acme/mobile/release --algorithm P-256",
        OPTIONS(key_create_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_create,
};

/* ---- list, show ---- */

static int list_path(Buf *path, const char *prefix) {
        const char *equals = arg_label ? strchr(arg_label, '=') : NULL;
        char label[256];

        if (arg_state)
                return admin_path(path, "/v1/keys?prefix=%s&state=%s", prefix, arg_state);
        if (!arg_label)
                return admin_path(path, "/v1/keys?prefix=%s", prefix);
        snprintf(label, sizeof(label), "%.*s:%s",
                 (int) (equals ? equals - arg_label : (ssize_t) strlen(arg_label)), arg_label,
                 equals ? equals + 1 : "");
        return admin_path(path, "/v1/keys?prefix=%s&label=%s", prefix, label);
}

static int key_list(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "KEY", "path" },
                { "ALGORITHM", "algorithm" },
                { "VERSION", "version", COLUMN_NUMBER },
                { "STATE", "state", COLUMN_STATE },
                { "ID", "id" },
                { "CREATED", "created" },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *keys = NULL;
        _cleanup_(buf_done) Buf path = {};
        KeyUri uri = {};
        int r;

        r = n > 0 ? key_uri_parse_loose(args[0], &uri, e) : 0;
        if (r < 0)
                return r;
        r = list_path(&path, uri.path);
        if (r < 0)
                return r;
        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = admin_list(a, buf_str(&path), "keys", &keys, e);
        if (r < 0)
                return r;
        output_list(keys, columns, ELEMENTSOF(columns), "No key.");
        return 0;
}

static const Option key_list_options[] = {
        { "label", "NAME=VALUE", "only those with the label", &arg_label },
        { "state", "STATE", "enabled disabled expired pending-destruction destroyed", &arg_state },
};

static const Verb verb_key_list = {
        .name = "key list",
        .args = "[TSG]",
        .help = "the keys of a TSG and below it",
        .example = "csign key list acme --label stage=production",
        OPTIONS(key_list_options),
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_list,
};

static int key_show(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *key = NULL;
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = admin_key(a, args[0], &key, e);
        if (r < 0)
                return r;
        output_object(key, key_fields, ELEMENTSOF(key_fields));
        return 0;
}

static const Verb verb_key_show = {
        .name = "key show",
        .args = "PATH[@N]|ID",
        .help = "one key, at its primary version or another",
        .example = "csign key show acme/mobile/release",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_show,
};

/* ---- rotate, versions ---- */

int key_whole(Admin *a, const char *name, const char *more, Buf *path, Error *e) {
        _cleanup_(buf_done) Buf id = {};
        uint32_t version;
        int r;

        r = key_version(name, &version, e);
        if (r < 0)
                return r;
        if (version != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'%s' names one version of a key: leave out the @%u", name,
                                 version);
        r = admin_key_id(a, name, &id, e);
        if (r < 0)
                return r;
        r = admin_path(path, "/v1/keys/%s", buf_str(&id));
        return r < 0 ? r : buf_append_str(path, more);
}

static int key_rotate(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *body = NULL, *key = NULL;
        _cleanup_(buf_done) Buf path = {};
        int r;

        body = json_pack("{s:s*, s:s*}", "certificate", arg_certificate, "subject", arg_subject);
        if (arg_validity_days)
                (void) json_object_set_new(body, "validity_days",
                                           json_integer((json_int_t) arg_validity_days));

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = key_whole(a, args[0], "/versions", &path, e);
        if (r < 0)
                return r;
        r = admin_call(a, "POST", buf_str(&path), body, &key, e);
        if (r < 0)
                return r;
        output_result(key, "Key csign://%s has version %d now; the older ones sign when pinned.",
                      json_text_at(key, "path"), version_of(key));
        return 0;
}

static const Option key_rotate_options[] = {
        { "certificate", "WHICH", "builtin or none (default: as the version before)",
          &arg_certificate },
        { "subject", "NAME", "the certificate's common name (default: as before)", &arg_subject },
        { "validity-days", "N", "of the certificate (default: as before; at most 460)",
          &arg_validity_days, OPTION_NUMBER },
};

static const Verb verb_key_rotate = {
        .name = "key rotate",
        .args = "PATH|ID",
        .help = "makes a new version, and the primary one of it",
        .example = "csign key rotate acme/mobile/release",
        OPTIONS(key_rotate_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_rotate,
};

/* For people: what to pin it by, and whether it is what the path means. */
static void name_version(json_t *v) {
        (void) json_object_set_new(
                v, "uri", json_sprintf("csign://%s@%d", json_text_at(v, "path"), version_of(v)));
        (void) json_object_set_new(v, "primary", json_string(is_primary(v) ? "yes" : ""));
}

static int key_versions(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "VERSION", "version", COLUMN_NUMBER },
                { "STATE", "version_state", COLUMN_STATE },
                { "PRIMARY", "primary" },
                { "CREATED", "version_created" },
                { "URI", "uri" },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *versions = NULL;
        _cleanup_(buf_done) Buf path = {};
        json_t *v;
        size_t i;
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = key_whole(a, args[0], "/versions", &path, e);
        if (r < 0)
                return r;
        r = admin_list(a, buf_str(&path), "versions", &versions, e);
        if (r < 0)
                return r;
        json_array_foreach(versions, i, v) if (!arg_json) name_version(v);
        output_list(versions, columns, ELEMENTSOF(columns), "No version.");
        return 0;
}

static const Verb verb_key_versions = {
        .name = "key versions",
        .args = "PATH|ID",
        .help = "a key's versions, the newest first",
        .example = "csign key versions acme/mobile/release",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_versions,
};

/* ---- enable, disable ---- */

/* The thing that PATH, PATH@N or ID names. */
static int state_path(Admin *a, const char *name, uint32_t version, Buf *ret, Error *e) {
        _cleanup_(buf_done) Buf id = {};
        int r;

        r = admin_key_id(a, name, &id, e);
        if (r < 0)
                return r;
        r = admin_path(ret, "/v1/keys/%s", buf_str(&id));
        return r < 0 || version == 0 ? r : buf_printf(ret, "/versions/%u", version);
}

static void tell_state(const json_t *key, uint32_t version) {
        const char *path = json_text_at(key, "path");

        if (version == 0) {
                output_result(key, "Key %s is %s.", path, json_text_at(key, "state"));
                return;
        }
        output_result(key, "Version %u of key %s is %s%s.", version, path,
                      json_text_at(key, "version_state"),
                      is_primary(key) && strcmp(json_text_at(key, "version_state"), "disabled") == 0
                              ? "; it is the primary one: nothing signs by the key's path alone"
                              : "");
}

static int key_set_state(const char *name, const char *state, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *changed = NULL;
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:s}", "state", state);
        _cleanup_(buf_done) Buf path = {};
        uint32_t version;
        int r;

        r = key_version(name, &version, e);
        if (r < 0)
                return r;
        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = state_path(a, name, version, &path, e);
        if (r < 0)
                return r;
        r = admin_call(a, "PATCH", buf_str(&path), body, &changed, e);
        if (r < 0)
                return r;
        tell_state(changed, version);
        return 0;
}

static int key_enable(char *args[], size_t n, Error *e) {
        return key_set_state(args[0], "enabled", e);
}

static int key_disable(char *args[], size_t n, Error *e) {
        return key_set_state(args[0], "disabled", e);
}

static const Verb verb_key_enable = {
        .name = "key enable",
        .args = "PATH[@N]|ID",
        .help = "lets it, or one version of it, sign again",
        .example = "csign key enable acme/mobile/release",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_enable,
};

static const Verb verb_key_disable = {
        .name = "key disable",
        .args = "PATH[@N]|ID",
        .help = "stops signing by it or one version, at once",
        .example = "csign key disable acme/mobile/release\n"
                   "  csign key disable acme/mobile/release@1",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_disable,
};

const Verb verb_key = {
        .name = "key",
        .args = "create|list|show|...",
        .help = "signing keys, from creation to destruction",
        .verbs = (const Verb *const[]){ &verb_key_create, &verb_key_list, &verb_key_show,
                                        &verb_key_rotate, &verb_key_versions, &verb_key_enable,
                                        &verb_key_disable, &verb_key_change, &verb_key_label,
                                        &verb_key_policy, &verb_key_move, &verb_key_destroy,
                                        &verb_key_cancel_destruction, NULL },
};
