/* SPDX-License-Identifier: Apache-2.0 */
/* Signing keys: seeing and making them. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/api-keys.h"
#include "service/api.h"
#include "service/ca/ca.h"
#include "service/ca/chain.h"
#include "service/ca/rows.h"
#include "service/clock.h"
#include "service/page.h"
#include "service/policy.h"

/* ---- showing ---- */

void certificates_write(JsonOut *o, const Buf *certificate, const Buf *chain) {
        const Buf *const parts[] = { certificate, chain };

        json_begin_array(o, "certificates");
        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                const uint8_t *p = parts[i]->data;
                size_t left = parts[i]->len;
                ssize_t n;

                for (; (n = der_length(p, left)) > 0; p += n, left -= (size_t) n)
                        json_out_base64(o, NULL, p, (size_t) n);
        }
        json_end_array(o);
}

static void write_time(JsonOut *o, const char *name, uint64_t usec) {
        char text[CLOCK_TEXT_MAX];

        if (usec)
                json_out_str(o, name, clock_text_seconds(usec, text));
}

void key_write(JsonOut *o, const Key *k) {
        char created[CLOCK_TEXT_MAX];

        json_begin_object(o, NULL);
        json_out_str(o, "id", k->id);
        json_out_str(o, "path", k->path);
        json_out_str(o, "tsg", k->tsg);
        json_out_str(o, "project", k->project[0] ? k->project : NULL);
        json_out_str(o, "name", k->name);
        json_out_str(o, "algorithm", k->alg->name);
        json_out_str(o, "state", key_state_name(k, clock_now()));
        json_out_u64(o, "version", k->version);
        json_out_u64(o, "primary_version", k->primary_version);
        json_out_str(o, "version_state", k->version_enabled ? "enabled" : "disabled");
        json_out_str(o, "version_created", clock_text_seconds(k->version_created, created));
        json_out_str(o, "created", clock_text_seconds(k->created, created));
        json_out_u64(o, "revision", k->revision);
        json_out_str(o, "description", buf_str(&k->description));
        write_time(o, "not_before", k->not_before);
        write_time(o, "not_after", k->not_after);
        write_time(o, "destroy_at", k->destroy_at);
        write_time(o, "destroyed", k->destroyed);
        json_out_raw(o, "labels", k->labels.len > 0 ? buf_str(&k->labels) : "{}");
        key_policy_write_schemes(o, "schemes", key_policy_schemes(&k->policy, k->made_schemes));
        key_policy_write(o, "policy", &k->policy, k->alg, k->made_schemes);
        json_out_base64(o, "public_key", k->spki.data, k->spki.len);
        certificates_write(o, &k->certificate, &k->chain);
        json_end_object(o);
}

int key_policy_text(Buf *ret, const Key *k) {
        JsonOut o = JSON_OUT(ret);

        key_policy_write(&o, NULL, &k->policy, k->alg, k->made_schemes);
        return o.r;
}

int key_reply(Request *req, const Key *k) {
        JsonOut o = JSON_OUT(&req->reply);

        key_write(&o, k);
        req->etag = k->revision;
        return o.r;
}

/* Another version of a key that the principal reaches, and so may know to have none such. */
static int at_version(Request *req, Key **k, uint32_t version, Error *e) {
        _cleanup_(key_unrefp) Key *primary = TAKE(*k);
        int r;

        r = key_by_id(&req->service->keys, primary->id, version, k, e);
        if (r >= 0 && !*k)
                r = error_set(e, -CSIGN_E_KEY_NOT_FOUND, "key '%s' has no version %u",
                              primary->path, version);
        return r;
}

int key_find(Request *req, uint32_t version, Key **ret, Error *e) {
        _cleanup_(key_unrefp) Key *k = NULL;
        int r;

        r = key_by_id(&req->service->keys, req->params[0], 0, &k, e);
        if (r >= 0)
                r = policy_check_key(req->principal, k, NULL, e);
        if (r >= 0 && version != 0)
                r = at_version(req, &k, version, e);
        if (r < 0)
                return r;
        *ret = TAKE(k);
        return 0;
}

int key_check_alive(const Key *k, Error *e) {
        if (k->state == KEY_ENABLED || k->state == KEY_DISABLED)
                return 0;
        return error_set_rule(e, -CSIGN_E_KEY_DESTROYED, "key-state",
                              "key '%s' is %s: it cannot be changed", k->path,
                              key_state_name(k, clock_now()));
}

