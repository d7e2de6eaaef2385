/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/bus-call.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "sidecar/bus-error.h"
#include "sidecar/bus.h"
#include "sidecar/clock.h"

static void end_posted(void *arg) {
        BusCall *c = arg;

        (void) bus_call_end(c, c->e.code);
}

int bus_call_new(const BusCallOps *ops, sd_bus_message *m, Peer *p, BusCall **ret) {
        BusCall *c;
        int r;

        assert(ops->size >= sizeof(*c) && p->caller);

        c = calloc(1, ops->size);
        if (!c)
                return -ENOMEM;
        r = id_new_timed(c->request_id, "req");
        if (r < 0) {
                free(c);
                return r;
        }
        c->ops = ops;
        c->m = sd_bus_message_ref(m);
        c->peer = peer_ref(p);
        c->peer->in_flight++;
        c->caller = caller_ref(p->caller);
        c->setup = setup_ref(p->manager->setup);
        c->since = p->used;
        c->deadline = p->used + c->setup->config.timeout_usec;
        c->done = (Done){ .fn = end_posted, .arg = c };
        *ret = c;
        return 0;
}

static bool has_gone(void *data) {
        const Peer *p = data;

        return atomic_load_explicit(&p->gone, memory_order_relaxed);
}

Wish bus_call_wish(BusCall *c) {
        return (Wish){
                .since = c->since, .deadline = c->deadline, .given_up = has_gone, .data = c->peer
        };
}

static void call_free(BusCall *c) {
        if (c->ops->done)
                c->ops->done(c);
        sd_bus_message_unref(c->m);
        c->peer->in_flight--;
        c->peer->used = now_usec();
        peer_unref(c->peer);
        caller_unref(c->caller);
        setup_unref(c->setup);
        free(c);
}

/* Makes c->e say what r says: nothing for a success, some sentence for a failure. */
static void settle(BusCall *c, int r) {
        if (r >= 0)
                c->e = (Error){};
        else if (c->e.code != r)
                (void) error_set(&c->e, r, "%s", strerror(r > -CSIGN_E_BEGIN_ ? -r : EIO));
}

void bus_call_post(BusCall *c, int r) {
        settle(c, r);
        done_queue_post(c->peer->manager->done, &c->done);
}

static void run(void *arg) {
        BusCall *c = arg;
        int r;

        if (now_usec() >= c->deadline)
                r = error_set(&c->e, -CSIGN_E_TIMEOUT,
                              "no connection to the service became free in time");
        else
                r = c->ops->run(c);
        if (r <= 0)
                bus_call_post(c, r);
}

int bus_check_owner(const BusCall *c, const char *what, Error *e) {
        char who[CALLER_TEXT_MAX];

        if (c->caller->uid == 0 || c->caller->uid == geteuid())
                return 0;
        return error_set_rule(e, -CSIGN_E_LOCAL_POLICY, "local-policy:owner",
                              "%s may not %s: only the sidecar's own user and root may",
                              caller_text(c->caller, who), what);
}

int bus_call_submit(BusCall *c) {
        Manager *m = c->peer->manager;
        int r;

        c->asked_service = true;
        r = worker_submit(c->ops->is_large ? m->messages : m->lookups, run, c);
        return r < 0 ? error_set(&c->e, r, "the sidecar has too many calls under way") : 0;
}

/* ---- the end ---- */

static int reply(BusCall *c) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_return(c->m, &m);
        if (r >= 0)
                r = c->ops->reply(c, m);
        return r < 0 ? r : sd_bus_message_send(m);
}

static void succeeded(BusCall *c) {
        int r;

        r = reply(c);
        if (c->asked_service)
                *c->peer->manager->last_error = 0;
        /* A caller that left cannot be told. */
        if (r < 0 && !atomic_load(&c->peer->gone))
                log_line(LOG_WARNING, "cannot reply", "METHOD", c->ops->method, "REQUEST_ID",
                         c->request_id, "REASON", strerror(-r), NULL);
}

/* Whether the failure tells of the service's health or of our standing there. */
static bool is_trouble(int code) {
        int status = error_info(code)->exit_status;

        return status == 3 || status == 7 || status == 9;
}

static void failed(BusCall *c) {
        Manager *m = c->peer->manager;
        char who[CALLER_TEXT_MAX], text[ERROR_TEXT_MAX];

        if (!*c->e.request_id)
                error_set_request_id(&c->e, c->request_id);
        if (is_trouble(c->e.code))
                (void) memcpy(m->last_error, error_text(&c->e, text), sizeof(m->last_error));
        log_line(LOG_NOTICE, "refused", "METHOD", c->ops->method, "ERROR",
                 error_info(c->e.code)->name, "DETAIL", c->e.detail, "RULE", c->e.rule,
                 "REQUEST_ID", c->e.request_id, "KEY", c->about, "CALLER",
                 caller_text(c->caller, who), NULL);
        (void) bus_reply_error(c->m, &c->e);
}

int bus_call_end(BusCall *c, int r) {
        settle(c, r);
        if (r < 0)
                failed(c);
        else
                succeeded(c);
        if (c->peer->link)
                c->peer->link->replied(c->peer->link);
        call_free(c);
        return 1;
}
