/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of org.csign.Sidecar1 as C functions: see docs/dbus.md. */

#include "lib/sidecar-client.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sidecar-bus.h"

#define PUBLIC_KEY_MAX  ((size_t) 4096)
#define CERTIFICATE_MAX ((size_t) 16 * 1024)
#define LIST_PAGE       200
#define CURSOR_MAX      1024

struct SidecarClient {
        SidecarBus *bus;
};

/* Takes bus over. */
static int client_new(SidecarClient **ret, SidecarBus *bus, Error *e) {
        SidecarClient *c = malloc(sizeof(*c));

        if (!c) {
                sidecar_bus_free(bus);
                return error_set(e, -ENOMEM, "out of memory");
        }
        *c = (SidecarClient){ .bus = bus };
        *ret = c;
        return 0;
}

int sidecar_client_new(SidecarClient **ret, const char *address, uint64_t timeout_usec, Error *e) {
        SidecarBus *bus = NULL;
        int r;

        r = sidecar_bus_new(&bus, address, timeout_usec, e);
        return r < 0 ? r : client_new(ret, bus, e);
}

int sidecar_client_new_grant(SidecarClient **ret, SidecarGrant grant, uint64_t timeout_usec,
                             Error *e) {
        SidecarBus *bus = NULL;
        int r;

        r = sidecar_bus_new_grant(&bus, grant, timeout_usec, e);
        return r < 0 ? r : client_new(ret, bus, e);
}

void sidecar_client_free(SidecarClient *c) {
        if (!c)
                return;

        sidecar_bus_free(c->bus);
        free(c);
}

void sidecar_client_prepare(void) {
        (void) libsystemd_load(NULL);
}

void sidecar_client_drain(SidecarClient *c) {
        sidecar_bus_drain(c->bus);
}

const char *sidecar_client_address(SidecarClient *c) {
        return sidecar_bus_address(c->bus);
}

void key_info_done(KeyInfo *k) {
        buf_done(&k->spki);
        for (size_t i = 0; i < ELEMENTSOF(k->certificates); i++)
                buf_done(&k->certificates[i]);
        *k = (KeyInfo){};
}

/* ---- reading answers: functions return as sd-bus does, and nothing of what they read is trusted
 * ---- */

static int bad_answer(Error *e, const char *method, int r) {
        if (r == -ENOMEM)
                return error_set(e, r, "out of memory");
        return error_set(e, -CSIGN_E_BAD_ANSWER, "the sidecar's answer to %s cannot be understood",
                         method);
}

/* Walks over an a{s…} whose values are variants; f gets each name with the message before its
 * variant, and returns 0 if it does not know the name. */
static int read_dict(sd_bus_message *m, int (*f)(sd_bus_message *m, const char *name, void *arg),
                     void *arg) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;

        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const char *name;

                r = sd_bus_message_read(m, "s", &name);
                if (r < 0)
                        return r;
                r = f(m, name, arg);
                if (r == 0)
                        r = sd_bus_message_skip(m, "v");
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

static int read_text(sd_bus_message *m, char *buf, size_t size) {
        const char *s;
        size_t n;
        int r;

        r = sd_bus_message_read(m, "v", "s", &s);
        if (r < 0)
                return r;

        n = strlen(s);
        if (n >= size)
                return -EBADMSG;
        memcpy(buf, s, n + 1);
        return 1;
}

static int read_bytes(sd_bus_message *m, size_t max, Buf *ret) {
        const void *data;
        size_t len;
        int r;

        r = sd_bus_message_read_array(m, 'y', &data, &len);
        if (r < 0)
                return r;
        if (len == 0 || len > max)
                return -EBADMSG;

        buf_clear(ret);
        r = buf_append(ret, data, len);
        return r < 0 ? r : 1;
}

static int read_public_key(sd_bus_message *m, Buf *ret) {
        int r;

        r = sd_bus_message_enter_container(m, 'v', "ay");
        if (r >= 0)
                r = read_bytes(m, PUBLIC_KEY_MAX, ret);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 1;
}

