/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of a key: seeing them, making the next one (rotation), enabling and disabling them.
 *
 * The newest version is the primary, which the key's path means.  The older ones sign for whoever
 * names them or loaded them before, until they are disabled. */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/api-keys.h"
#include "service/api.h"
#include "service/ca/rows.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/revision.h"

#define VERSION_TEXT_MAX 16

static const char *version_text(uint32_t version, char buf[static VERSION_TEXT_MAX]) {
        snprintf(buf, VERSION_TEXT_MAX, "%u", version);
        return buf;
}

/* ---- showing ---- */

typedef struct Listing {
        JsonOut o;
        unsigned left;
        uint32_t last;
        bool more;
} Listing;

static int list_version(const Key *k, void *userdata) {
        Listing *l = userdata;

        if (l->left == 0) {
                l->more = true;
                return 0;
        }
        l->left--;
        l->last = k->version;
        key_write(&l->o, k);
        return l->o.r;
}

/* The version that the page before ended with. */
static int read_cursor(const Request *req, uint32_t *ret, Error *e) {
        const char *text = form_get(&req->query, "cursor");
        uint64_t v = 0;
        int r;

        r = text && text[0] ? request_number(req, "cursor", UINT32_MAX, &v, e) : 0;
        if (r < 0)
                return r;
        *ret = v ? (uint32_t) v : UINT32_MAX;
        return 0;
}

int api_version_list(Request *req, Error *e) {
        Listing l = { .o = JSON_OUT(&req->reply) };
        _cleanup_(key_unrefp) Key *k = NULL;
        char cursor[VERSION_TEXT_MAX];
        uint32_t before;
        int r;

        r = request_limit(req, &l.left, e);
        if (r >= 0)
                r = read_cursor(req, &before, e);
        if (r >= 0)
                r = key_find(req, 0, &k, e);
        if (r < 0)
                return r;

        json_begin_object(&l.o, NULL);
        json_begin_array(&l.o, "versions");
        r = key_versions(req->service->db, k->id, before, l.left + 1, list_version, &l, e);
        if (r < 0)
                return r;
        json_end_array(&l.o);
        json_out_str(&l.o, "next_cursor", l.more ? version_text(l.last, cursor) : "");
        json_end_object(&l.o);
        return l.o.r;
}

/* ---- making ---- */

typedef struct Rotation {
        /* as asked */
        const char *certificate, *subject;
        uint32_t days;

        uint64_t if_match;
        Key *from, *to;
        bool certified;
        char common_name[COMMON_NAME_MAX + 1]; /* of the certificate before, or "" */
        Certificate cert;
} Rotation;

static void rotation_done(Rotation *n) {
        key_unref(n->from);
        key_unref(n->to);
        certificate_done(&n->cert);
}

static int read_rotation(Request *req, Rotation *n, json_t **root, Error *e) {
        static const JsonField fields[] = {
                { "certificate", json_field_string, offsetof(Rotation, certificate) },
                { "subject", json_field_string, offsetof(Rotation, subject) },
                { "validity_days", json_field_positive, offsetof(Rotation, days) },
        };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), n, root, e);
        if (r >= 0 && n->certificate && strcmp(n->certificate, "none") != 0 &&
            strcmp(n->certificate, "builtin") != 0)
                r = error_set(e, -CSIGN_E_BAD_REQUEST,
                              "'certificate' is none or builtin, not '%.32s'", n->certificate);
        return r;
}

/* What is not asked for is as with the version before. */
static int fill_terms(Rotation *n, Error *e) {
        const Key *k = n->from;
        unsigned days = 0;
        int r;

        n->certified =
                n->certificate ? strcmp(n->certificate, "builtin") == 0 : k->certificate.len > 0;
        if (!n->certified && (n->subject || n->days))
                return error_set(
                        e, -CSIGN_E_BAD_REQUEST,
                        "'subject' and 'validity_days' are of a certificate, and there is none");

        if (k->certificate.len > 0) {
                r = certificate_terms(&k->certificate, n->common_name, &days, e);
                if (r < 0)
                        return r;
        }
        if (!n->subject && n->common_name[0])
                n->subject = n->common_name;
        if (n->days == 0)
                n->days = days;
        return 0;
}

static int name_next(Rotation *n) {
        const Key *from = n->from;
        Key *to = n->to = key_new();

        if (!to)
                return -ENOMEM;
        memcpy(to->id, from->id, sizeof(to->id));
        memcpy(to->tsg, from->tsg, sizeof(to->tsg));
        memcpy(to->name, from->name, sizeof(to->name));
        memcpy(to->path, from->path, sizeof(to->path));
        to->alg = from->alg;
        to->state = from->state;
        to->version_enabled = true;
        to->version = to->primary_version = from->primary_version + 1;
        to->created = from->created;
        to->version_created = clock_now();
        to->revision = from->revision + 1;
        to->not_before = from->not_before;
        to->not_after = from->not_after;
        to->made_schemes = from->made_schemes;
        to->policy = from->policy;
        return buf_append(&to->description, from->description.data, from->description.len) < 0 ||
                               buf_append(&to->labels, from->labels.data, from->labels.len) < 0
                       ? -ENOMEM
                       : 0;
}

