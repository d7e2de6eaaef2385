/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/chain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "lib/ossl.h"

static void hash_hex(const uint8_t hash[static CHAIN_HASH_SIZE], char ret[static CHAIN_HEX_SIZE]) {
        for (size_t i = 0; i < CHAIN_HASH_SIZE; i++)
                (void) sprintf(ret + 2 * i, "%02x", hash[i]);
}

void chain_hex(const Chain *c, char ret[static CHAIN_HEX_SIZE]) {
        hash_hex(c->hash, ret);
}

int anchor_parse(const char *text, Anchor *ret, Error *e) {
        Anchor a = {};
        int end = 0;

        if (sscanf(text, "%" SCNu64 ":%64[0-9a-fA-F]%n", &a.number, a.hash, &end) != 2 ||
            text[end] || strlen(a.hash) != CHAIN_HEX_SIZE - 1 || a.number == 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'%s' is no NUMBER:HASH, as audit verify prints it", text);
        *ret = a;
        return 0;
}

static int broken(Error *e, uint64_t number, const char *why) {
        return error_set(e, -CSIGN_E_AUDIT_BROKEN, "audit record %" PRIu64 ": %s", number, why);
}

static int hash_entry(const Chain *c, const char *entry, uint8_t ret[static CHAIN_HASH_SIZE]) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) <= 0 ||
            EVP_DigestUpdate(ctx, c->hash, CHAIN_HASH_SIZE) <= 0 ||
            EVP_DigestUpdate(ctx, entry, strlen(entry)) <= 0 ||
            EVP_DigestFinal_ex(ctx, ret, NULL) <= 0)
                return -EIO;
        return 0;
}

/* json_string_value() gives NULL for what is no string. */
static bool is_text(const json_t *v, const char *expected) {
        const char *text = json_string_value(v);

        return text && strcasecmp(text, expected) == 0;
}

static int passes_anchor(const Anchor *a, uint64_t number, const char *hex, Error *e) {
        if (a->number != number || strcasecmp(a->hash, hex) == 0)
                return 0;
        return broken(e, number, "its hash is not the one that was given for it");
}

static int add_record(Chain *c, const json_t *record, Error *e) {
        uint64_t number = (uint64_t) json_integer_value(json_object_get(record, "number"));
        const char *entry = json_string_value(json_object_get(record, "entry"));
        char previous[CHAIN_HEX_SIZE], computed[CHAIN_HEX_SIZE];
        uint8_t hash[CHAIN_HASH_SIZE];
        int r;

        if (number != c->number + 1)
                return broken(e, c->number + 1, "it is missing");
        if (!entry)
                return broken(e, number, "it has no entry");
        r = hash_entry(c, entry, hash);
        if (r < 0)
                return error_set(e, r, "cannot hash with SHA256");

        hash_hex(c->hash, previous);
        hash_hex(hash, computed);
        if (!is_text(json_object_get(record, "previous"), previous))
                return broken(e, number, "it does not follow from the record before it");
        if (!is_text(json_object_get(record, "hash"), computed))
                return broken(e, number, "its content was changed: its hash is another");
        r = passes_anchor(&c->head, number, computed, e);
        if (r >= 0)
                r = passes_anchor(&c->noted, number, computed, e);
        if (r < 0)
                return r;

        if (c->first == 0)
                c->first = number;
        c->number = number;
        memcpy(c->hash, hash, sizeof(hash));
        return 0;
}

int chain_begin(Chain *c, const json_t *record, Error *e) {
        uint64_t number = (uint64_t) json_integer_value(json_object_get(record, "number"));
        const char *previous = json_string_value(json_object_get(record, "previous"));

        if (number <= 1)
                return 0;
        for (size_t i = 0; i < CHAIN_HASH_SIZE; i++) {
                unsigned byte;

                if (!previous || strlen(previous) != CHAIN_HEX_SIZE - 1 ||
                    sscanf(previous + 2 * i, "%2x", &byte) != 1)
                        return broken(e, number, "it does not say what it follows from");
                c->hash[i] = (uint8_t) byte;
        }
        c->number = number - 1;
        return 0;
}

int chain_add(Chain *c, const json_t *records, Error *e) {
        json_t *record;
        size_t i;

        json_array_foreach(records, i, record) {
                int r = add_record(c, record, e);

                if (r < 0)
                        return r;
        }
        return 0;
}

int chain_end(const Chain *c, Error *e) {
        uint64_t last = c->head.number > c->noted.number ? c->head.number : c->noted.number;

        return c->number >= last ? 0 : broken(e, c->number + 1, "the log ends before it");
}
