/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one item of a request for signatures. */

#include "service/sign-item.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/id.h"

#define SALT_UNSET UINT32_MAX

static const JsonField item_fields[] = {
        { "request_id", json_field_string, offsetof(SignItem, asked_id) },
        { "idempotency_key", json_field_string, offsetof(SignItem, idempotency_key) },
        { "version", json_field_u32, offsetof(SignItem, version) },
        { "scheme", json_field_string, offsetof(SignItem, scheme), JSON_REQUIRED },
        { "hash", json_field_string, offsetof(SignItem, hash), JSON_REQUIRED },
        { "digest", json_field_base64, offsetof(SignItem, digest), JSON_REQUIRED },
        { "salt_length", json_field_u32, offsetof(SignItem, salt_len) },
        { "mgf1_hash", json_field_string, offsetof(SignItem, mgf1_hash) },
        { "caller", json_field_object, offsetof(SignItem, caller) },
        { "key", json_field_string, offsetof(SignItem, key_id),
          JSON_REQUIRED }, /* last: one route has it in its path */
};

/* The sidecar's evidence: words and numbers, copied as they are. */
static int read_caller(SignItem *it) {
        JsonOut o;
        const char *name;
        json_t *v;

        it->caller_text = BUF_MAX(CALLER_MAX);
        o = JSON_OUT(&it->caller_text);
        json_begin_object(&o, NULL);
        json_object_foreach((json_t *) it->caller, name, v) {
                if (json_is_string(v))
                        json_out_str(&o, name, json_string_value(v));
                else if (json_is_integer(v))
                        json_out_i64(&o, name, json_integer_value(v));
                else if (json_is_boolean(v))
                        json_out_bool(&o, name, json_is_true(v));
                else
                        return error_set(&it->e, -CSIGN_E_BAD_REQUEST,
                                         "'caller' holds something that is no string, number or "
                                         "truth value");
        }
        json_end_object(&o);
        if (o.r == -E2BIG)
                return error_set(&it->e, -CSIGN_E_BAD_REQUEST, "'caller' is larger than %d bytes",
                                 CALLER_MAX);
        return o.r;
}

static int read_request(SignItem *it) {
        it->req = (SignRequest){
                .key_id = it->key_id,
                .scheme = scheme_by_name(it->scheme),
                .digest = it->digest.data,
                .digest_len = it->digest.len,
                .request_id = it->request_id,
        };
        if (it->req.scheme == SCHEME_NONE)
                return error_set_rule(
                        &it->e, -CSIGN_E_UNSUPPORTED_SCHEME, "scheme",
                        "'%.32s' is not a scheme: there are rsa-pkcs1, rsa-pss, ecdsa, ed25519, "
                        "ml-dsa-44, ml-dsa-65 and ml-dsa-87",
                        it->scheme);
        it->req.hash = scheme_hash_by_name(it->req.scheme, it->hash);
        if (!it->req.hash)
                return error_set_rule(&it->e, -CSIGN_E_UNSUPPORTED_SCHEME, "hash",
                                      "'%.32s' is not a hash that csign signs with by %s", it->hash,
                                      scheme_name(it->req.scheme));
        if (it->req.hash == &hash_none && !it->is_message)
                return error_set_rule(&it->e, -CSIGN_E_UNSUPPORTED_SCHEME, "whole-message",
                                      "%s signs messages, not digests: POST /v1/keys/{id}/messages",
                                      scheme_name(it->req.scheme));
        if (it->mgf1_hash) {
                it->req.mgf1_hash = hash_alg_by_name(it->mgf1_hash);
                if (!it->req.mgf1_hash)
                        return error_set_rule(&it->e, -CSIGN_E_UNSUPPORTED_SCHEME, "hash",
                                              "'%.32s' is not a hash that csign signs with",
                                              it->mgf1_hash);
        }
        if (it->salt_len != SALT_UNSET)
                it->req.salt_len = it->salt_len;
        else if (it->req.scheme == SCHEME_RSA_PSS)
                it->req.salt_len = (uint32_t) it->req.hash->size;
        return 0;
}

static int read_names(SignItem *it) {
        if (!id_is_valid(it->key_id, "key"))
                return error_set(&it->e, -CSIGN_E_BAD_REQUEST, "'%.64s' is not a key id (key_…)",
                                 it->key_id);
        if (it->asked_id && !id_is_valid(it->asked_id, "req"))
                return error_set(&it->e, -CSIGN_E_BAD_REQUEST,
                                 "'request_id' is not a request id (req_…)");
        return 0;
}

