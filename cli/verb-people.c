/* SPDX-License-Identifier: Apache-2.0 */
/* csign user, team and project: who there is, who belongs together, and who signs with what. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/ask-service.h"
#include "cli/cli.h"
#include "cli/confirm.h"
#include "cli/find.h"
#include "cli/output.h"
#include "lib/file.h"

static const char *arg_description, *arg_tsg, *arg_purpose, *arg_key_out;
static uint64_t arg_validity_days;
static bool arg_yes;

/* One exchange about what a name means: rest is "" or what follows its id. */
static int call_named(Admin *a, const Kind *kind, const char *name, const char *method,
                      const char *rest, const json_t *body, json_t **ret, Error *e) {
        _cleanup_(buf_done) Buf id = {}, path = {};
        int r;

        r = find_id(a, kind, name, &id, e);
        if (r >= 0)
                r = buf_printf(&path, "%s/%s%s", kind->url, buf_str(&id), rest);
        return r < 0 ? r : admin_call(a, method, buf_str(&path), body, ret, e);
}

/* ---- what all three have ---- */

static int create(const Kind *kind, const char *path, Error *e) {
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:s}", "path", path), *row = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        if (arg_description)
                (void) json_object_set_new(body, "description", json_string(arg_description));
        r = admin_open(&a, e);
        if (r >= 0)
                r = admin_call(a, "POST", kind->url, body, &row, e);
        if (r < 0)
                return r;
        output_result(row, "Created %s %s (%s).", kind->word, json_text_at(row, "path"),
                      json_text_at(row, "id"));
        return 0;
}

static int list(const Kind *kind, const Column columns[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *rows = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = admin_list(a, kind->url, kind->array, &rows, e);
        if (r < 0)
                return r;
        output_list(rows, columns, n, "None.");
        return 0;
}

static int delete (const Kind *kind, const char *name, Error *e) {
        _cleanup_(json_decrefp) json_t *row = NULL, *none = NULL;
        _cleanup_(buf_done) Buf sentence = {};
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = call_named(a, kind, name, "GET", "", NULL, &row, e);
        if (r >= 0)
                r = buf_printf(&sentence, "%s %s will be deleted.", kind->word,
                               json_text_at(row, "path"));
        if (r >= 0)
                r = confirm(buf_str(&sentence), arg_yes, e);
        if (r >= 0)
                r = call_named(a, kind, json_text_at(row, "id"), "DELETE", "", NULL, &none, e);
        if (r < 0)
                return r;
        output_result(row, "Deleted %s %s.", kind->word, json_text_at(row, "path"));
        return 0;
}

static const Option delete_options[] = {
        { "yes", NULL, "do not ask", &arg_yes, OPTION_SWITCH },
};

static const Option describe_options[] = {
        { "description", "TEXT", "what it is for", &arg_description },
};

/* API keys are few, and on one page. */
static int list_parts(Admin *a, const char *path, const char *array, json_t **ret, Error *e) {
        _cleanup_(json_decrefp) json_t *all = NULL;
        int r;

        if (strcmp(array, "api_keys") != 0)
                return admin_list(a, path, array, ret, e);
        r = admin_call(a, "GET", path, NULL, &all, e);
        if (r >= 0)
                *ret = json_incref(json_object_get(all, array));
        return r;
}

/* A row, and what belongs to it: members, signers or API keys. */
static int show(const Kind *kind, const char *name, const char *part, const char *array,
                const Column columns[], size_t n, Error *e) {
        static const Column fields[] = {
                { "Path", "path" },
                { "Id", "id" },
                { "State", "state", COLUMN_STATE },
                { "Description", "description" },
                { "Created", "created" },
        };
        _cleanup_(json_decrefp) json_t *row = NULL, *parts = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(buf_done) Buf path = {};
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = call_named(a, kind, name, "GET", "", NULL, &row, e);
        if (r >= 0)
                r = buf_printf(&path, "%s/%s/%s", kind->url, json_text_at(row, "id"), part);
        if (r >= 0)
                r = list_parts(a, buf_str(&path), array, &parts, e);
        if (r < 0)
                return r;
        if (arg_json)
                (void) json_object_set(row, array, parts);
        output_object(row, fields, ELEMENTSOF(fields));
        if (!arg_json)
                output_list(parts, columns, n, "None.");
        return 0;
}

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

/* ---- user ---- */

static int user_create(char *args[], size_t n, Error *e) {
        return create(&kind_user, args[0], e);
}

static int user_list(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "USER", "path" },
                { "ID", "id" },
                { "STATE", "state", COLUMN_STATE },
                { "CREATED", "created" },
        };

        return list(&kind_user, columns, ELEMENTSOF(columns), e);
}