int key_find_to_change(Request *req, uint32_t version, Key **ret, Error *e) {
        _cleanup_(key_unrefp) Key *k = NULL;
        int r;

        r = key_find(req, version, &k, e);
        if (r >= 0)
                r = policy_check_on(req->principal, RIGHT_WRITE(KEYS), &k->above, e);
        if (r >= 0)
                r = key_check_alive(k, e);
        if (r < 0)
                return r;
        *ret = TAKE(k);
        return 0;
}

int api_key_get(Request *req, Error *e) {
        _cleanup_(key_unrefp) Key *k = NULL;
        uint64_t version;
        int r;

        r = request_number(req, "version", UINT32_MAX, &version, e);
        if (r >= 0)
                r = key_find(req, (uint32_t) version, &k, e);
        return r < 0 ? r : key_reply(req, k);
}

int api_key_resolve(Request *req, Error *e) {
        _cleanup_(key_unrefp) Key *k = NULL;
        char path[PATH_MAX_LEN];
        uint64_t version;
        int r;

        if (!form_get(&req->query, "path"))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'path' is missing");
        r = request_path(req, "path", path, e);
        if (r >= 0)
                r = request_number(req, "version", UINT32_MAX, &version, e);
        if (r >= 0)
                r = key_by_path(&req->service->keys, path, 0, &k, e);
        if (r >= 0)
                r = policy_check_key(req->principal, k, path, e);
        if (r >= 0 && version != 0)
                r = at_version(req, &k, (uint32_t) version, e);
        return r < 0 ? r : key_reply(req, k);
}

typedef struct KeyListing {
        Page page;
        unsigned rows;
        char seen[PATH_MAX_LEN]; /* the last one */
} KeyListing;

static int list_key(const Key *k, void *userdata) {
        KeyListing *l = userdata;

        l->rows++;
        snprintf(l->seen, sizeof(l->seen), "%s", k->path);
        if (policy_check_key(l->page.principal, k, NULL, NULL) < 0 || !page_take(&l->page, k->path))
                return 0;
        key_write(&l->page.o, k);
        return l->page.o.r;
}

/* Until the page is full: some of what is read may be hidden. */
static int list_below(Request *req, KeyListing *l, const Root *root, const KeyFilter *f, Error *e) {
        const char *after = l->page.after;
        unsigned want;
        int r;

        do {
                want = l->page.left + 1;
                l->rows = 0;
                r = key_list(req->service->db, root, f, after, want, list_key, l, e);
                after = l->seen;
        } while (r >= 0 && !l->page.more && l->rows == want);
        return r;
}

/* ?state= and ?label=name:value. */
static int read_filter(Request *req, KeyFilter *f, char label[static NAME_MAX_LEN + 1], Error *e) {
        const char *text = form_get(&req->query, "label");
        const char *colon = text ? strchr(text, ':') : NULL;

        f->state = form_get(&req->query, "state");
        if (f->state && !key_state_is_known(f->state))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'state' is enabled, disabled, expired, pending-destruction or "
                                 "destroyed");
        if (!text)
                return 0;
        if (f->state)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "one of 'label' and 'state', not both");
        if (!colon || colon - text > NAME_MAX_LEN)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'label' has the form name:value");
        snprintf(label, NAME_MAX_LEN + 1, "%.*s", (int) (colon - text), text);
        f->label = label;
        f->label_value = colon + 1;
        return 0;
}

int api_key_list(Request *req, Error *e) {
        const Principal *p = req->principal;
        Right right = p->may_sign ? RIGHT_SIGN : RIGHT_VIEW(KEYS);
        char prefix[PATH_MAX_LEN], label[NAME_MAX_LEN + 1];
        KeyFilter f = { .prefix = prefix };
        KeyListing l = {};
        const Root *root;
        int r;

        if (policy_check_right(p, RIGHT_VIEW(KEYS), NULL) < 0)
                f.signer = p->id;

        r = request_path(req, "prefix", prefix, e);
        if (r >= 0)
                r = read_filter(req, &f, label, e);
        if (r >= 0)
                r = page_begin(&l.page, req, "keys", e);
        while (r >= 0 && (root = page_root(&l.page, right)))
                r = list_below(req, &l, root, &f, e);
        return r < 0 ? r : page_end(&l.page);
}

/* ---- making ---- */

