/* SPDX-License-Identifier: Apache-2.0 */
/* csign audit: what the service recorded, and whether the record is whole.  The chain is computed
 * here, from the records' own bytes: the service's word is not taken for it. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask-service.h"
#include "cli/chain.h"
#include "cli/cli.h"
#include "cli/find.h"
#include "cli/output.h"
#include "lib/http.h"

static const char *arg_key, *arg_request, *arg_anchor, *arg_principal, *arg_tsg, *arg_kind,
        *arg_result, *arg_from, *arg_to;
static uint64_t arg_last, arg_after;
static bool arg_all;

#define LAST_DEFAULT 20

/* ---- pages of records ---- */

static bool is_filtered(void) {
        return arg_key || arg_request || arg_principal || arg_tsg || arg_kind || arg_result ||
               arg_from || arg_to;
}

static int page_path(uint64_t after, Buf *ret) {
        const struct {
                const char *format, *value;
        } filters[] = {
                { "&key=%s", arg_key },
                { "&request_id=%s", arg_request },
                { "&principal=%s", arg_principal },
                { "&tsg=%s", arg_tsg },
                { "&kind=%s", arg_kind },
                { "&result=%s", arg_result },
                { "&from=%s", arg_from },
                { "&to=%s", arg_to },
        };
        char number[24];
        int r;

        (void) snprintf(number, sizeof(number), "%" PRIu64, after);
        r = admin_path(ret, "/v1/audit/records?limit=200&after=%s", number);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(filters); i++)
                if (filters[i].value) {
                        r = buf_append(ret, filters[i].format, strlen(filters[i].format) - 2);
                        if (r >= 0)
                                r = http_escape(ret, filters[i].value);
                }
        return r;
}

