/* SPDX-License-Identifier: Apache-2.0 */
/* csign account: built-in accounts, which sidecars authenticate as.  The key pair is made here; the
 * service learns its public half alone. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/ask-service.h"
#include "cli/cli.h"
#include "cli/confirm.h"
#include "cli/output.h"
#include "cli/pair.h"
#include "cli/verb-account.h"
#include "lib/config.h"
#include "lib/file.h"
#include "lib/id.h"
#include "lib/key-uri.h"
#include "lib/ossl.h"

static const char *arg_algorithm = "P-256", *arg_key_out;
static uint64_t arg_validity_days;

/* ---- create ---- */

static int account_register(const char *path, const char *public_key, json_t **ret, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *body = NULL;
        int r;

        body = json_pack("{s:s, s:s}", "path", path, "public_key", public_key);
        if (arg_validity_days)
                (void) json_object_set_new(body, "validity_days",
                                           json_integer((json_int_t) arg_validity_days));
        r = admin_open(&a, e);
        return r < 0 ? r : admin_call(a, "POST", "/v1/accounts", body, ret, e);
}

static int account_create(char *args[], size_t n, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        _cleanup_(json_decrefp) json_t *account = NULL;
        _cleanup_(buf_done) Buf public_key = {};
        char path[PATH_MAX_LEN];
        int r;

        r = path_normalize(args[0], path, e);
        if (r < 0)
                return r;
        r = pair_generate(arg_algorithm, &pkey, e);
        if (r < 0)
                return r;
        r = pair_public(pkey, &public_key);
        if (r < 0)
                return r;
        /* First the file: an account whose key is lost would be of no use. */
        r = pair_save(pkey, arg_key_out, e);
        if (r < 0)
                return r;
        r = account_register(path, buf_str(&public_key), &account, e);
        if (r < 0) {
                (void) unlink(arg_key_out);
                return r;
        }
        output_result(account, "Created account %s: client id %s, private key in %s.",
                      json_text_at(account, "path"), json_text_at(account, "id"), arg_key_out);
        return 0;
}

static const Option account_create_options[] = {
        { "key-out", "FILE", "where its private key goes, mode 0600", &arg_key_out,
          .required = true },
        { "algorithm", "NAME", "P-256 (default) P-384 RSA-3072 RSA-4096 Ed25519", &arg_algorithm },
        { "validity-days", "N", "until the key must be changed (default 365)", &arg_validity_days,
          OPTION_NUMBER },
};

static const Verb verb_account_create = {
        .name = "account create",
        .args = "PATH --key-out FILE",
        .help = "makes an account and its key",
        .example = "csign account create acme/mobile/ci --key-out ci.key",
        OPTIONS(account_create_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_create,
};

/* ---- list, show ---- */

static int account_list(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "ACCOUNT", "path" },
                { "ID", "id" },
                { "STATE", "state", COLUMN_STATE },
                { "CREATED", "created" },
                { "EXPIRES", "expires" },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *accounts = NULL;
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = admin_list(a, "/v1/accounts", "accounts", &accounts, e);
        if (r < 0)
                return r;
        output_list(accounts, columns, ELEMENTSOF(columns), "No account.");
        return 0;
}

static const Verb verb_account_list = {
        .name = "account list",
        .args = "",
        .help = "the accounts that you reach",
        .example = "csign account list",
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_list,
};

/* The id of an account that is named by its path. */
static int account_find_id(Admin *a, const char *name, Buf *ret, Error *e) {
        _cleanup_(json_decrefp) json_t *accounts = NULL;
        char path[PATH_MAX_LEN];
        json_t *account;
        size_t i;
        int r;

        if (id_is_valid(name, "acc"))
                return buf_append_str(ret, name);
        r = path_normalize(name, path, e);
        if (r < 0)
                return r;
        r = admin_list(a, "/v1/accounts", "accounts", &accounts, e);
        if (r < 0)
                return r;
        json_array_foreach(accounts, i,
                           account) if (strcmp(json_text_at(account, "path"), path) ==
                                        0) return buf_append_str(ret, json_text_at(account, "id"));
        return error_set(e, -CSIGN_E_NOT_FOUND, "no account '%s' that you reach", path);
}

static int account_call(Admin *a, const char *name, const char *method, const json_t *body,
                        json_t **ret, Error *e) {
        _cleanup_(buf_done) Buf id = {}, path = {};
        int r;

        r = account_find_id(a, name, &id, e);
        if (r < 0)
                return r;
        r = admin_path(&path, "/v1/accounts/%s", buf_str(&id));
        return r < 0 ? r : admin_call(a, method, buf_str(&path), body, ret, e);
}

