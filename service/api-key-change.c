/* SPDX-License-Identifier: Apache-2.0 */
/* Changing a key: its state, words, validity, policy and place.
 *
 * What is not named stays.  The change is made of the row as it is in the transaction, and the
 * record is written there too: with what was before, whoever else changes the key at the same time.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "service/api-keys.h"
#include "service/api.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/revision.h"

typedef struct KeyChange {
        /* as asked; NULL: stays */
        const char *state, *description, *path;
        const json_t *labels, *policy, *not_before, *not_after, *project;

        const char *id;
        uint64_t if_match;
        bool moves; /* to tsg, as name */
        Tsg tsg;
        char name[NAME_MAX_LEN + 1];
        ChangeEvent event;
        AuditRecord *rec;
} KeyChange;

/* ---- reading ---- */

static int field_value(const json_t *v, const char *name, void *target, Error *e) {
        *(const json_t **) target = v;
        return 0;
}

static int read_change(Request *req, KeyChange *ch, json_t **root, Error *e) {
        static const JsonField fields[] = {
                { "state", json_field_string, offsetof(KeyChange, state) },
                { "description", json_field_string, offsetof(KeyChange, description) },
                { "path", json_field_string, offsetof(KeyChange, path) },
                { "labels", json_field_object, offsetof(KeyChange, labels) },
                { "policy", json_field_object, offsetof(KeyChange, policy) },
                { "not_before", field_value, offsetof(KeyChange, not_before) },
                { "not_after", field_value, offsetof(KeyChange, not_after) },
                { "project", field_value, offsetof(KeyChange, project) },
        };
        int r;

        r = request_body(req, fields, ELEMENTSOF(fields), ch, root, e);
        if (r >= 0 && json_object_size(*root) == 0)
                r = error_set(e, -CSIGN_E_BAD_REQUEST, "there is nothing to change");
        if (r >= 0 && ch->state && strcmp(ch->state, "enabled") != 0 &&
            strcmp(ch->state, "disabled") != 0)
                r = error_set(e, -CSIGN_E_BAD_REQUEST, "'state' is enabled or disabled");
        if (r >= 0 && ch->labels)
                r = key_labels_check(ch->labels, true, e);
        if (r >= 0 && ch->project && !json_is_null(ch->project) && !json_is_string(ch->project))
                r = error_set(e, -CSIGN_E_BAD_REQUEST, "'project' is a project's id, or null");
        return r;
}

/* Whoever moves a key may change keys at both ends. */
static int read_place(Request *req, KeyChange *ch, const Key *k, Error *e) {
        char path[PATH_MAX_LEN], tsg_path[PATH_MAX_LEN];
        int r;

        r = path_normalize(ch->path, path, e);
        if (r >= 0)
                r = path_split(path, tsg_path, ch->name, e);
        if (r >= 0)
                r = request_tsg(req, RIGHT_WRITE(KEYS), tsg_path, &ch->tsg, e);
        if (r < 0)
                return r;
        ch->moves = strcmp(path, k->path) != 0;
        return 0;
}

/* ---- in the transaction ---- */

/* null takes it away. */
static int merge_time(const json_t *v, const char *name, uint64_t *time, Error *e) {
        if (!v)
                return 0;
        if (json_is_null(v)) {
                *time = 0;
                return 0;
        }
        return json_field_time(v, name, time, e);
}

static int merge(const KeyChange *ch, Key *k, Error *e) {
        int r;

        if (ch->state)
                k->state = strcmp(ch->state, "enabled") == 0 ? KEY_ENABLED : KEY_DISABLED;
        if (ch->description) {
                buf_clear(&k->description);
                if (buf_append_str(&k->description, ch->description) < 0)
                        return -ENOMEM;
        }
        r = merge_time(ch->not_before, "not_before", &k->not_before, e);
        if (r >= 0)
                r = merge_time(ch->not_after, "not_after", &k->not_after, e);
        if (r >= 0)
                r = key_check_fields(ch->description, k->not_before, k->not_after, e);
        if (r >= 0 && ch->policy)
                r = key_policy_read(&k->policy, ch->policy, k->alg, k->made_schemes, e);
        return r;
}

/* The texts of one key that a record may have. */
typedef struct Words {
        char not_before[CLOCK_TEXT_MAX], not_after[CLOCK_TEXT_MAX];
        Buf policy;
        const char *state, *description, *path, *tsg, *labels, *project;
} Words;

