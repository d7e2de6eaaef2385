/* SPDX-License-Identifier: Apache-2.0 */
/* csign tsg: the tree of tenant security groups. */

#include <string.h>

#include "cli/ask-service.h"
#include "cli/cli.h"
#include "cli/confirm.h"
#include "cli/output.h"
#include "lib/id.h"

static const char *arg_duties;
static bool arg_yes;

static int tsg_create(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:s}", "path", args[0]), *tsg = NULL;
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = admin_call(a, "POST", "/v1/tsgs", body, &tsg, e);
        if (r < 0)
                return r;
        output_result(tsg, "Created TSG %s (%s).", json_text_at(tsg, "path"),
                      json_text_at(tsg, "id"));
        return 0;
}

static const Verb verb_tsg_create = {
        .name = "tsg create",
        .args = "PATH",
        .help = "makes a TSG below one that is there",
        .example = "csign tsg create acme\n  csign tsg create acme/mobile",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = tsg_create,
};

static int tsg_list(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "TSG", "path" },
                { "ID", "id" },
                { "CREATED", "created" },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *tsgs = NULL;
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = admin_list(a, "/v1/tsgs", "tsgs", &tsgs, e);
        if (r < 0)
                return r;
        output_list(tsgs, columns, ELEMENTSOF(columns), "No TSG.");
        return 0;
}

static const Verb verb_tsg_list = {
        .name = "tsg list",
        .args = "",
        .help = "the TSGs that you reach",
        .example = "csign tsg list",
        .flags = VERB_ADMIN | VERB_JSON,
        .run = tsg_list,
};

/* A TSG by its id or path. */
static int find_tsg(Admin *a, const char *name, json_t **ret, Error *e) {
        _cleanup_(buf_done) Buf path = {};
        int r;

        if (id_is_valid(name, "tsg"))
                r = admin_path(&path, "/v1/tsgs/%s", name);
        else
                r = admin_path(&path, "/v1/tsgs/resolve?path=%s", name);
        return r < 0 ? r : admin_call(a, "GET", buf_str(&path), NULL, ret, e);
}

static int tsg_show(char *args[], size_t n, Error *e) {
        static const Column fields[] = {
                { "TSG", "path" },          { "Id", "id" },
                { "Parent", "parent" },     { "Created", "created" },
                { "Revision", "revision" },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *tsg = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = find_tsg(a, args[0], &tsg, e);
        if (r < 0)
                return r;
        output_object(tsg, fields, ELEMENTSOF(fields));
        return 0;
}

static const Verb verb_tsg_show = {
        .name = "tsg show",
        .args = "PATH|ID",
        .help = "one TSG",
        .example = "csign tsg show acme/mobile",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = tsg_show,
};

static int change(Admin *a, const char *method, const json_t *tsg, const json_t *body, json_t **ret,
                  Error *e) {
        _cleanup_(buf_done) Buf path = {};
        int r;

        r = admin_path(&path, "/v1/tsgs/%s", json_text_at(tsg, "id"));
        return r < 0 ? r : admin_call(a, method, buf_str(&path), body, ret, e);
}

static int tsg_rename(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:s}", "name", args[1]), *tsg = NULL,
                                       *after = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = find_tsg(a, args[0], &tsg, e);
        if (r >= 0)
                r = change(a, "PATCH", tsg, body, &after, e);
        if (r < 0)
                return r;
        output_result(after, "TSG %s is %s now.", json_text_at(tsg, "path"),
                      json_text_at(after, "path"));
        return 0;
}

static const Verb verb_tsg_rename = {
        .name = "tsg rename",
        .args = "PATH|ID NAME",
        .help = "gives a TSG, and so all below it, another path",
        .example = "csign tsg rename acme/mobile apps",
        .min_args = 2,
        .max_args = 2,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = tsg_rename,
};

static int tsg_move(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *tsg = NULL, *parent = NULL, *body = NULL, *after = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = find_tsg(a, args[0], &tsg, e);
        if (r >= 0)
                r = find_tsg(a, args[1], &parent, e);
        if (r < 0)
                return r;
        body = json_pack("{s:s}", "parent", json_text_at(parent, "id"));
        r = change(a, "PATCH", tsg, body, &after, e);
        if (r < 0)
                return r;
        output_result(after, "TSG %s is %s now.", json_text_at(tsg, "path"),
                      json_text_at(after, "path"));
        return 0;
}

