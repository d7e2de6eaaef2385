/* SPDX-License-Identifier: Apache-2.0 */
/* Encodes and decodes packets.  The decoders meet bytes of another process: they trust nothing, and
 * keep nothing but pointers into the packet. */

#include "service/keystore/protocol.h"

#include <errno.h>
#include <string.h>

#define REPLY_BIT 0x80

enum {
        RESULT_OK = 0,
        RESULT_REFUSED = 1,
};

static int put_header(Buf *b, uint8_t op, uint64_t call) {
        if (buf_put_u8(b, PROTOCOL_VERSION) < 0 || buf_put_u8(b, op) < 0 || buf_put_u16(b, 0) < 0 ||
            buf_put_u64(b, call) < 0)
                return -ENOMEM;
        return 0;
}

/* -- requests -- */

static int put_generate(const Request *req, Buf *b) {
        if (buf_put_str16(b, req->key_id) < 0 || buf_put_u32(b, req->version) < 0 ||
            buf_put_u16(b, req->alg->id) < 0 || buf_put_u32(b, req->schemes) < 0 ||
            buf_put_u8(b, req->usage) < 0)
                return -ENOMEM;
        return 0;
}

static int put_sign(const Request *req, Buf *b) {
        const SignRequest *s = &req->sign;

        if (buf_put_str16(b, req->key_id) < 0 || buf_put_u32(b, req->version) < 0 ||
            buf_put_u8(b, req->usage) < 0 || buf_put_u8(b, (uint8_t) s->scheme) < 0 ||
            buf_put_u16(b, s->hash->id) < 0 ||
            buf_put_u16(b, s->mgf1_hash ? s->mgf1_hash->id : 0) < 0 ||
            buf_put_u32(b, s->salt_len) < 0 || buf_put_bytes16(b, s->digest, s->digest_len) < 0 ||
            buf_put_bytes16(b, req->sealed, req->sealed_len) < 0)
                return -ENOMEM;
        return 0;
}

static int put_sign_message(const Request *req, Buf *b) {
        if (buf_put_str16(b, req->key_id) < 0 || buf_put_u32(b, req->version) < 0 ||
            buf_put_u8(b, req->usage) < 0 || buf_put_u8(b, (uint8_t) req->sign.scheme) < 0 ||
            buf_put_bytes16(b, req->sealed, req->sealed_len) < 0)
                return -ENOMEM;
        return 0;
}

static int put_reseal(const Request *req, Buf *b) {
        if (buf_put_str16(b, req->key_id) < 0 || buf_put_u32(b, req->version) < 0 ||
            buf_put_bytes16(b, req->sealed, req->sealed_len) < 0)
                return -ENOMEM;
        return 0;
}

int request_encode(const Request *req, Buf *b) {
        if (put_header(b, req->op, req->call) < 0)
                return -ENOMEM;

        switch (req->op) {
        case OP_GENERATE:
                return put_generate(req, b);
        case OP_SIGN:
                return put_sign(req, b);
        case OP_SIGN_MESSAGE:
                return put_sign_message(req, b);
        case OP_RESEAL:
                return put_reseal(req, b);
        case OP_FORGET:
                return buf_put_str16(b, req->key_id);
        default:
                return 0;
        }
}

static int check_name(const Request *req, Error *e) {
        if (!id_is_valid(req->key_id, NULL))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "that is no key id");
        if (req->version == 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "a key version is at least 1");
        return 0;
}

static int check_key(const Request *req, Error *e) {
        int r;

        r = check_name(req, e);
        if (r < 0)
                return r;
        if (req->usage != KEY_USAGE_SIGN && req->usage != KEY_USAGE_CA)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "unknown key usage %u", req->usage);
        return 0;
}

static int get_generate(Reader *rd, Request *ret, Error *e) {
        uint16_t alg_id;

        reader_str16(rd, ret->key_id, sizeof(ret->key_id));
        ret->version = reader_u32(rd);
        alg_id = reader_u16(rd);
        ret->schemes = reader_u32(rd);
        ret->usage = reader_u8(rd);
        if (reader_end(rd) < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "malformed request to generate a key");

        ret->alg = key_alg_by_id(alg_id);
        if (!ret->alg)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "unknown key algorithm %u", alg_id);
        if (ret->schemes == 0 || (ret->schemes & ~ret->alg->schemes) != 0)
                return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME,
                                 "%s keys cannot sign with the schemes 0x%x", ret->alg->name,
                                 ret->schemes);

        return check_key(ret, e);
}

/* Names come from numbers here; whether they fit each other and the key is sign_request_check()'s.
 */
