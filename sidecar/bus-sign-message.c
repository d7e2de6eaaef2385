/* SPDX-License-Identifier: Apache-2.0 */

/* SignMessage(): the caller's sealed memory is mapped, and on a thread the whole of it is sent to
 * the service.  These calls are rare and large: each is a request of its own, and few are under
 * way. */

#include <errno.h>
#include <string.h>

#include "lib/message.h"
#include "sidecar/bus.h"
#include "sidecar/clock.h"
#include "sidecar/sign-args.h"

typedef struct MessageCall {
        BusCall call;
        SignJob job;
        Message message;
} MessageCall;

static int read_arguments(sd_bus_message *m, MessageCall *c, Error *e) {
        const char *key_id, *scheme;
        SignJob *job = &c->job;
        int fd, r;

        r = sd_bus_message_read(m, "sush", &key_id, &job->req.version, &scheme, &fd);
        if (r < 0)
                return error_set(e, r, "cannot read the arguments");
        if (scheme_own_hash(scheme_by_name(scheme)) != &hash_none)
                return error_set_rule(
                        e, -CSIGN_E_UNSUPPORTED_SCHEME, "whole-message",
                        "'%.32s' is not a scheme that signs whole messages: call Sign", scheme);
        r = sign_args_names(job, key_id, scheme, hash_none.name, e);
        if (r >= 0)
                r = message_map(&c->message, fd, c->call.setup->config.message_max, e);
        if (r < 0)
                return r;
        job->req.digest = c->message.data;
        job->req.digest_len = c->message.len;
        return sign_args_options(m, job, e);
}

static int get_key(MessageCall *c) {
        BusCall *call = &c->call;
        SignJob *job = &c->job;
        Wish wish = bus_call_wish(call);
        int r;

        job->key = key_cache_by_id(call->setup->keys, job->key_id, job->req.version,
                                   KEY_PATH_FRESH_USEC);
        if (job->key)
                return 0;
        r = service_get_key(call->setup->api, NULL, job->key_id, job->req.version, call->request_id,
                            &wish, &job->key, &call->e);
        return r < 0 ? r : key_cache_put(call->setup->keys, job->key, job->req.version, &call->e);
}

/* On a thread.  Nobody gets a signature that this process has not checked (I4). */
static int run(BusCall *call) {
        MessageCall *c = container_of(call, MessageCall, call);
        SignJob *job = &c->job;
        Wish wish = bus_call_wish(call);
        int r;

        if (atomic_load(&call->peer->gone))
                return -ECANCELED;
        r = get_key(c);
        if (r >= 0)
                r = sign_args_admit(call, job, &call->e);
        if (r >= 0)
                r = service_sign_message(call->setup->api, &job->item, &wish, &call->e);
        return r < 0 ? r
                     : sign_request_verify(&job->req, job->key->public_key, job->item.sig.data,
                                           job->item.sig.len, &call->e);
}

static int append_signature(BusCall *call, sd_bus_message *reply) {
        return sign_args_reply(call, &container_of(call, MessageCall, call)->job, reply);
}

static void done(BusCall *call) {
        MessageCall *c = container_of(call, MessageCall, call);

        key_unref(c->job.key);
        buf_done(&c->job.item.sig);
        message_unmap(&c->message);
}

static const BusCallOps ops = {
        .method = "SignMessage",
        .size = sizeof(MessageCall),
        .is_large = true,
        .run = run,
        .reply = append_signature,
        .done = done,
};

int method_sign_message(sd_bus_message *m, Peer *p) {
        MessageCall *c;
        BusCall *call;
        int r;

        r = bus_call_new(&ops, m, p, &call);
        if (r < 0)
                return r;
        c = container_of(call, MessageCall, call);
        sign_args_prepare(call, &c->job);

        r = setup_check(call->setup, &call->e);
        if (r >= 0)
                r = access_check_any(call->setup->access, call->caller, &call->e);
        if (r >= 0)
                r = read_arguments(m, c, &call->e);
        call->deadline = c->job.deadline;
        if (r >= 0)
                r = bus_call_submit(call);
        return r < 0 ? bus_call_end(call, r) : 1;
}
