/* SPDX-License-Identifier: Apache-2.0 */
/* csign key: what changes in a key's life, and its end. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/confirm.h"
#include "cli/key.h"
#include "cli/output.h"
#include "lib/key-uri.h"

static const char *arg_description, *arg_not_before, *arg_not_after, *arg_schemes, *arg_hashes,
        *arg_per_hour, *arg_per_day, *arg_expired, *arg_revoked;
static uint64_t arg_days = 30;
static bool arg_yes;

/* ---- words and lists ---- */

json_t *key_time(const char *text) {
        if (strlen(text) == strlen("2027-01-31") && !strchr(text, 'T'))
                return json_sprintf("%sT00:00:00Z", text);
        return json_string(text);
}

json_t *key_names(const char *text) {
        json_t *list = json_array();

        while (*text) {
                size_t n = strcspn(text, ",");

                (void) json_array_append_new(list, json_stringn(text, n));
                text += n + (text[n] == ',');
        }
        return list;
}

/* Takes value, unless the option was not given; "none" stands for null. */
static void set_unless_none(json_t *body, const char *name, const char *text,
                            json_t *(*convert)(const char *text)) {
        if (text)
                (void) json_object_set_new(body, name,
                                           strcmp(text, "none") == 0 ? json_null() : convert(text));
}

/* What is no number is sent as it is: the service has the words for it. */
static json_t *number(const char *text) {
        if (text[strspn(text, "0123456789")] == '\0' && strlen(text) < 10)
                return json_integer(atoll(text));
        return json_string(text);
}

static json_t *allowed(const char *text) {
        if (strcmp(text, "allow") == 0 || strcmp(text, "refuse") == 0)
                return json_boolean(text[0] == 'a');
        return json_string(text);
}

/* ---- changing ---- */

static int patch(const char *name, json_t *body, json_t **ret, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *owned = body;
        _cleanup_(buf_done) Buf path = {};
        int r;

        if (!owned || json_object_size(owned) == 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "there is nothing to change");
        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = key_whole(a, name, "", &path, e);
        if (r < 0)
                return r;
        return admin_call(a, "PATCH", buf_str(&path), owned, ret, e);
}

static int key_change(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *key = NULL;
        json_t *body = json_object();
        int r;

        if (arg_description)
                (void) json_object_set_new(body, "description", json_string(arg_description));
        set_unless_none(body, "not_before", arg_not_before, key_time);
        set_unless_none(body, "not_after", arg_not_after, key_time);
        r = patch(args[0], body, &key, e);
        if (r < 0)
                return r;
        output_result(key, "Key %s is changed; it is %s.", json_text_at(key, "path"),
                      json_text_at(key, "state"));
        return 0;
}

static const Option key_change_options[] = {
        { "description", "TEXT", "what it is for", &arg_description },
        { "not-before", "TIME", "it signs from then on: 2027-01-31, RFC 3339, none",
          &arg_not_before },
        { "not-after", "TIME", "it signs until then", &arg_not_after },
};

