/* SPDX-License-Identifier: Apache-2.0 */

/* History(): the journal of the signatures that were made here.  Everybody sees his own. */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "sidecar/bus-call.h"
#include "sidecar/bus.h"

#define HISTORY_LIMIT_MAX 200

typedef struct HistoryRow {
        uint64_t number;
        JournalEntry entry;
} HistoryRow;

typedef struct HistoryCall {
        BusCall call;
        uint64_t before;
        uint32_t limit;
        HistoryRow *rows;
        size_t n;
} HistoryCall;

static int add_row(uint64_t number, const JournalEntry *entry, void *userdata) {
        HistoryCall *c = userdata;

        if (c->n >= c->limit)
                return 0;
        c->rows[c->n++] = (HistoryRow){ .number = number, .entry = *entry };
        return 0;
}

static int run(BusCall *call) {
        HistoryCall *c = container_of(call, HistoryCall, call);
        uid_t uid = call->caller->uid;

        c->rows = calloc(c->limit, sizeof(*c->rows));
        if (!c->rows)
                return -ENOMEM;
        return state_history(call->peer->manager->state, c->before,
                             uid == 0 || uid == geteuid() ? (uid_t) -1 : uid, c->limit, add_row, c,
                             &call->e);
}

static int append_row(sd_bus_message *m, const HistoryRow *row) {
        const JournalEntry *j = &row->entry;

        return sd_bus_message_append(
                m, "a{sv}", 12, "number", "t", row->number, "time", "t", j->time_usec, "request-id",
                "s", j->request_id, "record", "t", j->record, "key", "s", j->key_path, "version",
                "u", j->key_version, "scheme", "s", j->scheme, "hash", "s", j->hash, "digest", "s",
                j->digest, "signature-sha256", "s", j->signature_sha256, "uid", "u",
                (uint32_t) j->uid, "executable", "s", j->exe);
}

static int reply(BusCall *call, sd_bus_message *m) {
        const HistoryCall *c = container_of(call, HistoryCall, call);
        int r;

        r = sd_bus_message_open_container(m, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < c->n; i++)
                r = append_row(m, &c->rows[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;
        return sd_bus_message_append(m, "t", c->n == c->limit ? c->rows[c->n - 1].number : 0);
}

static void done(BusCall *call) {
        free(container_of(call, HistoryCall, call)->rows);
}

static const BusCallOps ops = {
        .method = "History",
        .size = sizeof(HistoryCall),
        .run = run,
        .reply = reply,
        .done = done,
};

static int read_arguments(HistoryCall *c, Error *e) {
        int r;

        r = sd_bus_message_read(c->call.m, "tu", &c->before, &c->limit);
        if (r < 0)
                return error_set(e, r, "cannot read the arguments");
        if (c->limit < 1 || c->limit > HISTORY_LIMIT_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "limit is %u, not 1 to %d", c->limit,
                                 HISTORY_LIMIT_MAX);
        return 0;
}

int method_history(sd_bus_message *m, Peer *p) {
        BusCall *call;
        int r;

        r = bus_call_new(&ops, m, p, &call);
        if (r < 0)
                return r;
        r = read_arguments(container_of(call, HistoryCall, call), &call->e);
        if (r >= 0)
                r = bus_call_submit(call);
        return r < 0 ? bus_call_end(call, r) : 1;
}
