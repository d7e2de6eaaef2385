/* SPDX-License-Identifier: Apache-2.0 */
/* csign explain: what became of a request, in words.  Each rule that the service decides by has a
 * row here; a test holds the table to the service's source. */

#include <string.h>

#include "cli/ask-service.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "lib/http.h"
#include "lib/id.h"

/* What a rule says when it refuses, and what would have to change. */
static const struct {
        const char *rule, *why, *change;
} refusals[] = {
        { "account-state", "the account is disabled or past its end",
          "enable it (csign account enable), or make one that lives longer" },
        { "account-network", "the account may not be used from that address",
          "call from a network that is the account's, or add this one to it" },
        { "address-rate", "too many requests come from that address",
          "wait as long as Retry-After says, or spread them; the operators may raise the limit" },
        { "api-key", "the API key is past its end, was taken back, or is not for this",
          "make another API key for the user" },
        { "assertion-algorithm",
          "the assertion is signed by an algorithm that the account's key has not",
          "sign it with the key that was registered" },
        { "assertion-audience", "the assertion is for another service",
          "set the service's address in the sidecar to its issuer" },
        { "assertion-claims", "a claim of the assertion is missing or wrong",
          "correct what makes the assertion" },
        { "assertion-issuer", "the assertion names no account, or another than the request",
          "use the client id (acc_...) in both places" },
        { "assertion-lifetime", "the assertion lives longer than 5 minutes",
          "give it a shorter life" },
        { "assertion-replay", "the assertion was used before",
          "make a new one for each login; if nobody did, find out who sent it first" },
        { "assertion-signature", "the assertion is not signed by that account's key",
          "log in with the key that the account has: csign login" },
        { "assertion-time", "the assertion is not valid yet, or not any more",
          "set the clocks of both machines" },
        { "body-unread", "a body of that size is not even read without a token that is good",
          "log in again, or send less at once" },
        { "certificate-expired", "the key's certificate is past its end",
          "renew it, or let the key's policy allow it" },
        { "certificate-revoked", "the key's certificate was revoked",
          "use another key or certificate: csign key rotate" },
        { "chain-dates", "a certificate of the chain is not valid at these times",
          "give a chain whose certificates are valid" },
        { "chain-key", "the certificate is of another key",
          "give the certificate that was made for this key's request" },
        { "chain-order", "the chain is not in order",
          "put the key's certificate first, and each issuer behind what it issued" },
        { "chain-verify", "the certificates do not verify as a chain",
          "give all certificates up to the root" },
        { "client-key", "the TLS client showed no certificate, and tokens are bound to one",
          "connect with the account's key as the TLS client's" },
        { "credential", "no credential came, or one that the service does not know",
          "log in again (csign login), or give the API key that was handed out" },
        { "enrollment-code", "the code is not known, was used, or is past its end",
          "ask for another code" },
        { "failures", "too many credentials of that address or client id were wrong",
          "wait as long as Retry-After says, and find out who guesses" },
        { "grant", "nobody gives more than he has", "let somebody do it who has that right there" },
        { "grant-type", "a token is asked for by client_credentials alone", "use that grant type" },
        { "hash", "csign does not sign with that hash",
          "use a hash that the key's algorithm and policy allow" },
        { "http", "the request breaks HTTP's rules", "correct the client" },
        { "idempotency-key", "the idempotency key was given for another request before",
          "give each request a key of its own" },
        { "if-match", "what was to be changed was changed meanwhile",
          "read it again, decide anew, and send its ETag as If-Match" },
        { "key-algorithm", "a key of that algorithm cannot sign so",
          "use a scheme of the key's algorithm" },
        { "key-schemes", "the key was not made for that scheme",
          "use a scheme that csign key show names" },
        { "key-state", "the key is disabled, or is to be destroyed",
          "enable the key: csign key enable" },
        { "key-usage", "the key is not for that use", "use a key that was made for it" },
        { "key-validity", "the key is not valid at this time",
          "change its validity: csign key change" },
        { "last-owner", "without this owner the TSG would have none", "make another owner first" },
        { "library", "the service's OpenSSL cannot do that",
          "run the service with a newer OpenSSL, or use another algorithm" },
        { "own-keys", "an account changes only its own keys",
          "ask those who administer the account" },
        { "principal-rate", "the principal asks more often than one may",
          "wait as long as Retry-After says; the operators may raise the limit" },
        { "principal-state", "whoever it is, is disabled or past his end",
          "enable the account or user" },
        { "project", "the key is in a project, and the principal is none of its authorized signers",
          "authorize it there, or use another key" },
        { "project-in-use", "keys are in the project", "take its keys out first" },
        { "role", "no role of the principal permits it",
          "ask an owner of the TSG for a role that does" },
        { "role-in-use", "the role is bound to somebody", "take the bindings back first" },
        { "scheme", "there is no such scheme", "use one of those that csign key show names" },
        { "scope", "it does not exist, or lies outside the principal's TSG and what is below",
          "use an account or user of a TSG that is above it; check the path or id" },
        { "separation-of-duties", "who administers keys may not sign with them",
          "sign with an account, or with a user that administers nothing there" },
        { "team-in-use", "something belongs to the team", "give or take that away first" },
        { "token-binding", "the token belongs to another TLS client key",
          "log in on this machine; if it was not you, the token was stolen: disable the account" },
        { "token-expired", "the token is past its end",
          "log in again; the sidecar does by itself" },
        { "tree-cycle", "a TSG cannot be below itself", "choose a parent that is not below it" },
        { "tree-depth", "the tree would be deeper than 16 TSGs", "choose a place further up" },
        { "tree-empty", "something still belongs to the TSG",
          "move or delete its TSGs, keys, accounts and users first" },
        { "tree-root",
          "the TSG would be below another root TSG, whose authority did not certify its keys",
          "stay below the same root, or make new keys there" },
        { "tree-top", "the top TSG stays as it is", "change a TSG below it" },
        { "usage-rate", "the key has signed as often as its policy allows",
          "wait for the next hour or day, or raise the limit: csign key policy" },
        { "usage-scheme", "the key's policy does not allow that scheme or hash",
          "use an allowed one, or change the policy: csign key policy" },
        { "version-state", "that version of the key is disabled",
          "use the primary version, or enable this one: csign key enable PATH@N" },
        { "whole-message", "the scheme signs whole messages, or the request is not for one",
          "send a message where one is wanted, and a digest elsewhere" },
};