static int account_show(char *args[], size_t n, Error *e) {
        static const Column fields[] = {
                { "Account", "path" },
                { "Client id", "id" },
                { "State", "state", COLUMN_STATE },
                { "Created", "created" },
                { "Expires", "expires" },
                { "Last used", "last_used" },
        };
        static const Column keys[] = {
                { "KEY", "id" },
                { "ALGORITHM", "algorithm" },
                { "THUMBPRINT", "thumbprint" },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *account = NULL;
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = account_call(a, args[0], "GET", NULL, &account, e);
        if (r < 0)
                return r;
        output_object(account, fields, ELEMENTSOF(fields));
        if (!arg_json)
                output_list(json_object_get(account, "keys"), keys, ELEMENTSOF(keys), "No key.");
        return 0;
}

static const Verb verb_account_show = {
        .name = "account show",
        .args = "PATH|ID",
        .help = "one account and its keys",
        .example = "csign account show acme/mobile/ci",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_show,
};

/* ---- enable, disable ---- */

static int account_set_state(const char *name, const char *state, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *account = NULL;
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:s}", "state", state);
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = account_call(a, name, "PATCH", body, &account, e);
        if (r < 0)
                return r;
        output_result(account, "Account %s is %s.", json_text_at(account, "path"),
                      json_text_at(account, "state"));
        return 0;
}

static int account_enable(char *args[], size_t n, Error *e) {
        return account_set_state(args[0], "enabled", e);
}

static int account_disable(char *args[], size_t n, Error *e) {
        return account_set_state(args[0], "disabled", e);
}

static const Verb verb_account_enable = {
        .name = "account enable",
        .args = "PATH|ID",
        .help = "lets it log in again",
        .example = "csign account enable acme/mobile/ci",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_enable,
};

static const Verb verb_account_disable = {
        .name = "account disable",
        .args = "PATH|ID",
        .help = "locks it out, at once",
        .example = "csign account disable acme/mobile/ci",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_disable,
};

/* ---- change ---- */

static const char *arg_networks;

static int add_network(const char *item, void *userdata, Error *e) {
        return json_array_append_new(userdata, json_string(item)) < 0 ? -ENOMEM : 0;
}

/* "any" is no list. */
static int networks_json(const char *list, json_t **ret, Error *e) {
        _cleanup_(json_decrefp) json_t *networks = json_array();
        int r = 0;

        if (strcmp(list, "any") != 0)
                r = config_each(list, add_network, networks, e);
        if (r >= 0)
                *ret = TAKE(networks);
        return r;
}

static int account_change(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *body = json_object(), *account = NULL, *networks = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        int r = 0;

        if (arg_networks)
                r = networks_json(arg_networks, &networks, e);
        if (r < 0)
                return r;
        if (networks)
                (void) json_object_set(body, "networks", networks);
        if (arg_validity_days)
                (void) json_object_set_new(body, "validity_days",
                                           json_integer((json_int_t) arg_validity_days));
        if (json_object_size(body) == 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "nothing to change: give --networks or --validity-days");
        r = admin_open(&a, e);
        if (r >= 0)
                r = account_call(a, args[0], "PATCH", body, &account, e);
        if (r < 0)
                return r;
        output_result(account, "Account %s is changed; it expires on %s.",
                      json_text_at(account, "path"), json_text_at(account, "expires"));
        return 0;
}

static const Option account_change_options[] = {
        { "networks", "LIST", "where it may come from: CIDR, CIDR ..., or any", &arg_networks },
        { "validity-days", "N", "until it expires, from now on", &arg_validity_days,
          OPTION_NUMBER },
};

