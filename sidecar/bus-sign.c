/* SPDX-License-Identifier: Apache-2.0 */

/* Sign(): read, may the caller?, to a signing thread; the reply comes when the signature was
 * checked. */

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/bus-call.h"
#include "sidecar/bus.h"

typedef struct SignCall {
        BusCall call;
        SignJob job;
} SignCall;

/* ---- reading ---- */

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

static const struct {
        const char *name;
        int (*read)(sd_bus_message *m, SignJob *job, Error *e);
} options[] = {
        { "public-key-sha256", read_public_key_hash },
        { "salt-length", read_salt_length },
        { "mgf1-hash", read_mgf1_hash },
};

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

static int read_options(sd_bus_message *m, SignJob *job, Error *e) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                int q = read_option(m, job, e);

                if (q < 0)
                        return q;
                r = sd_bus_message_exit_container(m);
        }
        return r < 0 ? error_set(e, r, "cannot read the options") : 0;
}

static int read_names(SignJob *job, const char *key_id, const char *scheme, const char *hash,
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
        if (job->req.hash == &hash_none)
                return error_set_rule(e, -CSIGN_E_UNSUPPORTED_SCHEME, "whole-message",
                                      "%s signs messages, not digests: call SignMessage", scheme);
        snprintf(job->key_id, sizeof(job->key_id), "%s", key_id);
        job->req.key_id = job->key_id;
        return 0;
}

/* Copies all of it: the message is the loop's, the job goes to a thread. */
static int read_arguments(sd_bus_message *m, SignJob *job, Error *e) {
        const char *key_id, *scheme, *hash;
        const void *digest;
        size_t len;
        int r;

        r = sd_bus_message_read(m, "suss", &key_id, &job->req.version, &scheme, &hash);
        if (r >= 0)
                r = sd_bus_message_read_array(m, 'y', &digest, &len);
        if (r < 0)
                return error_set(e, r, "cannot read the arguments");
        r = read_names(job, key_id, scheme, hash, e);
        if (r < 0)
                return r;
        if (len > sizeof(job->digest))
                return error_set(e, -CSIGN_E_BAD_DIGEST, "a digest has at most %d bytes, not %zu",
                                 DIGEST_MAX, len);
        memcpy(job->digest, digest, len);
        job->req.digest = job->digest;
        job->req.digest_len = len;
        return read_options(m, job, e);
}

/* ---- deciding: in the loop when the key is known, else on the thread that asked for it ---- */

static int admit(SignCall *c, Error *e) {
        const Key *k = c->job.key;
        int r;

        r = access_check(c->call.setup->access, c->call.caller, k->path, e);
        if (r < 0)
                return r;
        if (c->job.req.spki_hash && memcmp(c->job.spki_hash, k->spki_hash, SPKI_HASH_SIZE) != 0)
                return error_set(
                        e, -CSIGN_E_KEY_CHANGED,
                        "%s version %u has another public key than the one that was loaded",
                        k->path, k->version);
        return sign_request_check(&c->job.req, k->alg, e);
}

static int admit_and_submit(SignCall *c) {
        int r;

        r = admit(c, &c->call.e);
        if (r < 0)
                return r;
        r = signer_submit(c->call.peer->manager->signer, &c->job);
        return r < 0 ? error_set(&c->call.e, r, "the sidecar has too many signatures under way")
                     : 0;
}

/* On a thread: the key is not known, or not lately. */
static int run(BusCall *call) {
        SignCall *c = container_of(call, SignCall, call);
        int r;

        r = service_get_key(call->setup->api, NULL, c->job.key_id, c->job.req.version,
                            call->request_id, call->setup->config.timeout_usec, &c->job.key,
                            &call->e);
        if (r >= 0)
                r = key_cache_put(call->setup->keys, c->job.key, c->job.req.version, &call->e);
        if (r >= 0)
                r = admit_and_submit(c);
        return r < 0 ? r : 1;
}

/* ---- the end ---- */

static int append_signature(BusCall *call, sd_bus_message *reply) {
        SignCall *c = container_of(call, SignCall, call);
        int r;

        call->peer->manager->n_signatures++;
        r = sd_bus_message_append_array(reply, 'y', c->job.item.sig.data, c->job.item.sig.len);
        if (r < 0)
                return r;
        return sd_bus_message_append(reply, "a{sv}", 2, "request-id", "s", call->request_id,
                                     "record", "t", c->job.item.record);
}

static void signed_or_not(void *arg) {
        SignCall *c = arg;

        c->call.e = c->job.item.e;
        c->call.asked_service = true;
        (void) bus_call_end(&c->call, c->job.item.r);
}

static void done(BusCall *call) {
        SignCall *c = container_of(call, SignCall, call);

        key_unref(c->job.key);
        buf_done(&c->job.item.sig);
}

static const BusCallOps ops = {
        .method = "Sign",
        .size = sizeof(SignCall),
        .run = run,
        .reply = append_signature,
        .done = done,
};

static void prepare(SignCall *c) {
        SignJob *job = &c->job;

        job->setup = c->call.setup;
        job->deadline = c->call.deadline;
        job->gone = &c->call.peer->gone;
        memcpy(job->request_id, c->call.request_id, sizeof(job->request_id));
        job->req.request_id = job->request_id;
        job->item = (SignItem){ .req = &job->req, .caller = c->call.caller->evidence };
        job->done = (Done){ .fn = signed_or_not, .arg = c };
        c->call.about = job->key_id;
}

int method_sign(sd_bus_message *m, Peer *p) {
        BusCall *call;
        SignCall *c;
        int r;

        r = bus_call_new(&ops, m, p, &call);
        if (r < 0)
                return r;
        c = container_of(call, SignCall, call);
        prepare(c);

        r = read_arguments(m, &c->job, &call->e);
        if (r >= 0)
                r = setup_check(call->setup, &call->e);
        if (r >= 0)
                r = access_check_any(call->setup->access, call->caller, &call->e);
        if (r < 0)
                return bus_call_end(call, r);

        c->job.key = key_cache_by_id(call->setup->keys, c->job.key_id, c->job.req.version,
                                     KEY_PATH_FRESH_USEC);
        r = c->job.key ? admit_and_submit(c) : bus_call_submit(call);
        return r < 0 ? bus_call_end(call, r) : 1;
}