static int user_show(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "API KEY", "name" }, { "ID", "id" },           { "PURPOSE", "purpose" },
                { "TSG", "tsg" },      { "EXPIRES", "expires" }, { "LAST USED", "last_used" },
        };

        return show(&kind_user, args[0], "api-keys", "api_keys", columns, ELEMENTSOF(columns), e);
}

static int set_state(const char *name, const char *state, Error *e) {
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:s}", "state", state), *row = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = call_named(a, &kind_user, name, "PATCH", "", body, &row, e);
        if (r < 0)
                return r;
        output_result(row, "User %s is %s.", json_text_at(row, "path"), state);
        return 0;
}

static int user_enable(char *args[], size_t n, Error *e) {
        return set_state(args[0], "enabled", e);
}

static int user_disable(char *args[], size_t n, Error *e) {
        return set_state(args[0], "disabled", e);
}

static int user_delete(char *args[], size_t n, Error *e) {
        return delete (&kind_user, args[0], e);
}

static json_t *api_key_body(const char *name) {
        json_t *body = json_pack("{s:s}", "name", name);

        if (arg_tsg)
                (void) json_object_set_new(body, "tsg", json_string(arg_tsg));
        if (arg_purpose)
                (void) json_object_set_new(body, "purpose", json_string(arg_purpose));
        if (arg_validity_days)
                (void) json_object_set_new(body, "validity_days",
                                           json_integer((json_int_t) arg_validity_days));
        return body;
}

/* To a file that nobody else reads.  One that cannot be written is of no use to anybody. */
static int api_key_save(Admin *a, const char *user, json_t *row, Error *e) {
        _cleanup_(json_decrefp) json_t *none = NULL;
        const char *text = json_text_at(row, "api_key");
        _cleanup_(buf_done) Buf rest = {};
        int r;

        r = file_create(arg_key_out, text, strlen(text), 0600, e);
        if (r >= 0) {
                (void) json_object_del(row, "api_key");
                return 0;
        }
        if (buf_printf(&rest, "/api-keys/%s", json_text_at(row, "id")) >= 0)
                (void) call_named(a, &kind_user, user, "DELETE", buf_str(&rest), NULL, &none, NULL);
        return r;
}

static int user_api_key_create(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *body = api_key_body(args[1]), *row = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = call_named(a, &kind_user, args[0], "POST", "/api-keys", body, &row, e);
        if (r >= 0)
                r = api_key_save(a, args[0], row, e);
        if (r < 0)
                return r;
        output_result(row, "Created API key %s (%s), in %s.", json_text_at(row, "name"),
                      json_text_at(row, "id"), arg_key_out);
        return 0;
}

static int user_api_key_revoke(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *none = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(buf_done) Buf rest = {};
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = admin_path(&rest, "/api-keys/%s", args[1]);
        if (r >= 0)
                r = call_named(a, &kind_user, args[0], "DELETE", buf_str(&rest), NULL, &none, e);
        if (r < 0)
                return r;
        output_result(none, "Revoked API key %s.", args[1]);
        return 0;
}

static const Option api_key_options[] = {
        { "key-out", "FILE", "where it goes, mode 0600", &arg_key_out, .required = true },
        { "tsg", "PATH", "it reaches this TSG and below alone", &arg_tsg },
        { "purpose", "WORD", "any (default), sign or administer", &arg_purpose },
        { "validity-days", "N", "until it expires (default: never)", &arg_validity_days,
          OPTION_NUMBER },
};

VERB(verb_user_create, "user create", "PATH", "makes a user", "csign user create acme/alice", 1, 1,
     user_create);
VERB(verb_user_list, "user list", "", "the users that you see", "csign user list", 0, 0, user_list);
VERB(verb_user_show, "user show", "PATH|ID", "one user and its API keys",
     "csign user show acme/alice", 1, 1, user_show);
VERB(verb_user_enable, "user enable", "PATH|ID", "lets its API keys in again",
     "csign user enable acme/alice", 1, 1, user_enable);
VERB(verb_user_disable, "user disable", "PATH|ID", "locks its API keys out, at once",
     "csign user disable acme/alice", 1, 1, user_disable);