static const Verb verb_account_change = {
        .name = "account change",
        .args = "PATH|ID",
        .help = "other networks, another validity",
        .example = "csign account change acme/mobile/ci --networks 192.0.2.0/24,2001:db8::/32",
        OPTIONS(account_change_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_change,
};

/* ---- delete ---- */

static bool arg_yes;

static int account_delete(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *account = NULL, *none = NULL;
        char sentence[PATH_MAX_LEN + 80];
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = account_call(a, args[0], "GET", NULL, &account, e);
        if (r < 0)
                return r;
        snprintf(sentence, sizeof(sentence), "Account %s is deleted with its keys, for good.",
                 json_text_at(account, "path"));
        r = confirm(sentence, arg_yes, e);
        if (r >= 0)
                r = account_call(a, json_text_at(account, "id"), "DELETE", NULL, &none, e);
        if (r < 0)
                return r;
        output_result(account, "Deleted account %s.", json_text_at(account, "path"));
        return 0;
}

static const Option account_delete_options[] = {
        { "yes", NULL, "do not ask", &arg_yes, OPTION_SWITCH },
};

static const Verb verb_account_delete = {
        .name = "account delete",
        .args = "PATH|ID",
        .help = "for good, at once; the log keeps its name",
        .example = "csign account delete acme/mobile/ci --yes",
        OPTIONS(account_delete_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_delete,
};

/* ---- keys ---- */

static const char *arg_public_key;

static int account_keys(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "KEY", "id" },          { "ALGORITHM", "algorithm" }, { "CREATED", "created" },
                { "EXPIRES", "expires" }, { "LAST USED", "last_used" },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *account = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = account_call(a, args[0], "GET", NULL, &account, e);
        if (r < 0)
                return r;
        output_list(json_object_get(account, "keys"), columns, ELEMENTSOF(columns), "No key.");
        return 0;
}

static int account_key_call(const char *name, const char *method, const char *key,
                            const json_t *body, json_t **ret, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(buf_done) Buf id = {}, path = {};
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = account_find_id(a, name, &id, e);
        if (r >= 0)
                r = admin_path(&path, "/v1/accounts/%s/keys", buf_str(&id));
        if (r >= 0 && key)
                r = admin_path(&path, "/%s", key);
        return r < 0 ? r : admin_call(a, method, buf_str(&path), body, ret, e);
}

static int account_key_add(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *body = NULL, *key = NULL;
        _cleanup_(buf_done) Buf pem = {};
        int r;

        r = file_read(arg_public_key, FILE_ANY, &pem, e);
        if (r < 0)
                return r;
        body = json_pack("{s:s}", "public_key", buf_str(&pem));
        if (!body)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "%s: holds no public key in PEM",
                                 arg_public_key);
        if (arg_validity_days)
                (void) json_object_set_new(body, "validity_days",
                                           json_integer((json_int_t) arg_validity_days));
        r = account_key_call(args[0], "POST", NULL, body, &key, e);
        if (r < 0)
                return r;
        output_result(key, "Added key %s; it expires on %s.", json_text_at(key, "id"),
                      json_text_at(key, "expires"));
        return 0;
}

static int account_key_remove(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *none = NULL;
        int r;

        r = confirm("What logs in with this key is locked out at once.", arg_yes, e);
        if (r >= 0)
                r = account_key_call(args[0], "DELETE", args[1], NULL, &none, e);
        if (r < 0)
                return r;
        output_result(none, "Removed key %s.", args[1]);
        return 0;
}

static const Option account_key_add_options[] = {
        { "public-key", "FILE", "PEM, BEGIN PUBLIC KEY", &arg_public_key, .required = true },
        { "validity-days", "N", "until it expires (default 365)", &arg_validity_days,
          OPTION_NUMBER },
};

static const Verb verb_account_keys = {
        .name = "account keys",
        .args = "PATH|ID",
        .help = "its keys, and when each was used",
        .example = "csign account keys acme/mobile/ci",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_keys,
};

