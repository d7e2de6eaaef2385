/* SPDX-License-Identifier: Apache-2.0 */
/* csign key: signing keys, administered.  Their private halves never leave the key store. */

#include "cli/ask-service.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "lib/key-uri.h"

static const char *arg_algorithm = "P-256", *arg_description, *arg_certificate, *arg_subject;
static uint64_t arg_validity_days;

static const Column key_fields[] = {
        { "Key", "path" },
        { "Id", "id" },
        { "Algorithm", "algorithm" },
        { "Schemes", "schemes" },
        { "State", "state", COLUMN_STATE },
        { "Version", "version" },
        { "Primary version", "primary_version" },
        { "Created", "created" },
        { "Description", "description" },
};

/* ---- create ---- */

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
        r = admin_path(&path, "/v1/keys?prefix=%s", uri.path);
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

static const Verb verb_key_list = {
        .name = "key list",
        .args = "[TSG]",
        .help = "the keys of a TSG and below it",
        .example = "csign key list acme",
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
        .args = "PATH|ID",
        .help = "one key",
        .example = "csign key show acme/mobile/release",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_show,
};

/* ---- enable, disable ---- */

static int key_set_state(const char *name, const char *state, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *changed = NULL;
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:s}", "state", state);
        _cleanup_(buf_done) Buf id = {}, path = {};
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = admin_key_id(a, name, &id, e);
        if (r < 0)
                return r;
        r = admin_path(&path, "/v1/keys/%s", buf_str(&id));
        if (r < 0)
                return r;
        r = admin_call(a, "PATCH", buf_str(&path), body, &changed, e);
        if (r < 0)
                return r;
        output_result(changed, "Key %s is %s.", json_text_at(changed, "path"),
                      json_text_at(changed, "state"));
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
        .args = "PATH|ID",
        .help = "lets it sign again",
        .example = "csign key enable acme/mobile/release",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_enable,
};

static const Verb verb_key_disable = {
        .name = "key disable",
        .args = "PATH|ID",
        .help = "stops every signature by it, at once",
        .example = "csign key disable acme/mobile/release",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_disable,
};

const Verb verb_key = {
        .name = "key",
        .args = "create|list|show|...",
        .help = "signing keys: also enable, disable",
        .verbs = (const Verb *const[]){ &verb_key_create, &verb_key_list, &verb_key_show,
                                        &verb_key_enable, &verb_key_disable, NULL },
};