const Verb verb_key_change = {
        .name = "key change",
        .args = "PATH|ID",
        .help = "changes its description or its validity",
        .example = "csign key change acme/mobile/release --not-after 2027-12-31",
        OPTIONS(key_change_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_change,
};

static int key_move(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *key = NULL;
        int r;

        r = patch(args[0], json_pack("{s:s}", "path", args[1]), &key, e);
        if (r < 0)
                return r;
        output_result(key, "The key is csign://%s now; references to its id still work.",
                      json_text_at(key, "path"));
        return 0;
}

const Verb verb_key_move = {
        .name = "key move",
        .args = "PATH|ID NEW-PATH",
        .help = "renames it, or moves it to another TSG",
        .example = "csign key move acme/mobile/release acme/release",
        .min_args = 2,
        .max_args = 2,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_move,
};

/* NAME=VALUE sets, NAME- takes away. */
static int read_label(json_t *labels, const char *text, Error *e) {
        const char *equals = strchr(text, '=');
        size_t len = strlen(text);

        if (equals)
                return json_object_setn_new(labels, text, (size_t) (equals - text),
                                            json_string(equals + 1)) < 0
                               ? error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is not UTF-8", text)
                               : 0;
        if (len > 1 && text[len - 1] == '-') {
                (void) json_object_setn_new(labels, text, len - 1, json_null());
                return 0;
        }
        return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is neither NAME=VALUE nor NAME-", text);
}

static int key_label(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *key = NULL, *labels = json_object();
        int r;

        for (size_t i = 1; i < n; i++) {
                r = read_label(labels, args[i], e);
                if (r < 0)
                        return r;
        }
        r = patch(args[0], json_pack("{s:O}", "labels", labels), &key, e);
        if (r < 0)
                return r;
        output_result(key, "Key %s has %zu labels.", json_text_at(key, "path"),
                      json_object_size(json_object_get(key, "labels")));
        return 0;
}

const Verb verb_key_label = {
        .name = "key label",
        .args = "PATH|ID NAME=VALUE|NAME-...",
        .help = "sets labels, and takes them away",
        .example = "csign key label acme/mobile/release stage=production owner-",
        .min_args = 2,
        .max_args = 33,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_label,
};

static int key_policy(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *key = NULL, *policy = json_object();
        int r;

        set_unless_none(policy, "schemes", arg_schemes, key_names);
        set_unless_none(policy, "hashes", arg_hashes, key_names);
        set_unless_none(policy, "signatures_per_hour", arg_per_hour, number);
        set_unless_none(policy, "signatures_per_day", arg_per_day, number);
        set_unless_none(policy, "allow_expired_certificate", arg_expired, allowed);
        set_unless_none(policy, "allow_revoked_certificate", arg_revoked, allowed);
        if (json_object_size(policy) == 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "there is nothing to change");
        r = patch(args[0], json_pack("{s:O}", "policy", policy), &key, e);
        if (r < 0)
                return r;
        output_result(key, "The policy of key %s is changed.", json_text_at(key, "path"));
        return 0;
}

static const Option key_policy_options[] = {
        { "schemes", "NAMES", "that it may sign by, as rsa-pss,rsa-pkcs1; none: all",
          &arg_schemes },
        { "hashes", "NAMES", "that it may sign, as SHA256,SHA384; none: all", &arg_hashes },
        { "per-hour", "N", "signatures in an hour of the clock; none: no limit", &arg_per_hour },
        { "per-day", "N", "signatures in a day (UTC); none: no limit", &arg_per_day },
        { "expired-certificate", "allow|refuse", "to sign when its certificate has expired",
          &arg_expired },
        { "revoked-certificate", "allow|refuse", "to sign when it was revoked", &arg_revoked },
};

const Verb verb_key_policy = {
        .name = "key policy",
        .args = "PATH|ID",
        .help = "changes what it may sign, and how often",
        .example = "csign key policy acme/mobile/release --hashes SHA256 --per-hour 20",
        OPTIONS(key_policy_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_policy,
};

/* ---- the end ---- */

static int ask_to_destroy(const char *path, Error *e) {
        char sentence[PATH_MAX_LEN + 128];

        (void) snprintf(sentence, sizeof(sentence),
                        "Key %s will sign nothing from now on, and be gone for good in %llu days.",
                        path, (unsigned long long) arg_days);
        return confirm(sentence, arg_yes, e);
}

static int key_destroy(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *key = NULL, *body = NULL, *pending = NULL;
        _cleanup_(buf_done) Buf path = {};
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = key_whole(a, args[0], "/destruction", &path, e);
        if (r < 0)
                return r;
        r = admin_key(a, args[0], &key, e);
        if (r >= 0)
                r = ask_to_destroy(json_text_at(key, "path"), e);
        if (r < 0)
                return r;

        body = json_pack("{s:I}", "days", (json_int_t) arg_days);
        r = admin_call(a, "POST", buf_str(&path), body, &pending, e);
        if (r < 0)
                return r;
        output_result(pending,
                      "Key %s will be destroyed at %s.  Until then it can be kept: csign key "
                      "cancel-destruction %s",
                      json_text_at(pending, "path"), json_text_at(pending, "destroy_at"),
                      json_text_at(pending, "path"));
        return 0;
}

static const Option key_destroy_options[] = {
        { "days", "N", "until it is gone (default 30; 7 to 30)", &arg_days, OPTION_NUMBER },
        { "yes", NULL, "do not ask", &arg_yes, OPTION_SWITCH },
};

const Verb verb_key_destroy = {
        .name = "key destroy",
        .args = "PATH|ID",
        .help = "stops it now, and destroys it days later",
        .example = "csign key destroy acme/mobile/old --days 7",
        OPTIONS(key_destroy_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_destroy,
};

static int key_cancel_destruction(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *key = NULL;
        _cleanup_(buf_done) Buf path = {};
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = key_whole(a, args[0], "/destruction", &path, e);
        if (r < 0)
                return r;
        r = admin_call(a, "DELETE", buf_str(&path), NULL, &key, e);
        if (r < 0)
                return r;
        output_result(key, "Key %s is kept, and is disabled: csign key enable %s",
                      json_text_at(key, "path"), json_text_at(key, "path"));
        return 0;
}

const Verb verb_key_cancel_destruction = {
        .name = "key cancel-destruction",
        .args = "PATH|ID",
        .help = "keeps a key that was to be destroyed",
        .example = "csign key cancel-destruction acme/mobile/old",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = key_cancel_destruction,
};