int json_field_time(const json_t *v, const char *name, void *target, Error *e) {
        if (!json_is_string(v) || clock_parse(json_string_value(v), target) < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'%s' is no time as in 2027-01-31T12:00:00Z (RFC 3339)", name);
        return 0;
}

typedef struct NewKey {
        /* as asked */
        const char *path, *algorithm, *description, *certificate, *subject, *project;
        const Principal *maker;
        uint32_t days;
        uint64_t not_before, not_after;
        const json_t *labels, *policy;

        Key *key;
        bool certified;
        Certificate cert;
} NewKey;

static void new_key_done(NewKey *n) {
        key_unref(n->key);
        certificate_done(&n->cert);
}

/* What a new key is sealed with is the policy's; it can be loosened no more. */
static int fill_life(NewKey *n, Error *e) {
        Key *k = n->key;
        char *labels;
        int r = 0;

        k->not_before = n->not_before;
        k->not_after = n->not_after;
        if (n->policy)
                r = key_policy_read(&k->policy, n->policy, k->alg, k->alg->schemes, e);
        if (r < 0)
                return r;
        k->made_schemes = key_policy_schemes(&k->policy, k->alg->schemes);
        if (!n->labels)
                return 0;
        labels = json_dumps(n->labels, JSON_COMPACT | JSON_SORT_KEYS);
        r = labels ? buf_append_str(&k->labels, labels) : -ENOMEM;
        free(labels);
        return r;
}

static int read_new_key(Request *req, NewKey *n, json_t **root, Error *e) {
        static const JsonField fields[] = {
                { "path", json_field_string, offsetof(NewKey, path), JSON_REQUIRED },
                { "algorithm", json_field_string, offsetof(NewKey, algorithm), JSON_REQUIRED },
                { "description", json_field_string, offsetof(NewKey, description) },
                { "certificate", json_field_string, offsetof(NewKey, certificate) },
                { "subject", json_field_string, offsetof(NewKey, subject) },
                { "validity_days", json_field_positive, offsetof(NewKey, days) },
                { "not_before", json_field_time, offsetof(NewKey, not_before) },
                { "not_after", json_field_time, offsetof(NewKey, not_after) },
                { "labels", json_field_object, offsetof(NewKey, labels) },
                { "policy", json_field_object, offsetof(NewKey, policy) },
                { "project", json_field_string, offsetof(NewKey, project) },
        };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), n, root, e);
        if (r < 0)
                return r;
        r = key_check_fields(n->description, n->not_before, n->not_after, e);
        if (r >= 0 && n->labels)
                r = key_labels_check(n->labels, false, e);
        if (r < 0)
                return r;
        if (n->certificate && strcmp(n->certificate, "none") != 0 &&
            strcmp(n->certificate, "builtin") != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'certificate' is none or builtin, not '%.32s'", n->certificate);
        n->certified = !n->certificate || strcmp(n->certificate, "builtin") == 0;
        if (!n->certified && (n->subject || n->days))
                return error_set(
                        e, -CSIGN_E_BAD_REQUEST,
                        "'subject' and 'validity_days' are of a certificate, and there is none");
        return 0;
}

int key_check_fields(const char *description, uint64_t not_before, uint64_t not_after, Error *e) {
        if (description && strlen(description) > KEY_DESCRIPTION_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'description' is longer than %d bytes",
                                 KEY_DESCRIPTION_MAX);
        if (not_after && not_after <= not_before)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'not_after' is not after 'not_before'");
        return 0;
}

static int check_algorithm(NewKey *n, Error *e) {
        char names[256] = "";

        n->key->alg = key_alg_by_name(n->algorithm);
        if (n->key->alg)
                return 0;
        for (size_t i = 0; key_alg_at(i); i++)
                snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s",
                         i ? ", " : "", key_alg_at(i)->name);
        return error_set(e, -CSIGN_E_BAD_REQUEST, "'%.32s' is not an algorithm: there are %s",
                         n->algorithm, names);
}