static int make_next(Request *req, Rotation *n, Error *e) {
        Key *to;
        int r;

        r = name_next(n);
        if (r < 0)
                return r;
        to = n->to;
        r = keystore_generate(req->service->keystore, to->id, to->version, to->alg,
                              to->made_schemes, KEY_USAGE_SIGN, &to->spki, &to->sealed, e);
        if (r >= 0 && n->certified)
                r = key_certify(req, to, n->subject, certificate_days(req, n->days), &n->cert, e);
        return r;
}

static int apply_rotation(DbConn *c, void *userdata, Error *e) {
        const Rotation *n = userdata;
        int r;

        r = revision_bump(c, SQL_KEY_TOUCH, "key", n->to->id, n->if_match, e);
        if (r >= 0)
                r = key_add_version(c, n->to, e);
        if (r >= 0 && n->certified)
                r = certificate_insert(c, &n->cert, n->to->id, n->to->version, e);
        return r;
}

static int commit_rotation(Request *req, Rotation *n, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "key.rotate");
        char from[VERSION_TEXT_MAX], to[VERSION_TEXT_MAX];
        int r;

        event.key_id = n->to->id;
        r = audit_entry_change(&rec, &event, "key", n->to->id, "path", n->to->path, "tsg",
                               n->to->tsg, "from_version", version_text(n->from->version, from),
                               "to_version", version_text(n->to->version, to), "certificate_serial",
                               n->certified ? n->cert.serial : NULL, NULL);
        return r < 0 ? r : request_commit(req, apply_rotation, n, &rec, e);
}

int api_version_create(Request *req, Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(rotation_done) Rotation n = { .if_match = req->if_match };
        int r;

        r = read_rotation(req, &n, &root, e);
        if (r >= 0)
                r = key_find_to_change(req, 0, &n.from, e);
        if (r >= 0)
                r = fill_terms(&n, e);
        if (r >= 0)
                r = make_next(req, &n, e);
        if (r >= 0)
                r = key_reply(req, n.to);
        if (r < 0)
                return r;
        req->status = 201;
        return commit_rotation(req, &n, e);
}

/* ---- changing ---- */

typedef struct VersionChange {
        const char *id;
        uint64_t if_match;
        uint32_t version;
        const char *state;
} VersionChange;

int key_version_param(const Request *req, uint32_t *ret, Error *e) {
        const char *text = req->params[1];
        unsigned long long v;
        char *end;

        errno = 0;
        v = isdigit((unsigned char) text[0]) ? strtoull(text, &end, 10) : 0;
        if (v == 0 || *end != '\0' || errno != 0 || v > UINT32_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is not a version, from 1", text);
        *ret = (uint32_t) v;
        return 0;
}

static int apply_change(DbConn *c, void *userdata, Error *e) {
        const VersionChange *change = userdata;

        int r;

        r = revision_bump(c, SQL_KEY_TOUCH, "key", change->id, change->if_match, e);
        if (r < 0)
                return r;
        return key_version_set_enabled(c, change->id, change->version,
                                       strcmp(change->state, "enabled") == 0, e);
}

static int commit_change(Request *req, const Key *k, VersionChange *change, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "key.change");
        char version[VERSION_TEXT_MAX];
        int r;

        event.key_id = k->id;
        r = audit_entry_change(&rec, &event, "key", k->id, "path", k->path, "tsg", k->tsg,
                               "version", version_text(k->version, version), "state", change->state,
                               "state_before", k->version_enabled ? "enabled" : "disabled", NULL);
        return r < 0 ? r : request_commit(req, apply_change, change, &rec, e);
}

int api_version_change(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "state", json_field_string, offsetof(VersionChange, state), JSON_REQUIRED },
        };
        _cleanup_(key_unrefp) Key *before = NULL, *after = NULL;
        _cleanup_(json_decrefp) json_t *root = NULL;
        VersionChange change = { .id = req->params[0], .if_match = req->if_match };
        int r;

        r = key_version_param(req, &change.version, e);
        if (r >= 0)
                r = request_body(req, fields, ELEMENTSOF(fields), &change, &root, e);
        if (r >= 0 && strcmp(change.state, "enabled") != 0 && strcmp(change.state, "disabled") != 0)
                r = error_set(e, -CSIGN_E_BAD_REQUEST, "'state' is enabled or disabled");
        if (r >= 0)
                r = key_find_to_change(req, change.version, &before, e);
        if (r >= 0)
                r = commit_change(req, before, &change, e);
        if (r >= 0)
                r = key_find(req, change.version, &after, e);
        return r < 0 ? r : key_reply(req, after);
}
