/* SPDX-License-Identifier: Apache-2.0 */

/* GetKey() and ListKeys(). */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "sidecar/bus-call.h"
#include "sidecar/bus.h"
#include "sidecar/clock.h"

#define FALLBACK_USEC  (3 * USEC_PER_SEC)
#define LIST_LIMIT_MAX 200
#define CURSOR_MAX     (PATH_MAX_LEN + 32)

/* ---- a key on the wire ---- */

static int append_bytes(sd_bus_message *m, const char *name, const Buf *b) {
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", name);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "ay");
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', b->data, b->len);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_certificates(sd_bus_message *m, const Key *k) {
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "certificates");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "aay");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "ay");
        for (size_t i = 0; r >= 0 && i < k->n_certificates; i++)
                r = sd_bus_message_append_array(m, 'y', k->certificates[i].data,
                                                k->certificates[i].len);
        for (int i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

static int append_key(sd_bus_message *m, const Key *k, bool with_certificates) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}", "id", "s", k->id, "path", "s",
                                          k->path, "version", "u", k->version, "algorithm", "s",
                                          k->alg->name, "state", "s", k->state);
        if (r >= 0)
                r = append_bytes(m, "public-key", &k->spki);
        if (r >= 0 && with_certificates)
                r = append_certificates(m, k);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* ---- GetKey ---- */

typedef struct GetKeyCall {
        BusCall call;
        char path[PATH_MAX_LEN];
        uint32_t version;
        Key *key;
} GetKeyCall;

/* While the service cannot be asked, what it last said of a key still loads it; only signing cannot
 * go on without it. */
static bool is_outage(int r) {
        return r == -CSIGN_E_SERVICE_UNAVAILABLE || r == -CSIGN_E_TIMEOUT;
}

/* Who has something to fall back on does not wait for an address to be well again. */
static void hurry(Wish *w) {
        uint64_t soon = now_usec() + FALLBACK_USEC;

        w->since = 0;
        if (w->deadline > soon)
                w->deadline = soon;
}

static int get_key_run(BusCall *call) {
        GetKeyCall *c = container_of(call, GetKeyCall, call);
        const SidecarConfig *config = &call->setup->config;
        State *state = call->peer->manager->state;
        _cleanup_(key_unrefp) Key *remembered = NULL;
        Wish wish = bus_call_wish(call);
        int r;

        if (state_find_key(state, config->client_id, c->path, c->version, &remembered) >= 0)
                hurry(&wish);
        r = service_get_key(call->setup->api, c->path, NULL, c->version, call->request_id, &wish,
                            &c->key, &call->e);
        if (is_outage(r) && remembered) {
                log_failure(LOG_DETAIL, "a key is told as it was when the service was reachable",
                            &call->e);
                call->e = (Error){};
                c->key = TAKE(remembered);
                return key_cache_put(call->setup->keys, c->key, c->version, &call->e);
        }
        if (r >= 0)
                r = key_cache_put(call->setup->keys, c->key, c->version, &call->e);
        if (r >= 0)
                state_keep_key(state, config->client_id, c->key, c->version, true);
        return r;
}

static int get_key_reply(BusCall *call, sd_bus_message *reply) {
        return append_key(reply, container_of(call, GetKeyCall, call)->key, true);
}

static void get_key_done(BusCall *call) {
        key_unref(container_of(call, GetKeyCall, call)->key);
}

static const BusCallOps get_key_ops = {
        .method = "GetKey",
        .size = sizeof(GetKeyCall),
        .run = get_key_run,
        .reply = get_key_reply,
        .done = get_key_done,
};

static int get_key_read(GetKeyCall *c, sd_bus_message *m, Error *e) {
        const char *path;
        int r;

        r = sd_bus_message_read(m, "su", &path, &c->version);
        if (r < 0)
                return error_set(e, r, "cannot read the arguments");
        return path_normalize(path, c->path, e);
}

int method_get_key(sd_bus_message *m, Peer *p) {
        BusCall *call;
        GetKeyCall *c;
        int r;

        r = bus_call_new(&get_key_ops, m, p, &call);
        if (r < 0)
                return r;
        c = container_of(call, GetKeyCall, call);
        call->about = c->path;

        r = get_key_read(c, m, &call->e);
        if (r >= 0)
                r = setup_check(call->setup, &call->e);
        if (r >= 0)
                r = access_check(call->setup->access, call->caller, c->path, &call->e);
        if (r < 0)
                return bus_call_end(call, r);

        c->key = key_cache_by_path(call->setup->keys, c->path, c->version, KEY_FRESH_USEC);
        if (c->key)
                return bus_call_end(call, 0);
        r = bus_call_submit(call);
        return r < 0 ? bus_call_end(call, r) : 1;
}

/* ---- ListKeys ---- */