VERB(verb_user_delete, "user delete", "PATH|ID", "deletes a user, its API keys and roles",
     "csign user delete acme/alice", 1, 1, user_delete, OPTIONS(delete_options));
VERB(verb_user_api_key_create, "user api-key-create", "PATH|ID NAME --key-out FILE",
     "makes an API key", "csign user api-key-create acme/alice ci --purpose sign --key-out ci.key",
     2, 2, user_api_key_create, OPTIONS(api_key_options));
VERB(verb_user_api_key_revoke, "user api-key-revoke", "PATH|ID KEY", "ends an API key, at once",
     "csign user api-key-revoke acme/alice ak_aaaaaaaaaaaaaaaaaaaaaaaaaa", 2, 2,
     user_api_key_revoke);

const Verb verb_user = {
        .name = "user",
        .args = "create|list|show|...",
        .help = "people who sign or administer; their API keys",
        .verbs =
                (const Verb *const[]){ &verb_user_create, &verb_user_list, &verb_user_show,
                                       &verb_user_enable, &verb_user_disable, &verb_user_delete,
                                       &verb_user_api_key_create, &verb_user_api_key_revoke, NULL },
};

/* ---- team and project ---- */

static int list_groups(const Kind *kind, const char *title, Error *e) {
        const Column columns[] = {
                { title, "path" },
                { "ID", "id" },
                { "DESCRIPTION", "description" },
        };

        return list(kind, columns, ELEMENTSOF(columns), e);
}

static const Column member_columns[] = {
        { "PRINCIPAL", "path" },
        { "ID", "id" },
};

/* Adds to, or takes from, a part of a group: what is named by its field in the body. */
static int change_part(const Kind *kind, char *args[], const char *part, const char *field,
                       bool add, Error *e) {
        _cleanup_(json_decrefp) json_t *body = NULL, *none = NULL;
        _cleanup_(buf_done) Buf id = {}, rest = {};
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = strcmp(field, "account") == 0 ? find_id(a, &kind_account, args[1], &id, e)
                                                  : find_principal(a, args[1], &id, e);
        if (r >= 0)
                r = buf_printf(&rest, "/%s%s%s", part, add ? "" : "/", add ? "" : buf_str(&id));
        if (r < 0)
                return r;
        body = add ? json_pack("{s:s}", field, buf_str(&id)) : NULL;
        r = call_named(a, kind, args[0], add ? "POST" : "DELETE", buf_str(&rest), body, &none, e);
        if (r < 0)
                return r;
        output_result(none, "%s %s %s %s %s.", add ? "Added" : "Removed", args[1],
                      add ? "to" : "from", kind->word, args[0]);
        return 0;
}

static int team_create(char *args[], size_t n, Error *e) {
        return create(&kind_team, args[0], e);
}

static int team_list(char *args[], size_t n, Error *e) {
        return list_groups(&kind_team, "TEAM", e);
}

static int team_show(char *args[], size_t n, Error *e) {
        return show(&kind_team, args[0], "members", "members", member_columns,
                    ELEMENTSOF(member_columns), e);
}

static int team_delete(char *args[], size_t n, Error *e) {
        return delete (&kind_team, args[0], e);
}

static int team_add(char *args[], size_t n, Error *e) {
        return change_part(&kind_team, args, "members", "principal", true, e);
}

static int team_remove(char *args[], size_t n, Error *e) {
        return change_part(&kind_team, args, "members", "principal", false, e);
}

static int team_own(char *args[], size_t n, Error *e) {
        return change_part(&kind_team, args, "accounts", "account", true, e);
}

static int team_disown(char *args[], size_t n, Error *e) {
        return change_part(&kind_team, args, "accounts", "account", false, e);
}

VERB(verb_team_create, "team create", "PATH", "makes a team", "csign team create acme/release", 1,
     1, team_create, OPTIONS(describe_options));
VERB(verb_team_list, "team list", "", "the teams that you see", "csign team list", 0, 0, team_list);
VERB(verb_team_show, "team show", "PATH|ID", "one team and its members",
     "csign team show acme/release", 1, 1, team_show);
VERB(verb_team_delete, "team delete", "PATH|ID", "deletes a team that has nothing",
     "csign team delete acme/release", 1, 1, team_delete, OPTIONS(delete_options));
VERB(verb_team_add, "team add", "TEAM PRINCIPAL", "a user or account becomes a member",
     "csign team add acme/release acme/alice", 2, 2, team_add);
