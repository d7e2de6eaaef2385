/* SPDX-License-Identifier: Apache-2.0 */
/* A key's destruction: asked for, and taken back.  service/destroyer.c carries out what is due. */

#include <stdio.h>
#include <string.h>

#include "service/api-keys.h"
#include "service/api.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/revision.h"

#define DAYS_MIN     7
#define DAYS_MAX     30
#define DAYS_DEFAULT 30

typedef struct Destruction {
        uint32_t days; /* as asked */
        const Key *key;
        uint64_t when, if_match;
} Destruction;

static int apply_destruction(DbConn *c, void *userdata, Error *e) {
        const Destruction *d = userdata;
        int r;

        r = revision_bump(c, SQL_KEY_TOUCH, "key", d->key->id, d->if_match, e);
        if (r < 0)
                return r;
        r = key_destroy_at(c, d->key->id, d->when, e);
        if (r == 0)
                return error_set_rule(e, -CSIGN_E_KEY_DESTROYED, "key-state",
                                      "key '%s' is to be destroyed already", d->key->path);
        return r;
}

/* The answer is made of what will be there, so that it can be kept. */
static int reply_destruction(Request *req, Key *k, uint64_t when) {
        Key shown = *k;

        shown.state = KEY_PENDING_DESTRUCTION;
        shown.destroy_at = when;
        shown.revision++;
        return key_reply(req, &shown);
}

int api_destruction_create(Request *req, Error *e) {
        static const JsonField fields[] = {
                { "days", json_field_u32, offsetof(Destruction, days) },
        };
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "key.destruction");
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(key_unrefp) Key *k = NULL;
        Destruction d = { .days = DAYS_DEFAULT, .if_match = req->if_match };
        char when[CLOCK_TEXT_MAX];
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), &d, &root, e);
        if (r >= 0 && (d.days < DAYS_MIN || d.days > DAYS_MAX))
                r = error_set(e, -CSIGN_E_BAD_REQUEST, "'days' is %d to %d", DAYS_MIN, DAYS_MAX);
        if (r >= 0)
                r = key_find_to_change(req, 0, &k, e);
        if (r < 0)
                return r;

        d.key = k;
        d.when = clock_now() + d.days * USEC_PER_DAY;
        event.key_id = k->id;
        req->status = 201;
        r = reply_destruction(req, k, d.when);
        if (r >= 0)
                r = audit_entry_change(&rec, &event, "key", k->id, "path", k->path, "tsg", k->tsg,
                                       "state", "pending-destruction", "state_before",
                                       k->state == KEY_ENABLED ? "enabled" : "disabled",
                                       "destroy_at", clock_text_seconds(d.when, when), NULL);
        return r < 0 ? r : request_commit(req, apply_destruction, &d, &rec, e);
}

static int apply_cancel(DbConn *c, void *userdata, Error *e) {
        const Destruction *d = userdata;
        const Key *k = d->key;
        int r;

        r = revision_bump(c, SQL_KEY_TOUCH, "key", k->id, d->if_match, e);
        if (r < 0)
                return r;
        r = key_keep(c, k->id, e);
        if (r == 0)
                return error_set_rule(e, -CSIGN_E_NOT_FOUND, "key-state",
                                      "no destruction of key '%s' is pending", k->path);
        return r;
}

int api_destruction_cancel(Request *req, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "key.destruction.cancel");
        _cleanup_(key_unrefp) Key *k = NULL, *after = NULL;
        Destruction d = { .if_match = req->if_match };
        int r;

        r = key_find(req, 0, &k, e);
        if (r >= 0)
                r = request_allow(req, RIGHT_WRITE(KEYS), k->tsg, e);
        if (r < 0)
                return r;
        d.key = k;
        event.key_id = k->id;
        r = audit_entry_change(&rec, &event, "key", k->id, "path", k->path, "tsg", k->tsg, "state",
                               "disabled", "state_before", "pending-destruction", NULL);
        if (r >= 0)
                r = request_commit(req, apply_cancel, &d, &rec, e);
        if (r >= 0)
                r = key_find(req, 0, &after, e);
        return r < 0 ? r : key_reply(req, after);
}