static int read_certificates(sd_bus_message *m, KeyInfo *k) {
        int r;

        r = sd_bus_message_enter_container(m, 'v', "aay");
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "ay");
        if (r < 0)
                return r;

        while ((r = sd_bus_message_at_end(m, false)) == 0) {
                if (k->n_certificates == CERTIFICATES_MAX)
                        return -EBADMSG;
                r = read_bytes(m, CERTIFICATE_MAX, &k->certificates[k->n_certificates]);
                if (r < 0)
                        return r;
                k->n_certificates++;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 1;
}

static int read_algorithm(sd_bus_message *m, const KeyAlg **ret) {
        char name[32];
        int r;

        r = read_text(m, name, sizeof(name));
        if (r < 0)
                return r;

        *ret = key_alg_by_name(name);
        return *ret ? 1 : -EBADMSG;
}

static int read_key_item(sd_bus_message *m, const char *name, void *arg) {
        KeyInfo *k = arg;

        if (strcmp(name, "id") == 0)
                return read_text(m, k->id, sizeof(k->id));
        if (strcmp(name, "path") == 0)
                return read_text(m, k->path, sizeof(k->path));
        if (strcmp(name, "version") == 0)
                return sd_bus_message_read(m, "v", "u", &k->version);
        if (strcmp(name, "algorithm") == 0)
                return read_algorithm(m, &k->alg);
        if (strcmp(name, "state") == 0)
                return read_text(m, k->state, sizeof(k->state));
        if (strcmp(name, "public-key") == 0)
                return read_public_key(m, &k->spki);
        if (strcmp(name, "certificates") == 0)
                return read_certificates(m, k);
        return 0;
}

static int read_key(sd_bus_message *m, KeyInfo *k) {
        int r;

        r = read_dict(m, read_key_item, k);
        if (r < 0)
                return r;
        if (!id_is_valid(k->id, "key") || !path_is_valid(k->path) || k->version == 0 || !k->alg ||
            k->spki.len == 0)
                return -EBADMSG;
        return 0;
}

/* ---- GetKey ---- */

typedef struct GetKey {
        const char *path;
        uint32_t version;
        KeyInfo key;
} GetKey;

static int get_key_fill(sd_bus_message *m, void *arg) {
        const GetKey *g = arg;

        return sd_bus_message_append(m, "su", g->path, g->version);
}

static int get_key_read(sd_bus_message *reply, void *arg, Error *e) {
        GetKey *g = arg;
        int r;

        r = read_key(reply, &g->key);
        return r < 0 ? bad_answer(e, "GetKey", r) : 0;
}

int sidecar_client_get_key(SidecarClient *c, const char *path, uint32_t version, KeyInfo *ret,
                           Error *e) {
        GetKey g = { .path = path, .version = version };
        const SidecarCall call = {
                .method = "GetKey",
                .repeatable = true,
                .fill = get_key_fill,
                .read = get_key_read,
                .arg = &g,
        };
        int r;

        r = sidecar_bus_call(c->bus, &call, e);
        if (r < 0) {
                key_info_done(&g.key);
                return r;
        }
        *ret = g.key;
        return 0;
}

/* ---- ListKeys ---- */

typedef struct ListKeys {
        const char *prefix;
        char cursor[CURSOR_MAX];
        KeyInfo keys[LIST_PAGE];
        size_t n_keys;
} ListKeys;

static void list_keys_clear(ListKeys *l) {
        for (size_t i = 0; i < l->n_keys; i++)
                key_info_done(&l->keys[i]);
        l->n_keys = 0;
}

static void list_keys_free(ListKeys *l) {
        list_keys_clear(l);
        free(l);
}
DEFINE_CLEANUP(ListKeys, list_keys_free)

static int list_keys_fill(sd_bus_message *m, void *arg) {
        const ListKeys *l = arg;

        return sd_bus_message_append(m, "ssu", l->prefix, l->cursor, (uint32_t) LIST_PAGE);
}

static int read_page(sd_bus_message *m, ListKeys *l) {
        const char *next;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "a{sv}");
        if (r < 0)
                return r;

        while ((r = sd_bus_message_at_end(m, false)) == 0) {
                if (l->n_keys == LIST_PAGE)
                        return -EBADMSG;
                r = read_key(m, &l->keys[l->n_keys++]);
                if (r < 0)
                        return r;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0)
                r = sd_bus_message_read(m, "s", &next);
        if (r < 0)
                return r;

        /* A cursor that stands still would have us ask for ever. */
        if (strlen(next) >= sizeof(l->cursor) || (*next && strcmp(next, l->cursor) == 0))
                return -EBADMSG;
        strcpy(l->cursor, next);
        return 0;
}