static const struct {
        const char *rule, *why;
} permissions[] = {
        { "assertion", "the account proved that it has its key" },
        { "destruction", "the time for which it could have been kept was over" },
        { "init", "the service was made" },
        { "project", "the principal is an authorized signer of the key's project" },
        { "role", "a role of the principal permits it" },
        { "schedule", "it was due" },
        { "scope", "the key is in the principal's TSG or below it" },
};

static const char *error_advice(const char *name) {
        for (size_t i = 0; error_info_at(i); i++)
                if (strcmp(error_info_at(i)->name, name) == 0)
                        return error_info_at(i)->advice;
        return "";
}

static void explain_refusal(json_t *row, const char *rule, const char *result) {
        for (size_t i = 0; i < ELEMENTSOF(refusals); i++)
                if (strcmp(refusals[i].rule, rule) == 0) {
                        (void) json_object_set_new(row, "why", json_string(refusals[i].why));
                        (void) json_object_set_new(row, "change", json_string(refusals[i].change));
                        return;
                }
        (void) json_object_set_new(row, "change", json_string(error_advice(result)));
}

static void explain_permission(json_t *row, const char *rule) {
        for (size_t i = 0; i < ELEMENTSOF(permissions); i++)
                if (strcmp(permissions[i].rule, rule) == 0)
                        (void) json_object_set_new(row, "why", json_string(permissions[i].why));
}

/* "account acme/mobile/ci (acc_...) from 192.0.2.7" */
static json_t *who(const json_t *entry) {
        const char *name = json_text_at(entry, "principal.name"),
                   *address = json_text_at(entry, "address");

        return json_sprintf("%s %s%s%s%s%s%s", json_text_at(entry, "principal.type"), name,
                            name[0] ? " (" : "", json_text_at(entry, "principal.id"),
                            name[0] ? ")" : "", address[0] ? " from " : "", address);
}