/* Name, place and algorithm; that the name is free is checked for good when the row is written. */
static int place_key(Request *req, NewKey *n, Error *e) {
        _cleanup_(key_unrefp) Key *taken = NULL;
        char tsg_path[PATH_MAX_LEN];
        Key *k = n->key;
        Tsg tsg;
        int r;

        r = path_normalize(n->path, k->path, e);
        if (r >= 0)
                r = path_split(k->path, tsg_path, k->name, e);
        if (r >= 0)
                r = check_algorithm(n, e);
        if (r < 0)
                return r;

        r = request_tsg(req, RIGHT_WRITE(KEYS), tsg_path, &tsg, e);
        if (r >= 0)
                r = key_by_path(&req->service->keys, k->path, 0, &taken, e);
        if (r >= 0 && taken)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "there is a key '%s' already",
                                 k->path);
        if (r < 0)
                return r;

        snprintf(k->tsg, sizeof(k->tsg), "%s", tsg.id);
        snprintf(k->project, sizeof(k->project), "%.39s", n->project ?: "");
        n->maker = req->principal;
        k->version = k->primary_version = 1;
        k->revision = 1;
        k->state = KEY_ENABLED;
        k->version_enabled = true;
        k->created = k->version_created = clock_now();
        return id_new(k->id, "key");
}

static int copy(Buf *to, const Buf *from) {
        return buf_append(to, from->data, from->len);
}

const char *key_common_name(const Key *k) {
        return strlen(k->path) <= COMMON_NAME_MAX ? k->path : k->name;
}

unsigned certificate_days(const Request *req, unsigned asked) {
        unsigned max = req->service->config.certificate_days;

        return asked ? asked : max < CERT_DAYS_DEFAULT ? max : CERT_DAYS_DEFAULT;
}

int key_certify(Request *req, Key *k, const char *subject, unsigned days, Certificate *cert,
                Error *e) {
        const Service *s = req->service;
        _cleanup_(authority_done) Authority authority = {};
        CertRequest cr = {
                .profile = CERT_CODE_SIGNING,
                .common_name = subject ? subject : key_common_name(k),
                .spki = &k->spki,
                .days = days,
                .days_max = s->config.certificate_days,
                .path = k->path,
                .base_url = s->config.public_url,
        };
        int r;

        r = authority_above(s->db, k->tsg, &authority, e);
        if (r >= 0)
                r = ca_issue(s->keystore, &authority, &cr, cert, e);
        if (r >= 0)
                r = copy(&k->certificate, &cert->der);
        if (r >= 0)
                r = authority_chain(s->db, &authority, &k->chain, e);
        return r;
}

static int insert_key(DbConn *c, void *userdata, Error *e) {
        const NewKey *n = userdata;
        int r;

        r = key_check_project(c, n->maker, n->key->tsg, "", n->key->project, e);
        if (r >= 0)
                r = key_insert(c, n->key, e);
        if (r >= 0)
                r = key_set_project(c, n->key->id, n->key->project, e);
        if (r >= 0 && n->labels)
                r = key_label(c, n->key->path, n->labels, e);
        if (r >= 0 && n->certified)
                r = certificate_insert(c, &n->cert, n->key->id, n->key->version, e);
        return r;
}

static int commit_key(Request *req, NewKey *n, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "key.create");
        _cleanup_(buf_done) Buf policy = {};
        const Key *k = n->key;
        int r;

        event.key_id = k->id;
        r = key_policy_text(&policy, k);
        if (r >= 0)
                r = audit_entry_change(&rec, &event, "key", k->id, "path", k->path, "tsg", k->tsg,
                                       "algorithm", k->alg->name, "certificate_serial",
                                       n->certified ? n->cert.serial : NULL, "policy",
                                       buf_str(&policy), "project", n->project, NULL);
        return r < 0 ? r : request_commit(req, insert_key, n, &rec, e);
}

static int make_key(Request *req, NewKey *n, Error *e) {
        Key *k = n->key = key_new();
        int r;

        if (!k)
                return -ENOMEM;
        r = buf_append_str(&k->description, n->description ?: "");
        if (r >= 0)
                r = place_key(req, n, e);
        if (r >= 0)
                r = fill_life(n, e);
        if (r >= 0 && n->certified)
                r = sign_check_library(k->alg, NULL, e);
        if (r >= 0)
                r = keystore_generate(req->service->keystore, k->id, k->version, k->alg,
                                      k->made_schemes, KEY_USAGE_SIGN, &k->spki, &k->sealed, e);
        if (r >= 0 && n->certified)
                r = key_certify(req, k, n->subject, certificate_days(req, n->days), &n->cert, e);
        if (r >= 0)
                r = key_reply(req, k);
        if (r < 0)
                return r;
        req->status = 201;
        return commit_key(req, n, e);
}

int api_key_create(Request *req, Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(new_key_done) NewKey n = {};
        int r;

        r = read_new_key(req, &n, &root, e);
        return r < 0 ? r : make_key(req, &n, e);
}
