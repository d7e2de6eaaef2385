/* SPDX-License-Identifier: Apache-2.0 */
/* csign audit: what the service recorded, and whether the record is whole.  The chain is computed
 * here, from the records' own bytes: the service's word is not taken for it. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/ask-service.h"
#include "cli/chain.h"
#include "cli/cli.h"
#include "cli/output.h"

static const char *arg_key, *arg_request, *arg_anchor;
static uint64_t arg_last = 20;
static bool arg_all;

/* ---- pages of records ---- */

/* One page after a record's number; *ret_next is 0 at the end. */
static int audit_page(Admin *a, uint64_t after, json_t **ret, uint64_t *ret_next, Error *e) {
        _cleanup_(buf_done) Buf path = {};
        char number[24];
        int r;

        (void) snprintf(number, sizeof(number), "%" PRIu64, after);
        r = admin_path(&path, "/v1/audit/records?limit=200&after=%s", number);
        if (r >= 0 && arg_key)
                r = admin_path(&path, "&key=%s", arg_key);
        if (r >= 0 && arg_request)
                r = admin_path(&path, "&request_id=%s", arg_request);
        if (r < 0)
                return r;
        r = admin_call(a, "GET", buf_str(&path), NULL, ret, e);
        if (r < 0)
                return r;

        *ret_next = (uint64_t) json_integer_value(json_object_get(*ret, "next"));
        if (*ret_next != 0 && *ret_next <= after)
                return error_set(e, -CSIGN_E_BAD_ANSWER, "the pages of the log go in a circle");
        return 0;
}

static int audit_head(Admin *a, Anchor *ret, Error *e) {
        _cleanup_(json_decrefp) json_t *head = NULL;
        int r;

        r = admin_call(a, "GET", "/v1/audit/head", NULL, &head, e);
        if (r < 0)
                return r;
        ret->number = (uint64_t) json_integer_value(json_object_get(head, "number"));
        (void) snprintf(ret->hash, sizeof(ret->hash), "%s", json_text_at(head, "hash"));
        return 0;
}

/* ---- list ---- */

/* What it was about, for the eye: a key, or what was made or changed. */
static const char *entry_subject(const json_t *entry) {
        static const char *const places[] = { "key.path",  "key.id",     "what.path",
                                              "what.name", "what.route", "what.id" };

        for (size_t i = 0; i < ELEMENTSOF(places); i++)
                if (json_text_at(entry, places[i])[0])
                        return json_text_at(entry, places[i]);
        return "";
}

/* A signature, and some changes, are of one version of a key. */
static json_t *entry_about(const json_t *entry) {
        static const char *const places[] = { "what.version", "what.to_version" };
        const json_t *version = json_object_get(json_object_get(entry, "key"), "version");
        const char *subject = entry_subject(entry);

        if (json_integer_value(version) > 0 && json_text_at(entry, "key.path")[0])
                return json_sprintf("%s@%d", subject, (int) json_integer_value(version));
        for (size_t i = 0; i < ELEMENTSOF(places); i++)
                if (json_text_at(entry, places[i])[0])
                        return json_sprintf("%s@%s", subject, json_text_at(entry, places[i]));
        return json_string(subject);
}

/* Who did it: by name, or what has none by its id. */
static const char *entry_who(const json_t *entry) {
        const char *name = json_text_at(entry, "principal.name");

        return name[0] ? name : json_text_at(entry, "principal.id");
}

/* The record with its entry as an object instead of text. */
static json_t *record_open(const json_t *record) {
        json_t *opened = json_copy((json_t *) record);
        json_t *entry = json_loads(json_text_at(record, "entry"), 0, NULL);

        if (!entry)
                return opened; /* audit verify will have a word to say */
        if (!arg_json) {
                (void) json_object_set_new(entry, "who", json_string(entry_who(entry)));
                (void) json_object_set_new(entry, "subject", entry_about(entry));
                (void) json_object_set_new(entry, "second",
                                           json_stringn(json_text_at(entry, "time"),
                                                        strnlen(json_text_at(entry, "time"), 19)));
        }
        (void) json_object_set_new(opened, "entry", entry);
        return opened;
}

