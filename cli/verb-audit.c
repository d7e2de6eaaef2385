/* SPDX-License-Identifier: Apache-2.0 */
/* csign audit: what the service recorded, and whether the record is whole.  The chain is computed
 * here, from the records' own bytes: the service's word is not taken for it. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "cli/ask-service.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "lib/ossl.h"

#define HASH_SIZE 32
#define HASH_HEX  (2 * HASH_SIZE + 1)

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

static int audit_head(Admin *a, uint64_t *ret_number, char hash[static HASH_HEX], Error *e) {
        _cleanup_(json_decrefp) json_t *head = NULL;
        int r;

        r = admin_call(a, "GET", "/v1/audit/head", NULL, &head, e);
        if (r < 0)
                return r;
        *ret_number = (uint64_t) json_integer_value(json_object_get(head, "number"));
        (void) snprintf(hash, HASH_HEX, "%s", json_text_at(head, "hash"));
        return 0;
}

/* ---- list ---- */

/* A record with its entry as an object instead of text. */
static json_t *record_open(const json_t *record) {
        json_t *opened = json_loads(json_text_at(record, "entry"), 0, NULL);

        if (!json_is_object(opened)) {
                json_decref(opened);
                opened = json_object();
        }
        (void) json_object_set(opened, "number", json_object_get(record, "number"));
        (void) json_object_set(opened, "hash", json_object_get(record, "hash"));
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
        static const Column columns[] = {
                { "NUMBER", "number", COLUMN_NUMBER },
                { "TIME", "time" },
                { "WHAT", "kind" },
                { "WHO", "principal.name" },
                { "KEY", "key.path" },
                { "RESULT", "result", COLUMN_STATE },
                { "RULE", "rule" },
                { "PROGRAM", "caller.exe" },
                { "REQUEST", "request_id" },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *records = json_array();
        char hash[HASH_HEX];
        uint64_t head = 0;
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = audit_head(a, &head, hash, e);
        if (r < 0)
                return r;
        /* With a filter all that matches: the last N of the log may hold none. */
        if (arg_all || arg_key || arg_request || head < arg_last)
                arg_last = head;
        r = audit_collect(a, head - arg_last, records, e);
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

typedef struct Chain {
        uint64_t number; /* of the last good record */
        uint8_t hash[HASH_SIZE];
        char why[160]; /* what is wrong with the next one */
} Chain;

static int chain_next(Chain *c, const char *entry, uint8_t ret[static HASH_SIZE]) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) <= 0 ||
            EVP_DigestUpdate(ctx, c->hash, HASH_SIZE) <= 0 ||
            EVP_DigestUpdate(ctx, entry, strlen(entry)) <= 0 ||
            EVP_DigestFinal_ex(ctx, ret, NULL) <= 0)
                return -EIO;
        return 0;
}

static void hash_hex(const uint8_t hash[static HASH_SIZE], char ret[static HASH_HEX]) {
        for (size_t i = 0; i < HASH_SIZE; i++)
                (void) sprintf(ret + 2 * i, "%02x", hash[i]);
}

/* 0: the record continues the chain; 1: it does not, and c->why says why. */
static int chain_record(Chain *c, const json_t *record) {
        uint64_t number = (uint64_t) json_integer_value(json_object_get(record, "number"));
        char previous[HASH_HEX], computed[HASH_HEX];
        uint8_t hash[HASH_SIZE];
        int r;

        hash_hex(c->hash, previous);
        r = chain_next(c, json_text_at(record, "entry"), hash);
        if (r < 0)
                return r;
        hash_hex(hash, computed);

        if (number != c->number + 1)
                (void) snprintf(c->why, sizeof(c->why), "it is missing: the next one is %" PRIu64,
                                number);
        else if (strcmp(json_text_at(record, "previous"), previous) != 0)
                (void) snprintf(c->why, sizeof(c->why),
                                "it does not follow from the record before it");
        else if (strcmp(json_text_at(record, "hash"), computed) != 0)
                (void) snprintf(c->why, sizeof(c->why),
                                "its content was changed: its hash is another");
        if (c->why[0])
                return 1;

        c->number = number;
        memcpy(c->hash, hash, HASH_SIZE);
        return 0;
}

/* A point that the chain has to pass: the head, or what somebody noted earlier. */
typedef struct Anchor {
        uint64_t number;
        char hash[HASH_HEX];
} Anchor;

static int anchor_check(Chain *c, const Anchor *a) {
        char hex[HASH_HEX];

        hash_hex(c->hash, hex);
        if (c->number != a->number || strcasecmp(hex, a->hash) == 0)
                return 0;
        c->number--; /* this one is the bad one */
        (void) snprintf(c->why, sizeof(c->why), "its hash is not %.16s..., as was said of it",
                        a->hash);
        return 1;
}

static int anchor_parse(const char *text, Anchor *ret, Error *e) {
        int end = 0;

        if (!text)
                return 0;
        if (sscanf(text, "%" SCNu64 ":%64[0-9a-fA-F]%n", &ret->number, ret->hash, &end) != 2 ||
            text[end] || strlen(ret->hash) != HASH_HEX - 1)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "--anchor is NUMBER:HASH, as audit verify prints it");
        return 0;
}

static int chain_page(Chain *c, const json_t *records, const Anchor anchors[static 2]) {
        json_t *record;
        size_t i;

        json_array_foreach(records, i, record) {
                int r = chain_record(c, record);

                for (size_t k = 0; k < 2 && r == 0; k++)
                        r = anchor_check(c, &anchors[k]);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* anchors: the head as it was before the first page, and the one that the user gave (number 0:
 * none). */
static int chain_walk(Admin *a, Chain *c, const Anchor anchors[static 2], Error *e) {
        uint64_t next = 0;
        int r;

        do {
                _cleanup_(json_decrefp) json_t *page = NULL;

                r = audit_page(a, next, &page, &next, e);
                if (r >= 0)
                        r = chain_page(c, json_object_get(page, "records"), anchors);
                if (r != 0)
                        return r;
        } while (next != 0);

        for (size_t k = 0; k < 2; k++)
                if (c->number < anchors[k].number) {
                        (void) snprintf(c->why, sizeof(c->why),
                                        "the log ends before it, and had %" PRIu64,
                                        anchors[k].number);
                        return 1;
                }
        return 0;
}

static int audit_verify(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *result = NULL;
        Anchor anchors[2] = {};
        Chain chain = {};
        char head[HASH_HEX];
        int r;

        r = anchor_parse(arg_anchor, &anchors[1], e);
        if (r < 0)
                return r;
        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = audit_head(a, &anchors[0].number, anchors[0].hash, e);
        if (r < 0)
                return r;
        r = chain_walk(a, &chain, anchors, e);
        if (r < 0)
                return r;
        if (r > 0)
                return error_set(e, -CSIGN_E_AUDIT_BROKEN, "audit record %" PRIu64 ": %s",
                                 chain.number + 1, chain.why);

        hash_hex(chain.hash, head);
        result = json_pack("{s:b, s:I, s:s}", "good", 1, "number", (json_int_t) chain.number,
                           "hash", head);
        output_result(result, "The audit log is whole: %" PRIu64 " records.", chain.number);
        output_note("To hold the service to it later: csign audit verify --anchor %" PRIu64 ":%s",
                    chain.number, head);
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