static int list_keys_read(sd_bus_message *reply, void *arg, Error *e) {
        int r;

        r = read_page(reply, arg);
        return r < 0 ? bad_answer(e, "ListKeys", r) : 0;
}

int sidecar_client_list_keys(SidecarClient *c, const char *prefix,
                             int (*f)(const KeyInfo *k, void *userdata), void *userdata, Error *e) {
        _cleanup_(list_keys_freep) ListKeys *l = NULL;
        SidecarCall call = {
                .method = "ListKeys",
                .repeatable = true,
                .fill = list_keys_fill,
                .read = list_keys_read,
        };
        int r;

        l = calloc(1, sizeof(*l));
        if (!l)
                return error_set(e, -ENOMEM, "out of memory");

        l->prefix = prefix;
        call.arg = l;
        do {
                r = sidecar_bus_call(c->bus, &call, e);
                if (r < 0)
                        return r;

                for (size_t i = 0; i < l->n_keys; i++) {
                        r = f(&l->keys[i], userdata);
                        if (r < 0)
                                return r;
                }
                list_keys_clear(l);
        } while (l->cursor[0]);
        return 0;
}

/* ---- Sign ---- */

typedef struct Sign {
        const SignRequest *req;
        char operation[ID_MAX];
        int fd; /* SignMessage only */
        uint32_t timeout_msec;
        Buf *sig;
        Receipt receipt;
} Sign;

static int append_spki_hash(sd_bus_message *m, const uint8_t *hash) {
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "public-key-sha256");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "ay");
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', hash, SPKI_HASH_SIZE);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r;
}

static int append_options(sd_bus_message *m, const Sign *s) {
        const SignRequest *req = s->req;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}", "idempotency-key", "s", s->operation);
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}", "timeout", "u", s->timeout_msec);
        if (r >= 0 && req->scheme == SCHEME_RSA_PSS)
                r = sd_bus_message_append(m, "{sv}", "salt-length", "u", req->salt_len);
        if (r >= 0 && req->scheme == SCHEME_RSA_PSS && req->mgf1_hash)
                r = sd_bus_message_append(m, "{sv}", "mgf1-hash", "s", req->mgf1_hash->name);
        if (r >= 0 && req->spki_hash)
                r = append_spki_hash(m, req->spki_hash);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r;
}

static int sign_fill(sd_bus_message *m, void *arg) {
        const Sign *s = arg;
        const SignRequest *req = s->req;
        int r;

        r = sd_bus_message_append(m, "suss", req->key_id, req->version, scheme_name(req->scheme),
                                  req->hash->name);
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', req->digest, req->digest_len);
        if (r >= 0)
                r = append_options(m, s);
        return r;
}

static int sign_message_fill(sd_bus_message *m, void *arg) {
        const Sign *s = arg;
        int r;

        r = sd_bus_message_append(m, "sush", s->req->key_id, s->req->version,
                                  scheme_name(s->req->scheme), s->fd);
        return r < 0 ? r : append_options(m, s);
}

static int read_receipt_item(sd_bus_message *m, const char *name, void *arg) {
        Receipt *receipt = arg;

        if (strcmp(name, "request-id") == 0)
                return read_text(m, receipt->request_id, sizeof(receipt->request_id));
        if (strcmp(name, "record") == 0)
                return sd_bus_message_read(m, "v", "t", &receipt->record);
        return 0;
}

static int sign_read(sd_bus_message *reply, void *arg, Error *e) {
        _cleanup_(buf_done) Buf sig = {};
        Sign *s = arg;
        int r;

        r = read_bytes(reply, SIGNATURE_MAX, &sig);
        if (r >= 0)
                r = read_dict(reply, read_receipt_item, &s->receipt);
        if (r < 0)
                return bad_answer(e, "Sign", r);

        buf_clear(s->sig);
        r = buf_append(s->sig, sig.data, sig.len);
        return r < 0 ? error_set(e, r, "cannot keep the signature") : 0;
}

/* What the sidecar is told of our patience is a sixth less, so that its reason is here before our
 * own deadline. */
