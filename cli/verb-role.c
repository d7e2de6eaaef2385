/* SPDX-License-Identifier: Apache-2.0 */
/* csign role and access: who may administer what, and who can use or administer a key. */

#include <string.h>

#include "cli/ask-service.h"
#include "cli/cli.h"
#include "cli/confirm.h"
#include "cli/find.h"
#include "cli/output.h"
#include "lib/id.h"

static const char *arg_principal;
static bool arg_yes;

/* ---- roles ---- */

/* A built-in role is named by its name. */
static int find_role(Admin *a, const char *name, Buf *ret, Error *e) {
        if (!strchr(name, '/') && !id_is_valid(name, "role"))
                return buf_append_str(ret, name);
        return find_id(a, &kind_role, name, ret, e);
}

/* "keys:write" to {"keys": "write"}. */
static int read_pages(char *args[], size_t n, json_t *pages, Error *e) {
        for (size_t i = 0; i < n; i++) {
                char *colon = strchr(args[i], ':');

                if (!colon)
                        return error_set(e, -CSIGN_E_BAD_REQUEST,
                                         "'%s' is not PAGE:ACCESS, as in keys:write", args[i]);
                *colon = '\0';
                (void) json_object_set_new(pages, args[i], json_string(colon + 1));
        }
        return 0;
}

static int role_create(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *body = NULL, *row = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        body = json_pack("{s:s, s:{}}", "path", args[0], "pages");
        r = read_pages(args + 1, n - 1, json_object_get(body, "pages"), e);
        if (r >= 0)
                r = admin_open(&a, e);
        if (r >= 0)
                r = admin_call(a, "POST", "/v1/roles", body, &row, e);
        if (r < 0)
                return r;
        output_result(row, "Created role %s (%s).", json_text_at(row, "path"),
                      json_text_at(row, "id"));
        return 0;
}

static int role_change(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:{}}", "pages"), *row = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(buf_done) Buf id = {}, path = {};
        int r;

        r = read_pages(args + 1, n - 1, json_object_get(body, "pages"), e);
        if (r >= 0)
                r = admin_open(&a, e);
        if (r >= 0)
                r = find_role(a, args[0], &id, e);
        if (r >= 0)
                r = admin_path(&path, "/v1/roles/%s", buf_str(&id));
        if (r >= 0)
                r = admin_call(a, "PATCH", buf_str(&path), body, &row, e);
        if (r < 0)
                return r;
        output_result(row, "Changed role %s, for all who have it.", json_text_at(row, "path"));
        return 0;
}

static int role_list(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "ROLE", "path" },
                { "ID", "id" },
                { "TSGS", "pages.tsgs" },
                { "KEYS", "pages.keys" },
                { "ACCOUNTS", "pages.accounts" },
                { "PEOPLE", "pages.people" },
                { "PROJECTS", "pages.projects" },
                { "CERTS", "pages.certificates" },
                { "AUDIT", "pages.audit" },
                { "SETTINGS", "pages.settings" },
        };
        _cleanup_(json_decrefp) json_t *rows = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = admin_list(a, "/v1/roles", "roles", &rows, e);
        if (r < 0)
                return r;
        output_list(rows, columns, ELEMENTSOF(columns), "No role.");
        return 0;
}

static int role_delete(char *args[], size_t n, Error *e) {
        _cleanup_(buf_done) Buf sentence = {}, id = {}, path = {};
        _cleanup_(json_decrefp) json_t *none = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        r = buf_printf(&sentence, "role %s will be deleted.", args[0]);
        if (r >= 0)
                r = confirm(buf_str(&sentence), arg_yes, e);
        if (r >= 0)
                r = admin_open(&a, e);
        if (r >= 0)
                r = find_role(a, args[0], &id, e);
        if (r >= 0)
                r = admin_path(&path, "/v1/roles/%s", buf_str(&id));
        if (r >= 0)
                r = admin_call(a, "DELETE", buf_str(&path), NULL, &none, e);
        if (r < 0)
                return r;
        output_result(none, "Deleted role %s.", args[0]);
        return 0;
}