static int audit_collect(Admin *a, uint64_t after, json_t *all, Error *e) {
        uint64_t next = after;

        do {
                _cleanup_(json_decrefp) json_t *page = NULL;
                json_t *record;
                size_t i;
                int r;

                r = audit_page(a, next, &page, &next, e);
                if (r < 0)
                        return r;
                json_array_foreach(json_object_get(page, "records"), i, record)(void)
                        json_array_append_new(all, record_open(record));
        } while (next != 0);
        return 0;
}

static int audit_list(char *args[], size_t n, Error *e) {
        /* clang-format off */
        static const Column columns[] = {
                { "RECORD", "number", COLUMN_NUMBER },
                { "TIME (UTC)", "entry.second" },
                { "WHAT", "entry.kind" },
                { "WHO", "entry.who" },
                { "ABOUT", "entry.subject" },
                { "RESULT", "entry.result", COLUMN_STATE },
                { "RULE", "entry.rule" },
                { "REQUEST", "entry.request_id" },
                { "PROGRAM", "entry.caller.exe" },
        };
        /* clang-format on */
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *records = json_array();
        _cleanup_(buf_done) Buf key_id = {};
        Anchor head = {};
        int r;

        if (arg_key && arg_request)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "give --key or --request, not both");
        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = arg_key ? admin_key_id(a, arg_key, &key_id, e) : 0;
        if (r < 0)
                return r;
        r = audit_head(a, &head, e);
        if (r < 0)
                return r;
        if (arg_key)
                arg_key = buf_str(&key_id);
        /* With a filter all that matches: the last N of the log may hold none. */
        if (arg_all || arg_key || arg_request || head.number < arg_last)
                arg_last = head.number;
        r = audit_collect(a, head.number - arg_last, records, e);
        if (r < 0)
                return r;
        output_list(records, columns, ELEMENTSOF(columns), "No record.");
        return 0;
}

static const Option audit_list_options[] = {
        { "last", "N", "the last N records (default 20)", &arg_last, OPTION_NUMBER },
        { "all", NULL, "all records", &arg_all, OPTION_SWITCH },
        { "key", "PATH|ID", "only what was done with this key", &arg_key },
        { "request", "ID", "only this request, req_...", &arg_request },
};

static const Verb verb_audit_list = {
        .name = "audit list",
        .args = "",
        .help = "what was signed, denied and changed",
        .example = "csign audit list --last 50\n  csign audit list --request req_... --json",
        OPTIONS(audit_list_options),
        .flags = VERB_ADMIN | VERB_JSON,
        .run = audit_list,
};

/* ---- verify ---- */

static int chain_walk(Admin *a, Chain *c, Error *e) {
        uint64_t next = 0;

        do {
                _cleanup_(json_decrefp) json_t *page = NULL;
                int r;

                r = audit_page(a, next, &page, &next, e);
                if (r < 0)
                        return r;
                r = chain_add(c, json_object_get(page, "records"), e);
                if (r < 0)
                        return r;
        } while (next != 0);
        return chain_end(c, e);
}

static int audit_verify(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *result = NULL;
        char hash[CHAIN_HEX_SIZE];
        Chain chain = {};
        int r;

        r = arg_anchor ? anchor_parse(arg_anchor, &chain.noted, e) : 0;
        if (r < 0)
                return r;
        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = audit_head(a, &chain.head, e);
        if (r < 0)
                return r;
        r = chain_walk(a, &chain, e);
        if (r < 0)
                return r;

        chain_hex(&chain, hash);
        result = json_pack("{s:b, s:I, s:s}", "good", 1, "number", (json_int_t) chain.number,
                           "hash", hash);
        output_result(result, "The audit log is whole: %" PRIu64 " records.", chain.number);
        output_note("To hold the service to it later: csign audit verify --anchor %" PRIu64 ":%s",
                    chain.number, hash);
        return 0;
}

static const Option audit_verify_options[] = {
        { "anchor", "NUMBER:HASH", "a point that the log must still pass", &arg_anchor },
};

static const Verb verb_audit_verify = {
        .name = "audit verify",
        .args = "",
        .help = "recomputes the log's hash chain",
        .example = "csign audit verify",
        OPTIONS(audit_verify_options),
        .flags = VERB_ADMIN | VERB_JSON,
        .run = audit_verify,
};

const Verb verb_audit = {
        .name = "audit",
        .args = "list|verify",
        .help = "the log of signatures, and its hash chain",
        .verbs = (const Verb *const[]){ &verb_audit_list, &verb_audit_verify, NULL },
};