/* One page after a record's number; *ret_next is 0 at the end. */
static int audit_page(Admin *a, uint64_t after, json_t **ret, uint64_t *ret_next, Error *e) {
        _cleanup_(buf_done) Buf path = {};
        int r;

        r = page_path(after, &path);
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

/* 1; or 0 when the caller sees only a TSG's part of the log. */
static int audit_head(Admin *a, Anchor *ret, Error *e) {
        _cleanup_(json_decrefp) json_t *head = NULL;
        int r;

        r = admin_call(a, "GET", "/v1/audit/head", NULL, &head, e);
        if (r < 0)
                return r;
        ret->number = (uint64_t) json_integer_value(json_object_get(head, "number"));
        (void) snprintf(ret->hash, sizeof(ret->hash), "%s", json_text_at(head, "hash"));
        return json_is_false(json_object_get(head, "whole")) ? 0 : 1;
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

static int audit_collect(Admin *a, uint64_t after, uint64_t last, json_t *all, Error *e) {
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
                while (last > 0 && json_array_size(all) > last)
                        (void) json_array_remove(all, 0);
        } while (next != 0);
        return 0;
}

/* Filters are by ids; the buffers keep them. */
static int names_to_ids(Admin *a, Buf *key_id, Buf *principal_id, Error *e) {
        int r = 0;

        if (arg_key) {
                r = admin_key_id(a, arg_key, key_id, e);
                arg_key = buf_str(key_id);
        }
        if (r >= 0 && arg_principal) {
                r = find_principal(a, arg_principal, principal_id, e);
                arg_principal = buf_str(principal_id);
        }
        return r;
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
        _cleanup_(buf_done) Buf key_id = {}, principal_id = {};
        uint64_t after = 0, last = arg_last;
        Anchor head = {};
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = names_to_ids(a, &key_id, &principal_id, e);
        if (r >= 0)
                r = audit_head(a, &head, e);
        if (r < 0)
                return r;
        if (last == 0 && !arg_all && !is_filtered())
                last = LAST_DEFAULT;
        /* Who sees all finds the last ones by their numbers. */
        if (r == 1 && last > 0 && !is_filtered() && head.number > last)
                after = head.number - last;
        r = audit_collect(a, after, last, records, e);
        if (r < 0)
                return r;
        output_list(records, columns, ELEMENTSOF(columns), "No record.");
        return 0;
}

static const Option audit_list_options[] = {
        { "last", "N", "the last N (default 20; all that a filter finds)", &arg_last,
          OPTION_NUMBER },
        { "all", NULL, "all records", &arg_all, OPTION_SWITCH },
        { "key", "PATH|ID", "only what was done with this key", &arg_key },
        { "principal", "PATH|ID", "only what this account or user did", &arg_principal },
        { "tsg", "PATH", "only what belongs to this TSG and below", &arg_tsg },
        { "kind", "KIND", "only such records: sign, key.change ...", &arg_kind },
        { "result", "RESULT", "allowed, refused, or an error's name", &arg_result },
        { "from", "TIME", "not before 2026-11-21T10:50:00Z", &arg_from },
        { "to", "TIME", "before that time", &arg_to },
        { "request", "ID", "only this request, req_...", &arg_request },
};

static const Verb verb_audit_list = {
        .name = "audit list",
        .args = "",
        .help = "what was signed, denied and changed",
        .example = "csign audit list --last 50\n"
                   "  csign audit list --key acme/mobile/release --result refused --json",
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

/* ---- of an exported file ---- */

static int file_walk(FILE *f, const char *name, Chain *c, Error *e) {
        char *line = NULL;
        size_t size = 0, n = 0;
        int r = 0;

        while (r >= 0 && getline(&line, &size, f) >= 0) {
                _cleanup_(json_decrefp) json_t *record = json_loads(line, 0, NULL);
                _cleanup_(json_decrefp) json_t *one = json_array();

                n++;
                if (!json_is_object(record) || json_array_append(one, record) < 0)
                        r = error_set(e, -CSIGN_E_BAD_REQUEST,
                                      "%s: line %zu is no record of audit export", name, n);
                else {
                        /* What was exported with --after does not begin with the first. */
                        if (n == 1)
                                r = chain_begin(c, record, e);
                        if (r >= 0)
                                r = chain_add(c, one, e);
                }
        }
        if (r >= 0 && ferror(f))
                r = error_set(e, -EIO, "%s: cannot be read", name);
        free(line);
        return r < 0 ? r : chain_end(c, e);
}

static int verify_file(const char *name, Chain *c, Error *e) {
        FILE *f = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
        int r;

        if (!f)
                return error_set(e, -errno, "%s: %m", name);
        r = file_walk(f, name, c, e);
        if (f != stdin)
                (void) fclose(f);
        return r;
}

static int verify_service(Chain *c, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = audit_head(a, &c->head, e);
        if (r == 0)
                return error_set(e, -CSIGN_E_NOT_PERMITTED,
                                 "you see only a part of the log, and the chain needs all of it: "
                                 "ask an auditor of the top TSG");
        return r < 0 ? r : chain_walk(a, c, e);
}

static int audit_verify(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *result = NULL;
        char hash[CHAIN_HEX_SIZE];
        Chain chain = {};
        int r;

        r = arg_anchor ? anchor_parse(arg_anchor, &chain.noted, e) : 0;
        if (r >= 0)
                r = n > 0 ? verify_file(args[0], &chain, e) : verify_service(&chain, e);
        if (r < 0)
                return r;

        chain_hex(&chain, hash);
        result = json_pack("{s:b, s:I, s:I, s:s}", "good", 1, "first", (json_int_t) chain.first,
                           "number", (json_int_t) chain.number, "hash", hash);
        if (chain.first > 1)
                output_result(result,
                              "Records %" PRIu64 " to %" PRIu64 " are whole, and follow from one "
                              "that the file does not have.",
                              chain.first, chain.number);
        else
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
        .args = "[FILE]",
        .help = "recomputes the log's hash chain",
        .example = "csign audit verify\n  csign audit verify log.ndjson",
        OPTIONS(audit_verify_options),
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = audit_verify,
};

/* ---- export ---- */

/* A line a record, each written before the next page is asked for. */
static int audit_export(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        uint64_t next = arg_after;
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        do {
                _cleanup_(json_decrefp) json_t *page = NULL;
                json_t *record;
                size_t i;

                r = audit_page(a, next, &page, &next, e);
                if (r < 0)
                        return r;
                json_array_foreach(json_object_get(page, "records"), i, record) {
                        if (json_dumpf(record, stdout, JSON_COMPACT) < 0 || putchar('\n') == EOF)
                                return error_set(e, -EIO, "cannot write the record: %m");
                }
                if (fflush(stdout) == EOF)
                        return error_set(e, -errno, "cannot write the records: %m");
        } while (next != 0);
        return 0;
}

static const Option audit_export_options[] = {
        { "after", "NUMBER", "behind this record, where an export ended", &arg_after,
          OPTION_NUMBER },
};

static const Verb verb_audit_export = {
        .name = "audit export",
        .args = "",
        .help = "the records as NDJSON, for audit verify FILE",
        .example = "csign audit export >log.ndjson\n  csign audit export --after 1200 >>log.ndjson",
        OPTIONS(audit_export_options),
        .flags = VERB_ADMIN,
        .run = audit_export,
};

const Verb verb_audit = {
        .name = "audit",
        .args = "list|export|verify",
        .help = "the log of signatures, and its hash chain",
        .verbs = (const Verb *const[]){ &verb_audit_list, &verb_audit_export, &verb_audit_verify,
                                        NULL },
};