/* "sign with acme/mobile/release (key_...), version 2: ecdsa, SHA256" */
static json_t *what(const json_t *entry) {
        const json_t *key = json_object_get(entry, "key");
        const char *path = json_text_at(entry, "key.path");

        if (!key)
                return json_string(json_text_at(entry, "kind"));
        return json_sprintf("%s with %s%s%s%s, version %d: %s, %s", json_text_at(entry, "kind"),
                            path, path[0] ? " (" : "", json_text_at(entry, "key.id"),
                            path[0] ? ")" : "",
                            (int) json_integer_value(json_object_get(key, "version")),
                            json_text_at(entry, "scheme"), json_text_at(entry, "hash"));
}

/* The pairs of a change: "name apps, name_before mobile". */
static json_t *details(const json_t *entry) {
        _cleanup_(buf_done) Buf text = {};
        const char *name;
        json_t *value;
        int r = 0;

        json_object_foreach(json_object_get(entry, "what"), name, value) {
                if (r >= 0)
                        r = buf_printf(&text, "%s%s %s", text.len > 0 ? ", " : "", name,
                                       json_string_value(value) ?: "");
        }
        return json_string(r < 0 ? "" : buf_str(&text));
}

static json_t *explain(const json_t *record) {
        json_t *entry = json_loads(json_text_at(record, "entry"), 0, NULL), *row;
        const char *result = json_text_at(entry, "result"), *rule = json_text_at(entry, "rule");

        row = json_pack("{s:O, s:s, s:o, s:o, s:o, s:s, s:s, s:s}", "record",
                        json_object_get(record, "number"), "time", json_text_at(entry, "time"),
                        "who", who(entry), "what", what(entry), "details", details(entry),
                        "program", json_text_at(entry, "caller.exe"), "result", result, "rule",
                        rule);
        if (strcmp(result, "allowed") == 0)
                explain_permission(row, rule);
        else
                explain_refusal(row, rule, result);
        (void) json_object_set_new(row, "entry", entry);
        return row;
}

static void print(const json_t *rows) {
        static const Column fields[] = {
                { "Record", "record" },         { "When", "time" },       { "Who asked", "who" },
                { "For what", "what" },         { "Details", "details" }, { "Program", "program" },
                { "Answer", "result" },         { "Rule", "rule" },       { "Because", "why" },
                { "To change that", "change" },
        };
        json_t *row;
        size_t i;

        json_array_foreach(rows, i, row) {
                const char *name;
                json_t *value;
                void *next;

                json_object_foreach_safe(row, next, name, value) {
                        if (json_is_string(value) && !json_string_value(value)[0])
                                (void) json_object_del(row, name);
                }
                output_object(row, fields, ELEMENTSOF(fields));
        }
}

static int explain_run(char *args[], size_t n, Error *e) {
        _cleanup_(json_decrefp) json_t *page = NULL, *rows = json_array();
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(buf_done) Buf path = {};
        json_t *record;
        size_t i;
        int r;

        if (!id_is_valid(args[0], "req"))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'%s' is no request id: it is in the error's line, req_...",
                                 args[0]);
        r = admin_open(&a, e);
        if (r >= 0)
                r = admin_path(&path, "/v1/audit/records?request_id=%s", args[0]);
        if (r >= 0)
                r = admin_call(a, "GET", buf_str(&path), NULL, &page, e);
        if (r < 0)
                return r;
        json_array_foreach(json_object_get(page, "records"), i, record)(void)
                json_array_append_new(rows, explain(record));
        if (json_array_size(rows) == 0)
                return error_set(e, -CSIGN_E_NOT_FOUND,
                                 "the log has no record of %s that you may read: only signatures, "
                                 "changes, logins and refusals have one",
                                 args[0]);
        if (arg_json)
                output_list(rows, NULL, 0, "");
        else
                print(rows);
        return 0;
}

const Verb verb_explain = {
        .name = "explain",
        .args = "REQUEST-ID",
        .help = "who asked for what, and what decided",
        .example = "csign explain req_...",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = explain_run,
};
