/* SPDX-License-Identifier: Apache-2.0 */

/* What Sign() and SignMessage() are told, read and checked. */

#include "sidecar/sign-args.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/sha.h>

#include "sidecar/clock.h"

static int read_public_key_hash(sd_bus_message *m, SignJob *job, Error *e) {
        const void *data;
        size_t len;
        int r;

        r = sd_bus_message_enter_container(m, 'v', "ay");
        if (r >= 0)
                r = sd_bus_message_read_array(m, 'y', &data, &len);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "option public-key-sha256 is not of type ay");
        if (len != SPKI_HASH_SIZE)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "option public-key-sha256 has %zu bytes, not %d", len,
                                 SPKI_HASH_SIZE);
        memcpy(job->spki_hash, data, len);
        job->req.spki_hash = job->spki_hash;
        return 0;
}

static int read_salt_length(sd_bus_message *m, SignJob *job, Error *e) {
        if (sd_bus_message_read(m, "v", "u", &job->req.salt_len) < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "option salt-length is not of type u");
        return 0;
}

static int read_mgf1_hash(sd_bus_message *m, SignJob *job, Error *e) {
        const char *name;

        if (sd_bus_message_read(m, "v", "s", &name) < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "option mgf1-hash is not of type s");
        job->req.mgf1_hash = hash_alg_by_name(name);
        if (!job->req.mgf1_hash)
                return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME,
                                 "MGF1 hash '%.32s' is not one of csign's", name);
        return 0;
}

static int read_idempotency_key(sd_bus_message *m, SignJob *job, Error *e) {
        const char *key;

        if (sd_bus_message_read(m, "v", "s", &key) < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "option idempotency-key is not of type s");
        if (!id_is_valid(key, "op"))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "option idempotency-key is not of the form op_…");
        snprintf(job->idempotency_key, sizeof(job->idempotency_key), "%s", key);
        return 0;
}

/* A caller who is less patient than we are: after that nobody waits. */
static int read_timeout(sd_bus_message *m, SignJob *job, Error *e) {
        uint64_t deadline;
        uint32_t msec;

        if (sd_bus_message_read(m, "v", "u", &msec) < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "option timeout is not of type u");
        if (msec == 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "option timeout is 0 milliseconds");
        deadline = now_usec() + (uint64_t) msec * 1000;
        if (deadline < job->deadline)
                job->deadline = deadline;
        return 0;
}

static const struct {
        const char *name;
        int (*read)(sd_bus_message *m, SignJob *job, Error *e);
} options[] = {
        { "public-key-sha256", read_public_key_hash },
        { "salt-length", read_salt_length },
        { "mgf1-hash", read_mgf1_hash },
        { "idempotency-key", read_idempotency_key },
        { "timeout", read_timeout },
};

/* Callers that name no operation get one all the same: the way to the service can lose answers
 * too. */
static int name_operation(SignJob *job, Error *e) {
        job->req.idempotency_key = job->idempotency_key;
        if (job->idempotency_key[0] || id_new_timed(job->idempotency_key, "op") >= 0)
                return 0;
        return error_set(e, -EIO, "no random bytes");
}

static int read_option(sd_bus_message *m, SignJob *job, Error *e) {
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return error_set(e, r, "cannot read an option's name");
        for (size_t i = 0; i < ELEMENTSOF(options); i++)
                if (strcmp(options[i].name, name) == 0)
                        return options[i].read(m, job, e);
        return error_set(e, -CSIGN_E_BAD_REQUEST, "unknown option '%.64s'", name);
}

int sign_args_options(sd_bus_message *m, SignJob *job, Error *e) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                int q = read_option(m, job, e);

                if (q < 0)
                        return q;
                r = sd_bus_message_exit_container(m);
        }
        return r < 0 ? error_set(e, r, "cannot read the options") : name_operation(job, e);
}

int sign_args_names(SignJob *job, const char *key_id, const char *scheme, const char *hash,
                    Error *e) {
        if (!id_is_valid(key_id, "key"))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%.48s' is not a key's id", key_id);
        if (job->req.version == 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "a signature needs the key's version, from 1");
        job->req.scheme = scheme_by_name(scheme);
        if (job->req.scheme == SCHEME_NONE)
                return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME,
                                 "scheme '%.32s' is not one of csign's", scheme);
        job->req.hash = scheme_hash_by_name(job->req.scheme, hash);
        if (!job->req.hash)
                return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME,
                                 "hash '%.32s' is not one of csign's for %s", hash, scheme);
        snprintf(job->key_id, sizeof(job->key_id), "%s", key_id);
        job->req.key_id = job->key_id;
        return 0;
}

int sign_args_admit(const BusCall *call, const SignJob *job, Error *e) {
        const Key *k = job->key;
        int r;

        r = access_check_sign(call->setup->access, call->caller, k->path, job->req.scheme, e);
        if (r < 0)
                return r;
        if (job->req.spki_hash && memcmp(job->spki_hash, k->spki_hash, SPKI_HASH_SIZE) != 0)
                return error_set(
                        e, -CSIGN_E_KEY_CHANGED,
                        "%s version %u has another public key than the one that was loaded",
                        k->path, k->version);
        return sign_request_check(&job->req, k->alg, e);
}

void sign_args_prepare(BusCall *call, SignJob *job) {
        job->setup = call->setup;
        job->since = call->since;
        job->deadline = call->deadline;
        job->gone = &call->peer->gone;
        memcpy(job->request_id, call->request_id, sizeof(job->request_id));
        job->req.request_id = job->request_id;
        job->item = (SignItem){ .req = &job->req, .caller = call->caller->evidence };
        call->about = job->key_id;
}

static void to_hex(const uint8_t *data, size_t len, char *buf) {
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < len; i++) {
                buf[2 * i] = digits[data[i] >> 4];
                buf[2 * i + 1] = digits[data[i] & 15];
        }
        buf[2 * len] = '\0';
}

static void note(const BusCall *call, const SignJob *job) {
        const Caller *c = call->caller;
        size_t exe_len = strlen(c->exe);
        uint8_t hash[SHA256_DIGEST_LENGTH];
        JournalEntry entry = {
                .time_usec = unix_usec(),
                .record = job->item.record,
                .key_version = job->key->version,
                .uid = c->uid,
        };

        snprintf(entry.request_id, sizeof(entry.request_id), "%s", job->item.request_id);
        snprintf(entry.key_path, sizeof(entry.key_path), "%s", job->key->path);
        snprintf(entry.scheme, sizeof(entry.scheme), "%s", scheme_name(job->req.scheme));
        snprintf(entry.hash, sizeof(entry.hash), "%s", job->req.hash->name);
        if (job->req.hash != &hash_none)
                to_hex(job->req.digest, job->req.digest_len, entry.digest);
        (void) SHA256(job->item.sig.data, job->item.sig.len, hash);
        to_hex(hash, sizeof(hash), entry.signature_sha256);
        snprintf(entry.exe, sizeof(entry.exe), "%s",
                 c->exe + (exe_len < sizeof(entry.exe) ? 0 : exe_len - sizeof(entry.exe) + 1));
        state_note(call->peer->manager->state, &entry);
}

int sign_args_reply(BusCall *call, const SignJob *job, sd_bus_message *reply) {
        int r;

        call->peer->manager->n_signatures++;
        note(call, job);
        r = sd_bus_message_append_array(reply, 'y', job->item.sig.data, job->item.sig.len);
        if (r < 0)
                return r;
        return sd_bus_message_append(reply, "a{sv}", 2, "request-id", "s", job->item.request_id,
                                     "record", "t", job->item.record);
}
