/* SPDX-License-Identifier: Apache-2.0 */

/* Sign(): read, may the caller?, to a signing thread; the reply comes when the signature was
 * checked. */

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/bus-call.h"
#include "sidecar/bus.h"
#include "sidecar/sign-args.h"

typedef struct SignCall {
        BusCall call;
        SignJob job;
} SignCall;

/* ---- reading ---- */

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
        r = sign_args_names(job, key_id, scheme, hash, e);
        if (r < 0)
                return r;
        if (job->req.hash == &hash_none)
                return error_set_rule(e, -CSIGN_E_UNSUPPORTED_SCHEME, "whole-message",
                                      "%s signs messages, not digests: call SignMessage", scheme);
        if (len > sizeof(job->digest))
                return error_set(e, -CSIGN_E_BAD_DIGEST, "a digest has at most %d bytes, not %zu",
                                 DIGEST_MAX, len);
        memcpy(job->digest, digest, len);
        job->req.digest = job->digest;
        job->req.digest_len = len;
        return sign_args_options(m, job, e);
}

/* ---- deciding: in the loop when the key is known, else on the thread that asked for it ---- */

static int admit_and_submit(SignCall *c) {
        int r;

        r = sign_args_admit(&c->call, &c->job, &c->call.e);
        if (r < 0)
                return r;
        r = signer_submit(c->call.peer->manager->signer, &c->job);
        return r < 0 ? error_set(&c->call.e, r, "the sidecar has too many signatures under way")
                     : 0;
}

/* On a thread: the key is not known, or not lately. */
static int run(BusCall *call) {
        SignCall *c = container_of(call, SignCall, call);
        Wish wish = bus_call_wish(call);
        int r;

        r = service_get_key(call->setup->api, NULL, c->job.key_id, c->job.req.version,
                            call->request_id, &wish, &c->job.key, &call->e);
        if (r >= 0)
                r = key_cache_put(call->setup->keys, c->job.key, c->job.req.version, &call->e);
        if (r >= 0)
                r = admit_and_submit(c);
        return r < 0 ? r : 1;
}

/* ---- the end ---- */

static int append_signature(BusCall *call, sd_bus_message *reply) {
        return sign_args_reply(call, &container_of(call, SignCall, call)->job, reply);
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

int method_sign(sd_bus_message *m, Peer *p) {
        BusCall *call;
        SignCall *c;
        int r;

        r = bus_call_new(&ops, m, p, &call);
        if (r < 0)
                return r;
        c = container_of(call, SignCall, call);
        sign_args_prepare(call, &c->job);
        c->job.done = (Done){ .fn = signed_or_not, .arg = c };

        r = read_arguments(m, &c->job, &call->e);
        call->deadline = c->job.deadline;
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