static uint32_t patience(uint64_t timeout_usec) {
        uint64_t msec = timeout_usec / 6 * 5 / 1000;

        return msec < 1 ? 1 : msec > UINT32_MAX ? UINT32_MAX : (uint32_t) msec;
}

/* Both are repeatable: under one idempotency key it is signed and recorded once. */
static int call_sign(SidecarClient *c, Sign *s, const SidecarCall *call, Receipt *receipt,
                     Error *e) {
        const char *operation = s->req->idempotency_key;
        int r;

        if (operation)
                (void) snprintf(s->operation, sizeof(s->operation), "%s", operation);
        else if (id_new_timed(s->operation, "op") < 0)
                return error_set(e, -EIO, "the kernel gives no random bytes");

        s->timeout_msec = patience(sidecar_bus_timeout(c->bus));
        r = sidecar_bus_call(c->bus, call, e);
        if (r >= 0 && receipt)
                *receipt = s->receipt;
        return r < 0 ? r : 0;
}

int sidecar_client_sign(SidecarClient *c, const SignRequest *req, Buf *sig, Receipt *receipt,
                        Error *e) {
        Sign s = { .req = req, .sig = sig };
        const SidecarCall call = {
                .method = "Sign",
                .repeatable = true,
                .fill = sign_fill,
                .read = sign_read,
                .arg = &s,
        };

        assert(req && req->key_id && req->hash && sig);
        return call_sign(c, &s, &call, receipt, e);
}

int sidecar_client_sign_message(SidecarClient *c, const SignRequest *req, int fd, Buf *sig,
                                Receipt *receipt, Error *e) {
        Sign s = { .req = req, .fd = fd, .sig = sig };
        const SidecarCall call = {
                .method = "SignMessage",
                .repeatable = true,
                .fill = sign_message_fill,
                .read = sign_read,
                .arg = &s,
        };

        assert(req && req->key_id && req->hash == &hash_none && fd >= 0 && sig);
        return call_sign(c, &s, &call, receipt, e);
}

/* ---- Status, Reload ---- */

typedef struct Status {
        int (*f)(const char *name, const char *value, void *userdata);
        void *userdata;
        int stopped; /* by f */
} Status;

static int read_status(sd_bus_message *m, Status *s) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{ss}");
        if (r < 0)
                return r;

        while ((r = sd_bus_message_enter_container(m, 'e', "ss")) > 0) {
                const char *name, *value;

                r = sd_bus_message_read(m, "ss", &name, &value);
                if (r < 0)
                        return r;
                s->stopped = s->f(name, value, s->userdata);
                if (s->stopped < 0)
                        return 0;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r;
}

static int status_read(sd_bus_message *reply, void *arg, Error *e) {
        Status *s = arg;
        int r;

        r = read_status(reply, s);
        if (r < 0)
                return bad_answer(e, "Status", r);
        return s->stopped < 0 ? s->stopped : 0;
}

int sidecar_client_status(SidecarClient *c,
                          int (*f)(const char *name, const char *value, void *userdata),
                          void *userdata, Error *e) {
        Status s = { .f = f, .userdata = userdata };
        const SidecarCall call = {
                .method = "Status",
                .repeatable = true,
                .read = status_read,
                .arg = &s,
        };

        return sidecar_bus_call(c->bus, &call, e);
}

int sidecar_client_reload(SidecarClient *c, Error *e) {
        const SidecarCall call = { .method = "Reload" };

        return sidecar_bus_call(c->bus, &call, e);
}

/* ---- TestPolicy ---- */

typedef struct PolicyTest {
        const char *path, *scheme, *executable, *unit;
        uint32_t uid;
        bool allowed;
        char *rule;
} PolicyTest;

static int append_text_option(sd_bus_message *m, const char *name, const char *value) {
        return value ? sd_bus_message_append(m, "{sv}", name, "s", value) : 0;
}

static int policy_test_fill(sd_bus_message *m, void *arg) {
        const PolicyTest *t = arg;
        int r;

        r = sd_bus_message_append(m, "ss", t->path, t->scheme);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}", "uid", "u", t->uid);
        if (r >= 0)
                r = append_text_option(m, "executable", t->executable);
        if (r >= 0)
                r = append_text_option(m, "unit", t->unit);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int policy_test_read(sd_bus_message *reply, void *arg, Error *e) {
        PolicyTest *t = arg;
        const char *rule;
        int allowed, r;

        r = sd_bus_message_read(reply, "bs", &allowed, &rule);
        if (r < 0)
                return bad_answer(e, "TestPolicy", r);
        t->allowed = allowed;
        t->rule = strdup(rule);
        return t->rule ? 0 : -ENOMEM;
}