static const char *time_words(uint64_t usec, char buf[static CLOCK_TEXT_MAX]) {
        return usec ? clock_text_seconds(usec, buf) : strcpy(buf, "none");
}

static int describe(const Key *k, Words *w) {
        time_words(k->not_before, w->not_before);
        time_words(k->not_after, w->not_after);
        w->state = k->state == KEY_ENABLED ? "enabled" : "disabled";
        w->description = buf_str(&k->description);
        w->path = k->path;
        w->tsg = k->tsg;
        w->labels = buf_str(&k->labels);
        w->project = k->project[0] ? k->project : "none";
        return key_policy_text(&w->policy, k);
}

/* What changed, after and before. */
#define CHANGED(name, a, b)                                                                        \
        (name), strcmp((a), (b)) != 0 ? (a) : NULL, name "_before",                                \
                strcmp((a), (b)) != 0 ? (b) : NULL

static int write_record(KeyChange *ch, const Words *to, const Words *from) {
        ch->event.key_id = ch->id;
        return audit_entry_change(
                ch->rec, &ch->event, "key", ch->id, "path", to->path, "tsg", to->tsg, "path_before",
                strcmp(to->path, from->path) != 0 ? from->path : NULL,
                CHANGED("state", to->state, from->state),
                CHANGED("description", to->description, from->description),
                CHANGED("not_before", to->not_before, from->not_before),
                CHANGED("not_after", to->not_after, from->not_after),
                CHANGED("labels", to->labels, from->labels),
                CHANGED("project", to->project, from->project),
                CHANGED("policy", buf_str(&to->policy), buf_str(&from->policy)), NULL);
}

static int record_change(KeyChange *ch, const Key *before, const Key *after) {
        Words from = {}, to = {};
        int r;

        r = describe(before, &from);
        if (r >= 0)
                r = describe(after, &to);
        if (r >= 0)
                r = write_record(ch, &to, &from);
        buf_done(&from.policy);
        buf_done(&to.policy);
        return r;
}

/* Its own, as it is moved, or another. */
static int change_project(DbConn *c, const KeyChange *ch, const Key *k, Error *e) {
        const char *to = ch->project ? json_string_value(ch->project) ?: "" : k->project;
        int r;

        r = key_check_project(c, ch->event.principal, ch->moves ? ch->tsg.id : k->tsg, k->project,
                              to, e);
        return r < 0 ? r : key_set_project(c, k->id, to, e);
}

static int write_change(DbConn *c, KeyChange *ch, Key *k, Error *e) {
        int r;

        r = revision_bump(c, SQL_KEY_TOUCH, "key", k->id, ch->if_match, e);
        if (r >= 0)
                r = merge(ch, k, e);
        if (r >= 0)
                r = key_update(c, k, e);
        if (r >= 0 && ch->labels)
                r = key_label(c, k->path, ch->labels, e);
        if (r >= 0 && ch->moves)
                r = key_move(c, k->id, ch->tsg.id, ch->name, e);
        if (r >= 0 && (ch->moves || ch->project))
                r = change_project(c, ch, k, e);
        return r;
}

static int apply_change(DbConn *c, void *userdata, Error *e) {
        _cleanup_(key_unrefp) Key *before = NULL, *k = NULL, *after = NULL;
        KeyChange *ch = userdata;
        int r;

        r = key_read(c, ch->id, &before, e);
        if (r >= 0)
                r = key_read(c, ch->id, &k, e);
        if (r >= 0 && (!before || !k))
                r = error_set(e, -CSIGN_E_KEY_NOT_FOUND, "there is no key %s any more", ch->id);
        if (r >= 0)
                r = write_change(c, ch, k, e);
        if (r >= 0)
                r = key_read(c, ch->id, &after, e);
        return r < 0 ? r : record_change(ch, before, after);
}

int api_key_change(Request *req, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        _cleanup_(key_unrefp) Key *before = NULL, *after = NULL;
        _cleanup_(json_decrefp) json_t *root = NULL;
        KeyChange ch = { .id = req->params[0], .if_match = req->if_match, .rec = &rec };
        int r;

        ch.event = request_event(req, "key.change");
        r = read_change(req, &ch, &root, e);
        if (r >= 0)
                r = key_find_to_change(req, 0, &before, e);
        if (r >= 0 && ch.path)
                r = read_place(req, &ch, before, e);
        if (r >= 0)
                r = request_commit(req, apply_change, &ch, &rec, e);
        if (r >= 0)
                r = key_find(req, 0, &after, e);
        return r < 0 ? r : key_reply(req, after);
}