static const Verb verb_account_key_add = {
        .name = "account key-add",
        .args = "PATH|ID --public-key FILE",
        .help = "another key, beside those it has",
        .example = "csign account key-add acme/mobile/ci --public-key new.pub",
        OPTIONS(account_key_add_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_key_add,
};

static const Verb verb_account_key_remove = {
        .name = "account key-remove",
        .args = "PATH|ID KEY",
        .help = "ends one of its keys, and its tokens",
        .example = "csign account key-remove acme/mobile/ci ack_... --yes",
        OPTIONS(account_delete_options),
        .min_args = 2,
        .max_args = 2,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_key_remove,
};

/* ---- enroll ---- */

static uint64_t arg_expires_in;

/* The account, which is made if there is none at this path. */
static int account_for_code(Admin *a, const char *name, Buf *ret_id, Error *e) {
        _cleanup_(json_decrefp) json_t *account = NULL, *body = NULL;
        char path[PATH_MAX_LEN];
        int r;

        r = account_find_id(a, name, ret_id, e);
        if (r != -CSIGN_E_NOT_FOUND || id_is_valid(name, "acc"))
                return r;
        *e = (Error){};
        r = path_normalize(name, path, e);
        if (r < 0)
                return r;
        body = json_pack("{s:s}", "path", path);
        r = admin_call(a, "POST", "/v1/accounts", body, &account, e);
        return r < 0 ? r : buf_append_str(ret_id, json_text_at(account, "id"));
}

static int account_enroll_code(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *body = json_object(), *enrollment = NULL;
        _cleanup_(buf_done) Buf id = {}, path = {};
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        if (arg_expires_in)
                (void) json_object_set_new(body, "expires_in",
                                           json_integer((json_int_t) arg_expires_in));
        if (arg_validity_days)
                (void) json_object_set_new(body, "validity_days",
                                           json_integer((json_int_t) arg_validity_days));
        r = admin_open(&a, e);
        if (r >= 0)
                r = account_for_code(a, args[0], &id, e);
        if (r >= 0)
                r = admin_path(&path, "/v1/accounts/%s/enrollments", buf_str(&id));
        if (r >= 0)
                r = admin_call(a, "POST", buf_str(&path), body, &enrollment, e);
        if (r < 0)
                return r;
        output_result(enrollment, "%s", json_text_at(enrollment, "code"));
        output_note("Good once, until %s, on the signing machine: csign enroll --code ...",
                    json_text_at(enrollment, "expires"));
        return 0;
}

static const Option account_enroll_options[] = {
        { "expires-in", "SECONDS", "that the code is good for (default 3600)", &arg_expires_in,
          OPTION_NUMBER },
        { "validity-days", "N", "of the key that it brings (default 365)", &arg_validity_days,
          OPTION_NUMBER },
};

static const Verb verb_account_enroll = {
        .name = "account enroll",
        .args = "PATH|ID",
        .help = "a code for csign enroll; makes the account",
        .example = "csign account enroll acme/mobile/ci",
        OPTIONS(account_enroll_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_enroll_code,
};

/* ---- codes that are open ---- */

static int account_code_call(const char *name, const char *method, const char *code, json_t **ret,
                             Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(buf_done) Buf id = {}, path = {};
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = account_find_id(a, name, &id, e);
        if (r >= 0)
                r = admin_path(&path, "/v1/accounts/%s/enrollments", buf_str(&id));
        if (r >= 0 && code)
                r = admin_path(&path, "/%s", code);
        return r < 0 ? r : admin_call(a, method, buf_str(&path), NULL, ret, e);
}

static int account_codes(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "CODE", "id" },
                { "CREATED", "created" },
                { "EXPIRES", "expires" },
        };
        _cleanup_(json_decrefp) json_t *all = NULL;
        int r;

        r = account_code_call(args[0], "GET", NULL, &all, e);
        if (r < 0)
                return r;
        output_list(json_object_get(all, "enrollments"), columns, ELEMENTSOF(columns),
                    "No code is open.");
        return 0;
}

static int account_code_revoke(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *none = NULL;
        int r;

        args[1][strcspn(args[1], ".")] = '\0'; /* the whole code, as it was handed out */
        r = account_code_call(args[0], "DELETE", args[1], &none, e);
        if (r < 0)
                return r;
        output_result(none, "Revoked code %s.", args[1]);
        return 0;
}

static const Verb verb_account_codes = {
        .name = "account codes",
        .args = "PATH|ID",
        .help = "its codes for csign enroll that are open",
        .example = "csign account codes acme/mobile/ci",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_codes,
};

static const Verb verb_account_code_revoke = {
        .name = "account code-revoke",
        .args = "PATH|ID CODE",
        .help = "makes a code worthless, at once",
        .example = "csign account code-revoke acme/mobile/ci enr_...",
        .min_args = 2,
        .max_args = 2,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_code_revoke,
};

const Verb verb_account = {
        .name = "account",
        .args = "enroll|create|list|...",
        .help = "accounts of sidecars: also rotate, disable",
        .verbs = (const Verb *const[]){ &verb_account_enroll, &verb_account_create,
                                        &verb_account_list, &verb_account_show,
                                        &verb_account_change, &verb_account_enable,
                                        &verb_account_disable, &verb_account_delete,
                                        &verb_account_keys, &verb_account_key_add,
                                        &verb_account_key_remove, &verb_account_codes,
                                        &verb_account_code_revoke, &verb_account_rotate, NULL },
};