typedef struct ListKeysCall {
        BusCall call;
        char prefix[PATH_MAX_LEN];
        char cursor[CURSOR_MAX];
        uint32_t limit;
        KeyList list;
        char next[CURSOR_MAX]; /* after a page of what is remembered */
} ListKeysCall;

/* Takes the reference. */
static int add_to_list(Key *k, void *userdata) {
        KeyList *l = userdata;
        Key **keys = reallocarray(l->keys, l->n + 1, sizeof(*keys));

        if (!keys) {
                key_unref(k);
                return -ENOMEM;
        }
        l->keys = keys;
        l->keys[l->n++] = k;
        return 0;
}

/* Pages of what is remembered have cursors of their own, which the service would not know. */
#define REMEMBERED "remembered:"

static bool is_remembered(const char *cursor) {
        return strncmp(cursor, REMEMBERED, strlen(REMEMBERED)) == 0;
}

static int list_remembered(ListKeysCall *c) {
        const char *after = is_remembered(c->cursor) ? c->cursor + strlen(REMEMBERED) : "";
        KeyList *l = &c->list;
        int r;

        r = state_list_keys(c->call.peer->manager->state, c->call.setup->config.client_id,
                            c->prefix, after, c->limit, add_to_list, l);
        if (r >= 0 && l->n == c->limit)
                snprintf(c->next, sizeof(c->next), REMEMBERED "%s", l->keys[l->n - 1]->path);
        return r >= 0 && l->n == 0 ? -ENOENT : r;
}

static int list_keys_run(BusCall *call) {
        ListKeysCall *c = container_of(call, ListKeysCall, call);
        const SidecarConfig *config = &call->setup->config;
        Wish wish = bus_call_wish(call);
        int r;

        if (is_remembered(c->cursor)) {
                r = list_remembered(c);
                return r == -ENOENT ? 0 : r;
        }
        r = service_list_keys(call->setup->api, c->prefix, c->cursor, c->limit, call->request_id,
                              &wish, &c->list, &call->e);
        if (is_outage(r) && !*c->cursor && list_remembered(c) >= 0) {
                log_failure(LOG_DETAIL,
                            "keys are listed as they were when the service was reachable",
                            &call->e);
                call->e = (Error){};
                return 0;
        }
        for (size_t i = 0; r >= 0 && i < c->list.n; i++)
                state_keep_key(call->peer->manager->state, config->client_id, c->list.keys[i], 0,
                               false);
        return r;
}

/* A page may be shorter than its limit, even empty: what local policy hides is left out here. */
static int list_keys_reply(BusCall *call, sd_bus_message *reply) {
        ListKeysCall *c = container_of(call, ListKeysCall, call);
        int r;

        r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < c->list.n; i++)
                if (access_check(call->setup->access, call->caller, c->list.keys[i]->path, NULL) >=
                    0)
                        r = append_key(reply, c->list.keys[i], false);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r
                     : sd_bus_message_append(reply, "s", *c->next ? c->next : c->list.next_cursor);
}

static void list_keys_done(BusCall *call) {
        key_list_done(&container_of(call, ListKeysCall, call)->list);
}

static const BusCallOps list_keys_ops = {
        .method = "ListKeys",
        .size = sizeof(ListKeysCall),
        .run = list_keys_run,
        .reply = list_keys_reply,
        .done = list_keys_done,
};

static int list_keys_read(ListKeysCall *c, sd_bus_message *m, Error *e) {
        const char *prefix, *cursor;
        int r;

        r = sd_bus_message_read(m, "ssu", &prefix, &cursor, &c->limit);
        if (r < 0)
                return error_set(e, r, "cannot read the arguments");
        if (c->limit < 1 || c->limit > LIST_LIMIT_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "limit is %u, not 1 to %d", c->limit,
                                 LIST_LIMIT_MAX);
        if (strlen(cursor) >=
            (is_remembered(cursor) ? sizeof(c->cursor) : sizeof(c->list.next_cursor)))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "the cursor is too long");
        memcpy(c->cursor, cursor, strlen(cursor) + 1);
        return *prefix ? path_normalize(prefix, c->prefix, e) : 0;
}

int method_list_keys(sd_bus_message *m, Peer *p) {
        BusCall *call;
        ListKeysCall *c;
        int r;

        r = bus_call_new(&list_keys_ops, m, p, &call);
        if (r < 0)
                return r;
        c = container_of(call, ListKeysCall, call);
        call->about = c->prefix;

        r = list_keys_read(c, m, &call->e);
        if (r >= 0)
                r = setup_check(call->setup, &call->e);
        if (r >= 0)
                r = access_check_any(call->setup->access, call->caller, &call->e);
        if (r >= 0)
                r = bus_call_submit(call);
        return r < 0 ? bus_call_end(call, r) : 1;
}