static const Verb verb_tsg_move = {
        .name = "tsg move",
        .args = "PATH|ID PARENT",
        .help = "puts a TSG, with all below it, below another",
        .example = "csign tsg move acme/mobile/games acme/web",
        .min_args = 2,
        .max_args = 2,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = tsg_move,
};

static int tsg_delete(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *tsg = NULL, *none = NULL;
        _cleanup_(buf_done) Buf sentence = {};
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = find_tsg(a, args[0], &tsg, e);
        if (r >= 0)
                r = buf_printf(&sentence, "TSG %s will be deleted.", json_text_at(tsg, "path"));
        if (r >= 0)
                r = confirm(buf_str(&sentence), arg_yes, e);
        if (r >= 0)
                r = change(a, "DELETE", tsg, NULL, &none, e);
        if (r < 0)
                return r;
        output_result(tsg, "Deleted TSG %s.", json_text_at(tsg, "path"));
        return 0;
}

static const Option tsg_delete_options[] = {
        { "yes", NULL, "do not ask", &arg_yes, OPTION_SWITCH },
};

static const Verb verb_tsg_delete = {
        .name = "tsg delete",
        .args = "PATH|ID",
        .help = "deletes a TSG to which nothing belongs",
        .example = "csign tsg delete acme/mobile/games",
        OPTIONS(tsg_delete_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = tsg_delete,
};

/* {} when nothing is to change. */
static int read_duties(json_t *body, Error *e) {
        static const struct {
                const char *word;
                bool inherit, on;
        } words[] = { { "on", .on = true }, { "off" }, { "inherit", .inherit = true } };

        for (size_t i = 0; arg_duties && i < ELEMENTSOF(words); i++)
                if (strcmp(arg_duties, words[i].word) == 0)
                        return json_object_set_new(body, "separation_of_duties",
                                                   words[i].inherit ? json_null()
                                                                    : json_boolean(words[i].on));
        return arg_duties ? error_set(e, -CSIGN_E_BAD_REQUEST,
                                      "--separation-of-duties is on, off or inherit")
                          : 0;
}

static const char *duties_word(const json_t *settings) {
        const json_t *v = json_object_get(settings, "separation_of_duties");

        return json_is_true(v) ? "on" : json_is_false(v) ? "off" : "inherited";
}

static void show_settings(json_t *settings, const json_t *tsg) {
        static const Column fields[] = {
                { "TSG", "path" },
                { "Separation of duties", "is" },
                { "In effect", "holds" },
        };

        if (!arg_json) {
                const json_t *effective = json_object_get(settings, "effective");

                (void) json_object_set(settings, "path", json_object_get(tsg, "path"));
                (void) json_object_set_new(settings, "is", json_string(duties_word(settings)));
                (void) json_object_set_new(settings, "holds", json_string(duties_word(effective)));
        }
        output_object(settings, fields, ELEMENTSOF(fields));
}

static int tsg_settings(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *tsg = NULL, *body = json_object(), *settings = NULL;
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(buf_done) Buf path = {};
        int r;

        r = read_duties(body, e);
        if (r >= 0)
                r = admin_open(&a, e);
        if (r >= 0)
                r = find_tsg(a, args[0], &tsg, e);
        if (r >= 0)
                r = admin_path(&path, "/v1/tsgs/%s/settings", json_text_at(tsg, "id"));
        if (r >= 0)
                r = arg_duties ? admin_call(a, "PATCH", buf_str(&path), body, &settings, e)
                               : admin_call(a, "GET", buf_str(&path), NULL, &settings, e);
        if (r < 0)
                return r;
        show_settings(settings, tsg);
        return 0;
}

static const Option tsg_settings_options[] = {
        { "separation-of-duties", "WORD", "on, off, or inherit: as above it", &arg_duties },
};

static const Verb verb_tsg_settings = {
        .name = "tsg settings",
        .args = "PATH|ID",
        .help = "shows or changes whether administrators may sign",
        .example = "csign tsg settings acme/mobile --separation-of-duties off",
        OPTIONS(tsg_settings_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = tsg_settings,
};

const Verb verb_tsg = {
        .name = "tsg",
        .args = "create|list|move...",
        .help = "the tree of tenant security groups",
        .verbs = (const Verb *const[]){ &verb_tsg_create, &verb_tsg_list, &verb_tsg_show,
                                        &verb_tsg_rename, &verb_tsg_move, &verb_tsg_settings,
                                        &verb_tsg_delete, NULL },
};