static int read_fields(SignItem *it, const json_t *json, const char *key_id) {
        size_t n = ELEMENTSOF(item_fields) - (key_id ? 1 : 0);
        int r;

        r = json_read(json, item_fields, n, it, &it->e);
        if (r >= 0)
                r = read_names(it);
        if (r >= 0 && it->idempotency_key && !idempotency_key_is_valid(it->idempotency_key))
                r = error_set(&it->e, -CSIGN_E_BAD_REQUEST,
                              "'idempotency_key' is not 1 to %d of a-z A-Z 0-9 - _ . :",
                              IDEMPOTENCY_KEY_MAX);
        if (r >= 0 && it->caller)
                r = read_caller(it);
        return r < 0 ? r : read_request(it);
}

/* An id that has not the form of one is not used, not even to say so. */
static int name_request(SignItem *it) {
        if (it->asked_id && id_is_valid(it->asked_id, "req")) {
                snprintf(it->request_id, sizeof(it->request_id), "%s", it->asked_id);
                return 0;
        }
        return id_new_timed(it->request_id, "req") < 0 ? error_set(&it->e, -EIO, "no random bytes")
                                                       : 0;
}

/* After r of reading. */
static int read_end(SignItem *it, int r) {
        int named;

        if (r < 0 && it->e.code != r)
                error_set(&it->e, r, "%s", strerror(-r));
        /* What was refused as it came is not repeated in the log. */
        if (r == -CSIGN_E_BAD_REQUEST)
                buf_clear(&it->caller_text);

        named = name_request(it);
        return r < 0 ? r : named;
}

int sign_item_read(SignItem *it, const json_t *json, const char *key_id) {
        it->key_id = key_id;
        it->salt_len = SALT_UNSET;
        it->digest = BUF_MAX(4 * DIGEST_MAX);
        return read_end(it, read_fields(it, json, key_id));
}

/* ---- a whole message ---- */

static int read_caller_header(SignItem *it, const Buf *header) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(buf_done) Buf json = BUF_MAX(CALLER_MAX);
        int r;

        if (header->len == 0)
                return 0;
        r = buf_decode_base64(&json, (const char *) header->data, header->len);
        if (r < 0)
                return error_set(&it->e, -CSIGN_E_BAD_REQUEST,
                                 "Csign-Caller is not base64 of at most %d bytes", CALLER_MAX);
        r = json_parse(json.data, json.len, &root, &it->e);
        if (r >= 0)
                r = json_field_object(root, "Csign-Caller", &it->caller, &it->e);
        if (r >= 0)
                r = read_caller(it);
        it->caller = NULL;
        return r;
}

int sign_item_read_message(SignItem *it, const char *key_id, uint32_t version, const char *scheme,
                           const char *request_id, Buf *message, const Buf *caller) {
        int r;

        it->is_message = true;
        it->key_id = key_id;
        it->version = version;
        it->scheme = scheme;
        it->hash = hash_none.name;
        it->asked_id = request_id;
        it->salt_len = SALT_UNSET;
        it->digest = *message;
        *message = (Buf){};

        r = read_names(it);
        if (r >= 0)
                r = read_caller_header(it, caller);
        if (r >= 0 && scheme_own_hash(scheme_by_name(scheme)) != &hash_none)
                r = error_set_rule(&it->e, -CSIGN_E_UNSUPPORTED_SCHEME, "whole-message",
                                   "'%.32s' is not a scheme that signs whole messages", scheme);
        return read_end(it, r < 0 ? r : read_request(it));
}

/* With the caller's evidence: another local user does not get somebody's signature as an answer. */
void sign_item_hash(const SignItem *it, uint8_t ret[static SHA256_SIZE]) {
        const HashAlg *mgf1 = it->req.mgf1_hash;
        char head[160];
        int len;

        len = snprintf(head, sizeof(head), "%s %u %s %s %s %u ", it->key_id, it->version,
                       scheme_name(it->req.scheme), it->req.hash->name, mgf1 ? mgf1->name : "-",
                       it->req.salt_len);
        sha256_2(head, (size_t) len, it->caller_text.data, it->caller_text.len, ret);
        sha256_2(ret, SHA256_SIZE, it->digest.data, it->digest.len, ret);
}

void sign_item_done(SignItem *it) {
        buf_done(&it->digest);
        buf_done(&it->caller_text);
        buf_done(&it->signature);
        key_unref(it->key);
}