int sidecar_client_test_policy(SidecarClient *c, const char *path, const char *scheme, uid_t uid,
                               const char *executable, const char *unit, bool *ret_allowed,
                               char **ret_rule, Error *e) {
        PolicyTest t = {
                .path = path, .scheme = scheme, .executable = executable, .unit = unit, .uid = uid
        };
        const SidecarCall call = {
                .method = "TestPolicy",
                .repeatable = true,
                .fill = policy_test_fill,
                .read = policy_test_read,
                .arg = &t,
        };
        int r;

        r = sidecar_bus_call(c->bus, &call, e);
        if (r < 0)
                return r;
        *ret_allowed = t.allowed;
        *ret_rule = t.rule;
        return 0;
}

/* ---- History ---- */

#define HISTORY_PAGE 100

typedef struct History {
        uint64_t before; /* and then the next page's */
        uint32_t limit;
        int (*f)(const HistoryEntry *entry, void *userdata);
        void *userdata;
        unsigned left;
        int stopped; /* by f */
} History;

static int history_fill(sd_bus_message *m, void *arg) {
        const History *h = arg;

        return sd_bus_message_append(m, "tu", h->before, h->limit);
}

static int read_history_field(sd_bus_message *m, HistoryEntry *entry) {
        const struct {
                const char *name, *type;
                void *target;
        } fields[] = {
                { "number", "t", &entry->number },
                { "time", "t", &entry->time_usec },
                { "request-id", "s", &entry->request_id },
                { "record", "t", &entry->record },
                { "key", "s", &entry->key },
                { "version", "u", &entry->version },
                { "scheme", "s", &entry->scheme },
                { "hash", "s", &entry->hash },
                { "digest", "s", &entry->digest },
                { "signature-sha256", "s", &entry->signature_sha256 },
                { "uid", "u", &entry->uid },
                { "executable", "s", &entry->executable },
        };
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(fields); i++)
                if (strcmp(fields[i].name, name) == 0)
                        return sd_bus_message_read(m, "v", fields[i].type, fields[i].target);
        return r < 0 ? r : sd_bus_message_skip(m, "v"); /* a newer sidecar's */
}

static int read_history_entry(sd_bus_message *m, History *h) {
        HistoryEntry entry = { .request_id = "",
                               .key = "",
                               .scheme = "",
                               .hash = "",
                               .digest = "",
                               .signature_sha256 = "",
                               .executable = "" };
        int r;

        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = read_history_field(m, &entry);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r >= 0 && h->left > 0) {
                h->left--;
                h->stopped = h->f(&entry, h->userdata);
        }
        return r;
}

static int read_history(sd_bus_message *m, History *h) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "a{sv}");
        while (r >= 0 && h->stopped >= 0 &&
               (r = sd_bus_message_enter_container(m, 'a', "{sv}")) > 0) {
                r = read_history_entry(m, h);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        if (r < 0 || h->stopped < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        return r < 0 ? r : sd_bus_message_read(m, "t", &h->before);
}

static int history_read(sd_bus_message *reply, void *arg, Error *e) {
        History *h = arg;
        int r;

        r = read_history(reply, h);
        if (r < 0)
                return bad_answer(e, "History", r);
        return h->stopped < 0 ? h->stopped : 0;
}

int sidecar_client_history(SidecarClient *c, unsigned max,
                           int (*f)(const HistoryEntry *entry, void *userdata), void *userdata,
                           Error *e) {
        History h = { .limit = HISTORY_PAGE, .f = f, .userdata = userdata, .left = max };
        const SidecarCall call = {
                .method = "History",
                .repeatable = true,
                .fill = history_fill,
                .read = history_read,
                .arg = &h,
        };
        int r;

        do {
                r = sidecar_bus_call(c->bus, &call, e);
        } while (r >= 0 && h.before > 0 && h.left > 0);
        return r < 0 ? r : 0;
}