static int get_sign_algorithms(SignRequest *s, unsigned scheme, uint16_t hash_id, uint16_t mgf1_id,
                               Error *e) {
        s->scheme = scheme_by_id(scheme);
        if (s->scheme == SCHEME_NONE)
                return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME, "unknown scheme %u", scheme);

        s->hash = scheme_hash_by_id(s->scheme, hash_id);
        if (!s->hash)
                return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME, "unknown hash %u for %s", hash_id,
                                 scheme_name(s->scheme));

        if (mgf1_id == 0)
                return 0;
        s->mgf1_hash = hash_alg_by_id(mgf1_id);
        if (!s->mgf1_hash)
                return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME, "unknown hash %u", mgf1_id);
        return 0;
}

static int get_sign(Reader *rd, Request *ret, Error *e) {
        uint16_t hash_id, mgf1_id;
        uint8_t scheme;
        int r;

        reader_str16(rd, ret->key_id, sizeof(ret->key_id));
        ret->version = reader_u32(rd);
        ret->usage = reader_u8(rd);
        scheme = reader_u8(rd);
        hash_id = reader_u16(rd);
        mgf1_id = reader_u16(rd);
        ret->sign.salt_len = reader_u32(rd);
        ret->sign.digest = reader_bytes16(rd, &ret->sign.digest_len);
        ret->sealed = reader_bytes16(rd, &ret->sealed_len);
        if (reader_end(rd) < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "malformed request to sign");

        ret->sign.key_id = ret->key_id;
        ret->sign.version = ret->version;
        r = get_sign_algorithms(&ret->sign, scheme, hash_id, mgf1_id, e);
        if (r < 0)
                return r;
        if (ret->sign.hash == &hash_none)
                return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME, "%s signs messages, not digests",
                                 scheme_name(ret->sign.scheme));
        return check_key(ret, e);
}

/* The message itself comes into ret->sign when its memory was mapped. */
static int get_sign_message(Reader *rd, Request *ret, Error *e) {
        uint8_t scheme;

        reader_str16(rd, ret->key_id, sizeof(ret->key_id));
        ret->version = reader_u32(rd);
        ret->usage = reader_u8(rd);
        scheme = reader_u8(rd);
        ret->sealed = reader_bytes16(rd, &ret->sealed_len);
        if (reader_end(rd) < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "malformed request to sign a message");

        ret->sign = (SignRequest){
                .key_id = ret->key_id,
                .version = ret->version,
                .scheme = scheme_by_id(scheme),
                .hash = &hash_none,
        };
        if (scheme_own_hash(ret->sign.scheme) != &hash_none)
                return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME,
                                 "scheme %u does not sign whole messages", scheme);
        return check_key(ret, e);
}

static int get_reseal(Reader *rd, Request *ret, Error *e) {
        reader_str16(rd, ret->key_id, sizeof(ret->key_id));
        ret->version = reader_u32(rd);
        ret->sealed = reader_bytes16(rd, &ret->sealed_len);
        if (reader_end(rd) < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "malformed request to seal anew");
        return check_name(ret, e);
}

static int get_forget(Reader *rd, Request *ret, Error *e) {
        reader_str16(rd, ret->key_id, sizeof(ret->key_id));
        if (reader_end(rd) < 0 || !id_is_valid(ret->key_id, NULL))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "malformed request to forget a key");
        return 0;
}

static int get_hello(Reader *rd, Error *e) {
        if (reader_end(rd) < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "malformed greeting");
        return 0;
}

int request_decode(const void *packet, size_t len, Request *ret, Error *e) {
        Reader rd = READER(packet, len);
        uint8_t protocol, op;
        uint16_t reserved;
        uint64_t call;

        protocol = reader_u8(&rd);
        op = reader_u8(&rd);
        reserved = reader_u16(&rd);
        call = reader_u64(&rd);
        if (rd.failed)
                return error_set(e, -EBADMSG, "a packet of %zu bytes has no header", len);

        *ret = (Request){ .op = op, .call = call };
        if (protocol != PROTOCOL_VERSION)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "protocol %u is not spoken here, but %d is", protocol,
                                 PROTOCOL_VERSION);
        if (reserved != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "reserved bytes are not zero");

        switch (op) {
        case OP_HELLO:
                return get_hello(&rd, e);
        case OP_GENERATE:
                return get_generate(&rd, ret, e);
        case OP_SIGN:
                return get_sign(&rd, ret, e);
        case OP_SIGN_MESSAGE:
                return get_sign_message(&rd, ret, e);
        case OP_RESEAL:
                return get_reseal(&rd, ret, e);
        case OP_FORGET:
                return get_forget(&rd, ret, e);
        default:
                return error_set(e, -CSIGN_E_BAD_REQUEST, "unknown operation %u", op);
        }
}

/* -- replies -- */