VERB(verb_team_remove, "team remove", "TEAM PRINCIPAL", "ends a membership, at once",
     "csign team remove acme/release acme/alice", 2, 2, team_remove);
VERB(verb_team_own, "team own", "TEAM ACCOUNT", "its members then manage the account",
     "csign team own acme/release acme/mobile/ci", 2, 2, team_own);
VERB(verb_team_disown, "team disown", "TEAM ACCOUNT", "they do no more",
     "csign team disown acme/release acme/mobile/ci", 2, 2, team_disown);

const Verb verb_team = {
        .name = "team",
        .args = "create|list|show|...",
        .help = "users and accounts that belong together",
        .verbs = (const Verb *const[]){ &verb_team_create, &verb_team_list, &verb_team_show,
                                        &verb_team_delete, &verb_team_add, &verb_team_remove,
                                        &verb_team_own, &verb_team_disown, NULL },
};

static int project_create(char *args[], size_t n, Error *e) {
        return create(&kind_project, args[0], e);
}

static int project_list(char *args[], size_t n, Error *e) {
        return list_groups(&kind_project, "PROJECT", e);
}

static int project_show(char *args[], size_t n, Error *e) {
        return show(&kind_project, args[0], "signers", "signers", member_columns,
                    ELEMENTSOF(member_columns), e);
}

static int project_delete(char *args[], size_t n, Error *e) {
        return delete (&kind_project, args[0], e);
}

static int project_add(char *args[], size_t n, Error *e) {
        return change_part(&kind_project, args, "signers", "principal", true, e);
}

static int project_remove(char *args[], size_t n, Error *e) {
        return change_part(&kind_project, args, "signers", "principal", false, e);
}

/* project NULL: into none. */
static int move_key(const char *key, const char *project, Error *e) {
        _cleanup_(json_decrefp) json_t *body = NULL, *row = NULL;
        _cleanup_(buf_done) Buf id = {}, key_id = {}, path = {};
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0 && project)
                r = find_id(a, &kind_project, project, &id, e);
        if (r >= 0)
                r = admin_key_id(a, key, &key_id, e);
        if (r >= 0)
                r = admin_path(&path, "/v1/keys/%s", buf_str(&key_id));
        if (r < 0)
                return r;
        body = json_pack("{s:s?}", "project", project ? buf_str(&id) : NULL);
        r = admin_call(a, "PATCH", buf_str(&path), body, &row, e);
        if (r < 0)
                return r;
        output_result(row, "Key %s is in %s%s now.", json_text_at(row, "path"),
                      project ? "project " : "no project", project ?: "");
        return 0;
}

static int project_take(char *args[], size_t n, Error *e) {
        return move_key(args[1], args[0], e);
}

static int project_release(char *args[], size_t n, Error *e) {
        return move_key(args[0], NULL, e);
}

VERB(verb_project_create, "project create", "PATH", "makes a project",
     "csign project create acme/app", 1, 1, project_create, OPTIONS(describe_options));
VERB(verb_project_list, "project list", "", "the projects that you see", "csign project list", 0, 0,
     project_list);
VERB(verb_project_show, "project show", "PATH|ID", "one project and its signers",
     "csign project show acme/app", 1, 1, project_show);
VERB(verb_project_delete, "project delete", "PATH|ID", "deletes a project without keys",
     "csign project delete acme/app", 1, 1, project_delete, OPTIONS(delete_options));
VERB(verb_project_add, "project add", "PROJECT PRINCIPAL", "a user, account or team may sign",
     "csign project add acme/app acme/mobile/ci", 2, 2, project_add);
VERB(verb_project_remove, "project remove", "PROJECT PRINCIPAL", "it may sign no more, at once",
     "csign project remove acme/app acme/mobile/ci", 2, 2, project_remove);
VERB(verb_project_take, "project take", "PROJECT KEY", "keeps a key for the project's signers",
     "csign project take acme/app acme/mobile/release", 2, 2, project_take);
VERB(verb_project_release, "project release", "KEY", "all whose scope covers the key use it",
     "csign project release acme/mobile/release", 1, 1, project_release);

const Verb verb_project = {
        .name = "project",
        .args = "create|list|show|...",
        .help = "keys that are for their signers alone",
        .verbs = (const Verb *const[]){ &verb_project_create, &verb_project_list,
                                        &verb_project_show, &verb_project_delete, &verb_project_add,
                                        &verb_project_remove, &verb_project_take,
                                        &verb_project_release, NULL },
};
