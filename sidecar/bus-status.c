/* SPDX-License-Identifier: Apache-2.0 */

/* Status() and Reload(). */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/log.h"
#include "sidecar/bus-call.h"
#include "sidecar/bus.h"
#include "sidecar/clock.h"

/* Status() is what one asks when the service is in trouble: it must not wait for it long. */
#define WHO_TIMEOUT (3 * USEC_PER_SEC)

/* ---- Status ---- */

typedef struct StatusCall {
        BusCall call;
        WhoAmI who;
        bool who_known;
        Error who_error;
} StatusCall;

static int status_run(BusCall *call) {
        StatusCall *c = container_of(call, StatusCall, call);
        Wish wish = bus_call_wish(call);

        if (wish.deadline > now_usec() + WHO_TIMEOUT)
                wish.deadline = now_usec() + WHO_TIMEOUT;
        c->who_known = service_whoami(call->setup->api, &wish, &c->who, &c->who_error) >= 0;
        return 0;
}

static const char *time_text(int64_t when, char buf[static 32]) {
        time_t t = (time_t) when;
        struct tm tm;

        *buf = 0;
        if (when > 0 && gmtime_r(&t, &tm))
                (void) strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
        return buf;
}

static const char *text_or_none(const char *text) {
        return text ? text : "";
}

static void take_who(StatusCall *c) {
        Manager *m = c->call.peer->manager;

        if (!c->call.asked_service || c->call.setup != m->setup)
                return;
        m->who_known = c->who_known;
        m->who = c->who;
        if (!c->who_known)
                (void) error_text(&c->who_error, m->last_error);
        c->call.asked_service = c->who_known;
}

static int status_reply(BusCall *call, sd_bus_message *reply) {
        const Setup *s = call->setup;
        Manager *m = call->peer->manager;
        TokenFacts token = { .age = -1 };
        char expires[32], age[24] = "", offset[24] = "", calls[24], signatures[24],
                          not_set_up[ERROR_TEXT_MAX] = "";

        take_who(container_of(call, StatusCall, call));
        if (!s->api)
                (void) error_text(&s->why_not, not_set_up);
        if (s->api)
                service_token_facts(s->api, &token);
        if (token.age >= 0)
                snprintf(age, sizeof(age), "%" PRId64, token.age);
        if (s->api)
                snprintf(offset, sizeof(offset), "%" PRId64, token.clock_offset);
        snprintf(calls, sizeof(calls), "%" PRIu64, m->n_calls);
        snprintf(signatures, sizeof(signatures), "%" PRIu64, m->n_signatures);

        return sd_bus_message_append(
                reply, "a{ss}", 17, "version", CSIGN_VERSION, "grant", grant_name(m->options.grant),
                "service",
                s->api              ? service_address(s->api)
                : s->config.service ? s->config.service
                                    : "",
                "client-id", text_or_none(s->config.client_id), "account", m->who.name, "scope",
                m->who.scope, "token-expires", time_text(token.expires, expires), "token-age", age,
                "clock-offset", offset, "credential", text_or_none(s->config.credential),
                "credential-expires", m->who.key_expires, "service-ca",
                text_or_none(s->config.service_ca), "service-pin",
                text_or_none(s->config.service_pin), "proxy", text_or_none(s->config.proxy),
                "last-error", s->api ? m->last_error : not_set_up, "calls", calls, "signatures",
                signatures);
}

static const BusCallOps status_ops = {
        .method = "Status",
        .size = sizeof(StatusCall),
        .run = status_run,
        .reply = status_reply,
};

int method_status(sd_bus_message *m, Peer *p) {
        BusCall *call;
        int r;

        r = bus_call_new(&status_ops, m, p, &call);
        if (r < 0)
                return r;
        /* Anybody may look; only who may sign makes us ask the service. */
        if (!call->setup->api || p->manager->who_known ||
            access_check_any(call->setup->access, call->caller, NULL) < 0)
                return bus_call_end(call, 0);
        r = bus_call_submit(call);
        return r < 0 ? bus_call_end(call, r) : 1;
}

/* ---- Reload ---- */

typedef struct ReloadCall {
        BusCall call;
        Setup *setup; /* the new one */
        WhoAmI who;
} ReloadCall;

static int reload_run(BusCall *call) {
        ReloadCall *c = container_of(call, ReloadCall, call);

        return manager_prove_setup(call->peer->manager, &c->setup, &c->who, &call->e);
}

static int reload_reply(BusCall *call, sd_bus_message *reply) {
        ReloadCall *c = container_of(call, ReloadCall, call);

        manager_set_setup(call->peer->manager, TAKE(c->setup), &c->who);
        return 0;
}

static void reload_done(BusCall *call) {
        ReloadCall *c = container_of(call, ReloadCall, call);

        if (call->asked_service)
                call->peer->manager->reloading = false;
        if (c->setup && !c->setup->api)
                manager_log_out(call->peer->manager, TAKE(c->setup));
        setup_unref(c->setup);
}

static const BusCallOps reload_ops = {
        .method = "Reload",
        .size = sizeof(ReloadCall),
        .run = reload_run,
        .reply = reload_reply,
        .done = reload_done,
};

static int reload_check(const BusCall *call, Error *e) {
        int r;

        r = bus_check_owner(call, "reload", e);
        if (r < 0)
                return r;
        if (call->peer->manager->reloading)
                return error_set(e, -CSIGN_E_RATE_LIMITED, "another reload is under way");
        return 0;
}

int method_reload(sd_bus_message *m, Peer *p) {
        BusCall *call;
        int r;

        r = bus_call_new(&reload_ops, m, p, &call);
        if (r < 0)
                return r;
        r = reload_check(call, &call->e);
        if (r < 0)
                return bus_call_end(call, r);
        p->manager->reloading = true;
        r = bus_call_submit(call);
        return r < 0 ? bus_call_end(call, r) : 1;
}