/* ---- who has them ---- */

static int role_grant(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *body = NULL, *row = NULL;
        _cleanup_(buf_done) Buf role = {}, principal = {};
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = find_role(a, args[0], &role, e);
        if (r >= 0)
                r = find_principal(a, args[1], &principal, e);
        if (r < 0)
                return r;
        body = json_pack("{s:s, s:s, s:s}", "role", buf_str(&role), "principal",
                         buf_str(&principal), "tsg", n > 2 ? args[2] : "");
        r = admin_call(a, "POST", "/v1/bindings", body, &row, e);
        if (r < 0)
                return r;
        output_result(row, "%s is %s of %s (%s).", args[1], args[0],
                      n > 2 ? args[2] : "the top TSG", json_text_at(row, "id"));
        return 0;
}

static int role_revoke(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *none = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(buf_done) Buf path = {};
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = admin_path(&path, "/v1/bindings/%s", args[0]);
        if (r >= 0)
                r = admin_call(a, "DELETE", buf_str(&path), NULL, &none, e);
        if (r < 0)
                return r;
        output_result(none, "Revoked %s.", args[0]);
        return 0;
}

static int role_bindings(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "BINDING", "id" },
                { "ROLE", "role" },
                { "PRINCIPAL", "principal" },
                { "TSG", "tsg.path", COLUMN_FULL },
        };
        _cleanup_(json_decrefp) json_t *rows = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(buf_done) Buf id = {}, path = {};
        int r;

        r = admin_open(&a, e);
        if (r >= 0 && arg_principal)
                r = find_principal(a, arg_principal, &id, e);
        if (r >= 0)
                r = arg_principal ? admin_path(&path, "/v1/bindings?principal=%s", buf_str(&id))
                                  : buf_append_str(&path, "/v1/bindings");
        if (r >= 0)
                r = admin_list(a, buf_str(&path), "bindings", &rows, e);
        if (r < 0)
                return r;
        output_list(rows, columns, ELEMENTSOF(columns), "Nobody has a role.");
        return 0;
}

static const Option delete_options[] = {
        { "yes", NULL, "do not ask", &arg_yes, OPTION_SWITCH },
};

static const Option principal_options[] = {
        { "principal", "PATH|ID", "of this user, account or team alone", &arg_principal },
};

#define VERB(verb, words, takes, does, say, min, max, fn, ...)                                     \
        static const Verb verb = { .name = words,                                                  \
                                   .args = takes,                                                  \
                                   .help = does,                                                   \
                                   .example = say,                                                 \
                                   .min_args = min,                                                \
                                   .max_args = max,                                                \
                                   .flags = VERB_ADMIN | VERB_JSON,                                \
                                   .run = fn,                                                      \
                                   __VA_ARGS__ }

VERB(verb_role_create, "role create", "PATH PAGE:ACCESS...", "makes a role for a TSG and below",
     "csign role create acme/certifier keys:view certificates:write\n"
     "  # pages: tsgs keys accounts people projects certificates audit settings\n"
     "  # access: view or write; a page that is not named: none",
     2, 9, role_create);
VERB(verb_role_change, "role change", "PATH|ID PAGE:ACCESS...",
     "gives it other pages, and no others",
     "csign role change acme/certifier keys:view certificates:view", 2, 9, role_change);
VERB(verb_role_list, "role list", "", "the roles that you see, and what they give",
     "csign role list", 0, 0, role_list);
VERB(verb_role_delete, "role delete", "PATH|ID", "deletes a role that nobody has",
     "csign role delete acme/certifier", 1, 1, role_delete, OPTIONS(delete_options));
VERB(verb_role_grant, "role grant", "ROLE PRINCIPAL [TSG]", "gives a role on a TSG and below",
     "csign role grant key-manager acme/alice acme/mobile", 2, 3, role_grant);