static int put_refusal(const Reply *reply, Buf *b) {
        char text[ERROR_TEXT_MAX];

        if (buf_put_u16(b, RESULT_REFUSED) < 0 ||
            buf_put_str16(b, error_info(reply->r)->name) < 0 ||
            buf_put_str16(b, error_text(&reply->error, text)) < 0)
                return -ENOMEM;
        return 0;
}

static int put_status(const KeystoreStatus *s, Buf *b) {
        if (buf_put_str16(b, s->version) < 0 || buf_put_u8(b, s->memory_locked) < 0 ||
            buf_put_str16(b, s->openssl) < 0 || buf_put_u64(b, s->signatures) < 0 ||
            buf_put_u64(b, s->keys_generated) < 0 || buf_put_u64(b, s->keys_opened) < 0 ||
            buf_put_u64(b, s->contexts_made) < 0 || buf_put_u8(b, (uint8_t) s->n_keks) < 0 ||
            buf_append(b, s->keks, s->n_keks * sizeof(s->keks[0])) < 0)
                return -ENOMEM;
        return 0;
}

static int put_result(const Reply *reply, Buf *b) {
        switch (reply->op) {
        case OP_HELLO:
                return put_status(&reply->status, b);
        case OP_GENERATE:
                if (buf_put_bytes16(b, reply->spki, reply->spki_len) < 0)
                        return -ENOMEM;
                return buf_put_bytes16(b, reply->sealed, reply->sealed_len);
        case OP_SIGN:
        case OP_SIGN_MESSAGE:
                return buf_put_bytes16(b, reply->sig, reply->sig_len);
        case OP_RESEAL:
                return buf_put_bytes16(b, reply->sealed, reply->sealed_len);
        case OP_FORGET:
                return 0;
        default:
                return -EINVAL;
        }
}

int reply_encode(const Reply *reply, Buf *b) {
        if (put_header(b, reply->op | REPLY_BIT, reply->call) < 0)
                return -ENOMEM;
        if (reply->r < 0)
                return put_refusal(reply, b);
        if (buf_put_u16(b, RESULT_OK) < 0)
                return -ENOMEM;
        return put_result(reply, b);
}

static int get_refusal(Reader *rd, Reply *ret) {
        char name[64], text[ERROR_TEXT_MAX];

        reader_str16(rd, name, sizeof(name));
        reader_str16(rd, text, sizeof(text));
        if (reader_end(rd) < 0)
                return -EBADMSG;

        ret->r = error_from_name(name);
        error_from_text(&ret->error, ret->r, text);
        return 0;
}

static void get_status(Reader *rd, KeystoreStatus *ret) {
        const uint8_t *keks;

        reader_str16(rd, ret->version, sizeof(ret->version));
        ret->memory_locked = reader_u8(rd);
        reader_str16(rd, ret->openssl, sizeof(ret->openssl));
        ret->signatures = reader_u64(rd);
        ret->keys_generated = reader_u64(rd);
        ret->keys_opened = reader_u64(rd);
        ret->contexts_made = reader_u64(rd);
        ret->n_keks = reader_u8(rd);
        if (ret->n_keks > KEKS_MAX) {
                rd->failed = true;
                return;
        }
        keks = reader_bytes(rd, ret->n_keks * sizeof(ret->keks[0]));
        if (keks)
                memcpy(ret->keks, keks, ret->n_keks * sizeof(ret->keks[0]));
}

static int get_result(Reader *rd, Reply *ret) {
        switch (ret->op) {
        case OP_HELLO:
                get_status(rd, &ret->status);
                break;
        case OP_GENERATE:
                ret->spki = reader_bytes16(rd, &ret->spki_len);
                ret->sealed = reader_bytes16(rd, &ret->sealed_len);
                break;
        case OP_SIGN:
        case OP_SIGN_MESSAGE:
                ret->sig = reader_bytes16(rd, &ret->sig_len);
                break;
        case OP_RESEAL:
                ret->sealed = reader_bytes16(rd, &ret->sealed_len);
                break;
        case OP_FORGET:
                break;
        default:
                return -EBADMSG;
        }
        return reader_end(rd);
}

int reply_decode(const void *packet, size_t len, Reply *ret) {
        Reader rd = READER(packet, len);
        uint8_t protocol, op;
        uint16_t reserved, result;

        *ret = (Reply){};
        protocol = reader_u8(&rd);
        op = reader_u8(&rd);
        reserved = reader_u16(&rd);
        ret->call = reader_u64(&rd);
        result = reader_u16(&rd);
        if (rd.failed || protocol != PROTOCOL_VERSION || !(op & REPLY_BIT) || reserved != 0)
                return -EBADMSG;

        ret->op = op & (uint8_t) ~REPLY_BIT;
        if (result == RESULT_REFUSED)
                return get_refusal(&rd, ret);
        if (result != RESULT_OK)
                return -EBADMSG;
        return get_result(&rd, ret);
}