VERB(verb_role_revoke, "role revoke", "BINDING", "takes it, at once",
     "csign role revoke bind_aaaaaaaaaaaaaaaaaaaaaaaaaa", 1, 1, role_revoke);
VERB(verb_role_bindings, "role bindings", "[--principal P]", "who has which role where",
     "csign role bindings --principal acme/alice", 0, 0, role_bindings, OPTIONS(principal_options));

const Verb verb_role = {
        .name = "role",
        .args = "grant|revoke|list|...",
        .help = "who may administer what",
        .verbs = (const Verb *const[]){ &verb_role_create, &verb_role_change, &verb_role_list,
                                        &verb_role_delete, &verb_role_grant, &verb_role_revoke,
                                        &verb_role_bindings, NULL },
};

/* ---- access ---- */

/* What the answers' rows say, in words for a table. */
static void put_words(json_t *rows) {
        json_t *row;
        size_t i;

        json_array_foreach(rows, i, row) {
                const json_t *sign = json_object_get(row, "sign");
                bool allowed = json_is_true(json_object_get(sign, "allowed"));

                (void) json_object_set_new(row, "signs", json_string(allowed ? "yes" : "no"));
        }
}

static int access_of_key(Admin *a, const char *key, Error *e) {
        static const Column columns[] = {
                { "PRINCIPAL", "principal.path" },
                { "TYPE", "principal.type" },
                { "SIGNS", "signs" },
                { "BY RULE", "sign.rule" },
                { "ADMINISTERS", "administer" },
                { "WHY NOT", "sign.detail", COLUMN_FULL },
        };
        _cleanup_(json_decrefp) json_t *rows = NULL;
        _cleanup_(buf_done) Buf id = {}, path = {};
        int r;

        r = admin_key_id(a, key, &id, e);
        if (r >= 0)
                r = admin_path(&path, "/v1/keys/%s/access", buf_str(&id));
        if (r >= 0)
                r = admin_list(a, buf_str(&path), "principals", &rows, e);
        if (r < 0)
                return r;
        if (!arg_json)
                put_words(rows);
        output_list(rows, columns, ELEMENTSOF(columns), "Nobody that you see.");
        return 0;
}

static int access_of_principal(Admin *a, Error *e) {
        static const Column columns[] = {
                { "KEY", "path" },
                { "STATE", "state", COLUMN_STATE },
                { "SIGNS", "signs" },
                { "BY RULE", "sign.rule" },
                { "ADMINISTERS", "administer" },
                { "WHY NOT", "sign.detail", COLUMN_FULL },
        };
        _cleanup_(json_decrefp) json_t *rows = NULL;
        _cleanup_(buf_done) Buf id = {}, path = {};
        int r;

        r = find_principal(a, arg_principal, &id, e);
        if (r >= 0)
                r = admin_path(&path, "/v1/principals/%s/access", buf_str(&id));
        if (r >= 0)
                r = admin_list(a, buf_str(&path), "keys", &rows, e);
        if (r < 0)
                return r;
        if (!arg_json)
                put_words(rows);
        output_list(rows, columns, ELEMENTSOF(columns), "No key that you see.");
        return 0;
}

static int access_run(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        if ((n == 1) == (arg_principal != NULL))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "name a KEY or a --principal");
        r = admin_open(&a, e);
        if (r < 0)
                return r;
        return n == 1 ? access_of_key(a, args[0], e) : access_of_principal(a, e);
}

static const Option access_options[] = {
        { "principal", "PATH|ID", "what this user or account can use", &arg_principal },
};

const Verb verb_access = {
        .name = "access",
        .args = "KEY | --principal P",
        .help = "who can use or administer a key, and why",
        .example = "csign access acme/mobile/release\n  csign access --principal acme/alice",
        OPTIONS(access_options),
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = access_run,
};
