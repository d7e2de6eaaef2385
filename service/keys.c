/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of keys, and the cache of them. */

#include "service/keys.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/clock.h"
#include "service/db/queries.h"
#include "service/metrics.h"

static void key_free(CacheObject *o) {
        Key *k = container_of(o, Key, object);

        buf_done(&k->description);
        buf_done(&k->spki);
        buf_done(&k->sealed);
        buf_done(&k->certificate);
        buf_done(&k->chain);
        buf_done(&k->labels);
        free(k);
}

Key *key_new(void) {
        Key *k = calloc(1, sizeof(*k));

        if (k)
                cache_object_init(&k->object, key_free);
        return k;
}

/* ---- states ---- */

/* As the database has them. */
static const char *const state_names[] = {
        [KEY_DISABLED] = "disabled",
        [KEY_ENABLED] = "enabled",
        [KEY_PENDING_DESTRUCTION] = "pending-destruction",
        [KEY_DESTROYED] = "destroyed",
};

static const char expired[] = "expired";

const char *key_state_name(const Key *k, uint64_t now) {
        if (k->state == KEY_ENABLED && k->not_after && now >= k->not_after)
                return expired;
        return state_names[k->state];
}

bool key_state_is_known(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(state_names); i++)
                if (strcmp(state_names[i], name) == 0)
                        return true;
        return strcmp(name, expired) == 0;
}

/* A word that nobody wrote signs nothing. */
static KeyState state_by_name(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(state_names); i++)
                if (strcmp(state_names[i], name) == 0)
                        return (KeyState) i;
        return KEY_DISABLED;
}

/* ---- rows ---- */

static int copy_blob(DbRow *row, int column, Buf *b) {
        size_t len;
        const uint8_t *p = db_row_blob(row, column, &len);

        buf_clear(b);
        return buf_append(b, p, len);
}

/* From not_before on. */
static void take_life(DbRow *row, Key *k) {
        k->not_before = (uint64_t) db_row_int(row, 15);
        k->not_after = (uint64_t) db_row_int(row, 16);
        k->made_schemes = (uint32_t) db_row_int(row, 17) ?: k->alg->schemes;
        k->policy = (KeyPolicy){
                .schemes = (uint32_t) db_row_int(row, 18),
                .hashes = (uint64_t) db_row_int(row, 19),
                .per_hour = (uint32_t) db_row_int(row, 20),
                .per_day = (uint32_t) db_row_int(row, 21),
                .allow_expired_certificate = db_row_int(row, 24) != 0,
                .allow_revoked_certificate = db_row_int(row, 25) != 0,
        };
        k->destroy_at = (uint64_t) db_row_int(row, 22);
        k->destroyed = (uint64_t) db_row_int(row, 23);
        snprintf(k->project, sizeof(k->project), "%s", db_row_text(row, 26));
}

/* The columns of KEY_COLUMNS in db/queries.c. */
static int key_from_row(DbRow *row, Key *k) {
        int r;

        snprintf(k->id, sizeof(k->id), "%s", db_row_text(row, 0));
        snprintf(k->tsg, sizeof(k->tsg), "%s", db_row_text(row, 1));
        snprintf(k->name, sizeof(k->name), "%s", db_row_text(row, 2));
        snprintf(k->path, sizeof(k->path), "%s", db_row_text(row, 3));
        k->alg = key_alg_by_name(db_row_text(row, 4));
        k->state = state_by_name(db_row_text(row, 5));
        k->primary_version = (uint32_t) db_row_int(row, 6);
        k->created = (uint64_t) db_row_int(row, 8);
        k->version = (uint32_t) db_row_int(row, 9);
        k->version_enabled = strcmp(db_row_text(row, 12), "enabled") == 0;
        k->version_created = (uint64_t) db_row_int(row, 13);
        k->revision = (uint64_t) db_row_int(row, 14);
        if (!k->alg)
                return -EBADMSG;
        take_life(row, k);

        r = buf_append_str(&k->description, db_row_text(row, 7));
        if (r >= 0)
                r = copy_blob(row, 10, &k->spki);
        if (r >= 0)
                r = copy_blob(row, 11, &k->sealed);
        return r;
}

static int take_key(DbRow *row, void *userdata) {
        return key_from_row(row, userdata);
}

static int take_certificates(DbRow *row, void *userdata) {
        Key *k = userdata;
        const uint8_t *root;
        size_t len;
        int r;

        k->certificate_expires = (uint64_t) db_row_int(row, 2);
        k->certificate_revoked = db_row_int(row, 3) != 0;
        r = copy_blob(row, 0, &k->certificate);
        if (r >= 0)
                r = copy_blob(row, 1, &k->chain);
        root = db_row_blob(row, 4, &len);
        return r < 0 ? r : buf_append(&k->chain, root, len);
}

static int read_certificates(DbConn *c, Key *k, Error *e) {
        return db_query(c, SQL_CERTIFICATES, DB_ARGS(DB_TEXT(k->id), DB_INT(k->version)),
                        take_certificates, k, e);
}

static int take_label(DbRow *row, void *userdata) {
        json_out_str(userdata, db_row_text(row, 0), db_row_text(row, 1));
        return 0;
}

static int read_labels(DbConn *c, Key *k, Error *e) {
        JsonOut o = JSON_OUT(&k->labels);
        int r;

        json_begin_object(&o, NULL);
        r = db_query(c, SQL_KEY_LABELS, DB_ARGS(DB_TEXT(k->path)), take_label, &o, e);
        json_end_object(&o);
        return r < 0 ? r : o.r;
}

static int find_row(DbConn *c, const char *sql, const char *what, uint32_t version, Key **ret,
                    Error *e) {
        _cleanup_(key_unrefp) Key *k = NULL;
        int r;

        k = key_new();
        if (!k)
                return -ENOMEM;
        r = db_query(c, sql, DB_ARGS(DB_INT(version), DB_TEXT(what)), take_key, k, e);
        if (r <= 0)
                return r;
        r = tsg_chain(c, k->tsg, &k->above, e);
        if (r >= 0)
                r = read_labels(c, k, e);
        if (r < 0)
                return r;
        *ret = TAKE(k);
        return 0;
}

int key_read(DbConn *c, const char *id, Key **ret, Error *e) {
        *ret = NULL;
        return find_row(c, SQL_KEY_BY_ID, id, 0, ret, e);
}

static int read_key(DbConn *c, const char *sql, const char *what, uint32_t version, Key **ret,
                    Error *e) {
        _cleanup_(key_unrefp) Key *k = NULL;
        int r;

        r = find_row(c, sql, what, version, &k, e);
        if (r >= 0 && k)
                r = read_certificates(c, k, e);
        if (r < 0)
                return r;
        *ret = TAKE(k);
        return 0;
}

/* ---- the cache ---- */

static int find(const KeyStorage *s, const char *sql, char kind, const char *what, uint32_t version,
                Key **ret, Error *e) {
        uint64_t generation = cache_generation(s->cache);
        char name[PATH_MAX_LEN + 16];
        CacheObject *o;
        Key *k = NULL;
        DbConn *c;
        int len, r;

        len = snprintf(name, sizeof(name), "%c%u@%s", kind, version, what);
        o = cache_get(s->cache, name, (size_t) len);
        if (o) {
                *ret = container_of(o, Key, object);
                return 0;
        }

        METRIC_ADD(key_cache_misses, 1);
        r = db_acquire(s->db, &c, e);
        if (r < 0)
                return r;
        r = read_key(c, sql, what, version, &k, e);
        db_release(s->db, c);
        if (r < 0)
                return r;
        if (k)
                cache_put(s->cache, generation, name, (size_t) len, &k->object);
        *ret = k;
        return 0;
}

int key_by_id(const KeyStorage *s, const char *id, uint32_t version, Key **ret, Error *e) {
        return find(s, SQL_KEY_BY_ID, 'i', id, version, ret, e);
}

int key_by_path(const KeyStorage *s, const char *path, uint32_t version, Key **ret, Error *e) {
        return find(s, SQL_KEY_BY_PATH, 'p', path, version, ret, e);
}

/* ---- listing ---- */

typedef struct Listing {
        DbConn *c;
        int (*fn)(const Key *k, void *userdata);
        void *userdata;
        Error *e;
} Listing;

static int list_row(DbRow *row, void *userdata) {
        _cleanup_(key_unrefp) Key *k = NULL;
        Listing *l = userdata;
        int r;

        k = key_new();
        if (!k)
                return -ENOMEM;
        r = key_from_row(row, k);
        if (r >= 0)
                r = tsg_chain(l->c, k->tsg, &k->above, l->e);
        if (r >= 0)
                r = read_labels(l->c, k, l->e);
        if (r >= 0)
                r = read_certificates(l->c, k, l->e);
        return r < 0 ? r : l->fn(k, l->userdata);
}

#define SIGNER_ARGS(f)                                                                             \
        DB_TEXT((f)->signer ?: ""), DB_TEXT((f)->signer ?: ""), DB_TEXT((f)->signer ?: "")

/* A key is expired from its not_after on, if it is enabled. */
static int list_by_state(Listing *l, const KeyFilter *f, const PathRange *range, unsigned limit) {
        int64_t now = (int64_t) clock_now(), from = 0, to = INT64_MAX;
        const char *state = f->state;

        if (strcmp(state, expired) == 0) {
                state = state_names[KEY_ENABLED];
                to = now;
        } else if (strcmp(state, state_names[KEY_ENABLED]) == 0)
                from = now + 1;
        return db_query(l->c, SQL_KEY_LIST_BY_STATE,
                        DB_ARGS(PATH_RANGE_ARGS(range), SIGNER_ARGS(f), DB_TEXT(state),
                                DB_INT(from), DB_INT(to), DB_INT(limit)),
                        list_row, l, l->e);
}

static int list(Listing *l, const KeyFilter *f, const PathRange *range, unsigned limit) {
        if (f->state)
                return list_by_state(l, f, range, limit);
        if (f->label)
                return db_query(l->c, SQL_KEY_LIST_BY_LABEL,
                                DB_ARGS(PATH_RANGE_ARGS(range), SIGNER_ARGS(f), DB_TEXT(f->label),
                                        DB_TEXT(f->label_value), DB_INT(limit)),
                                list_row, l, l->e);
        return db_query(l->c, SQL_KEY_LIST,
                        DB_ARGS(PATH_RANGE_ARGS(range), SIGNER_ARGS(f), DB_INT(limit)), list_row, l,
                        l->e);
}

int key_list(Db *db, const Root *root, const KeyFilter *f, const char *after, unsigned limit,
             int (*fn)(const Key *k, void *userdata), void *userdata, Error *e) {
        Listing l = { .fn = fn, .userdata = userdata, .e = e };
        PathRange range;
        int r;

        if (path_is_below(f->prefix, root->path))
                path_range(root->id, f->prefix, after, &range);
        else if (path_is_below(root->path, f->prefix))
                path_range(root->id, root->path, after, &range);
        else
                return 0;

        r = db_acquire(db, &l.c, e);
        if (r < 0)
                return r;
        r = list(&l, f, &range, limit);
        db_release(db, l.c);
        return r;
}

int key_versions(Db *db, const char *id, uint32_t before, unsigned limit,
                 int (*fn)(const Key *k, void *userdata), void *userdata, Error *e) {
        Listing l = { .fn = fn, .userdata = userdata, .e = e };
        int r;

        r = db_acquire(db, &l.c, e);
        if (r < 0)
                return r;
        r = db_query(l.c, SQL_KEY_VERSIONS, DB_ARGS(DB_TEXT(id), DB_INT(before), DB_INT(limit)),
                     list_row, &l, e);
        db_release(db, l.c);
        return r;
}

/* ---- changes ---- */

static int insert_version(DbConn *c, const Key *k, Error *e) {
        return db_exec(c, SQL_KEY_VERSION_INSERT,
                       DB_ARGS(DB_TEXT(k->id), DB_INT(k->version),
                               DB_BLOB(k->spki.data, k->spki.len),
                               DB_BLOB(k->sealed.data, k->sealed.len), DB_INT(k->version_created)),
                       e);
}

int key_insert(DbConn *c, const Key *k, Error *e) {
        int r;

        r = db_exec(c, SQL_PATH_TAKEN_BY_TSG, DB_ARGS(DB_TEXT(k->path)), e);
        if (r > 0)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "a TSG has the name '%s'", k->path);
        if (r < 0)
                return r;

        r = db_exec(c, SQL_KEY_INSERT,
                    DB_ARGS(DB_TEXT(k->id), DB_TEXT(k->tsg), DB_TEXT(k->name), DB_TEXT(k->path),
                            DB_TEXT(k->alg->name), DB_TEXT(buf_str(&k->description)),
                            DB_INT(k->created), DB_INT(k->not_before), DB_INT(k->not_after),
                            DB_INT(k->made_schemes), DB_INT(k->policy.schemes),
                            DB_INT(k->policy.hashes), DB_INT(k->policy.per_hour),
                            DB_INT(k->policy.per_day), DB_INT(k->policy.allow_expired_certificate),
                            DB_INT(k->policy.allow_revoked_certificate)),
                    e);
        if (r == -EEXIST)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "there is a key '%s' already",
                                 k->path);
        return r < 0 ? r : insert_version(c, k, e);
}

int key_update(DbConn *c, const Key *k, Error *e) {
        int r;

        r = db_exec(c, SQL_KEY_UPDATE,
                    DB_ARGS(DB_TEXT(state_names[k->state]), DB_TEXT(buf_str(&k->description)),
                            DB_INT(k->not_before), DB_INT(k->not_after), DB_INT(k->policy.schemes),
                            DB_INT(k->policy.hashes), DB_INT(k->policy.per_hour),
                            DB_INT(k->policy.per_day), DB_INT(k->policy.allow_expired_certificate),
                            DB_INT(k->policy.allow_revoked_certificate), DB_TEXT(k->id)),
                    e);
        if (r == 0)
                return error_set_rule(e, -CSIGN_E_KEY_DESTROYED, "key-state",
                                      "key '%s' is destroyed, or is to be: it cannot be changed",
                                      k->path);
        return r;
}

int key_set_project(DbConn *c, const char *id, const char *project, Error *e) {
        return db_exec(c, SQL_KEY_JOIN, DB_ARGS(DB_TEXT(project[0] ? project : NULL), DB_TEXT(id)),
                       e);
}

static int take_path(DbRow *row, void *userdata) {
        snprintf(userdata, PATH_MAX_LEN, "%s", db_row_text(row, 3));
        return 0;
}

int key_move(DbConn *c, const char *id, const char *tsg, const char *name, Error *e) {
        char path[PATH_MAX_LEN] = "";
        int r;

        r = db_exec(c, SQL_KEY_MOVE,
                    DB_ARGS(DB_TEXT(tsg), DB_TEXT(name), DB_TEXT(tsg), DB_TEXT(name), DB_TEXT(id)),
                    e);
        if (r == -EEXIST)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "there is a key '%s' there already",
                                 name);
        if (r >= 0)
                r = db_query(c, SQL_KEY_BY_ID, DB_ARGS(DB_INT(0), DB_TEXT(id)), take_path, path, e);
        if (r >= 0)
                r = db_exec(c, SQL_PATH_TAKEN_BY_TSG, DB_ARGS(DB_TEXT(path)), e);
        if (r > 0)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "a TSG has the name '%s'", path);
        return r;
}

int key_add_version(DbConn *c, const Key *k, Error *e) {
        int r;

        r = db_exec(c, SQL_KEY_SET_PRIMARY,
                    DB_ARGS(DB_INT(k->version), DB_TEXT(k->id), DB_INT(k->version - 1)), e);
        if (r == 0)
                return error_set(e, -CSIGN_E_KEY_CHANGED,
                                 "somebody else rotated key '%s' at the same time, or is to "
                                 "destroy it",
                                 k->path);
        return r < 0 ? r : insert_version(c, k, e);
}

int key_version_set_enabled(DbConn *c, const char *id, uint32_t version, bool enabled, Error *e) {
        return db_exec(
                c, SQL_KEY_VERSION_SET_STATE,
                DB_ARGS(DB_TEXT(enabled ? "enabled" : "disabled"), DB_TEXT(id), DB_INT(version)),
                e);
}

/* ---- labels ---- */

static bool is_label_value(const char *s) {
        if (strlen(s) > KEY_LABEL_VALUE_MAX)
                return false;
        for (; *s; s++)
                if ((unsigned char) *s < 0x20 || *s == 0x7f)
                        return false;
        return true;
}

int key_labels_check(const json_t *labels, bool nulls, Error *e) {
        const char *name;
        json_t *v;

        if (json_object_size(labels) > KEY_LABELS_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "more than %d labels", KEY_LABELS_MAX);
        json_object_foreach((json_t *) labels, name, v) {
                if (!name_is_valid(name))
                        return error_set(e, -CSIGN_E_BAD_REQUEST,
                                         "a label's name is 1 to 63 of a-z 0-9 . _ - and begins "
                                         "with a letter or digit: '%.64s' is not",
                                         name);
                if (nulls && json_is_null(v))
                        continue;
                if (!json_is_string(v) || !is_label_value(json_string_value(v)))
                        return error_set(e, -CSIGN_E_BAD_REQUEST,
                                         "label '%s' wants a text of at most %d bytes, without "
                                         "control characters",
                                         name, KEY_LABEL_VALUE_MAX);
        }
        return 0;
}

int key_label(DbConn *c, const char *path, const json_t *labels, Error *e) {
        const char *name;
        json_t *v;
        int r;

        json_object_foreach((json_t *) labels, name, v) {
                if (json_is_null(v))
                        r = db_exec(c, SQL_KEY_LABEL_DROP, DB_ARGS(DB_TEXT(path), DB_TEXT(name)),
                                    e);
                else
                        r = db_exec(c, SQL_KEY_LABEL_SET,
                                    DB_ARGS(DB_TEXT(path), DB_TEXT(name),
                                            DB_TEXT(json_string_value(v))),
                                    e);
                if (r < 0)
                        return r;
        }
        r = db_exec(c, SQL_KEY_LABELS, DB_ARGS(DB_TEXT(path)), e);
        if (r > KEY_LABELS_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "key '%s' would have %d labels, of %d",
                                 path, r, KEY_LABELS_MAX);
        return r;
}

/* ---- the end ---- */

int key_destroy_at(DbConn *c, const char *id, uint64_t when, Error *e) {
        return db_exec(c, SQL_KEY_DESTROY_AT, DB_ARGS(DB_INT(when), DB_TEXT(id)), e);
}

int key_keep(DbConn *c, const char *id, Error *e) {
        return db_exec(c, SQL_KEY_KEEP, DB_ARGS(DB_TEXT(id)), e);
}

int key_destroy(DbConn *c, const char *id, uint64_t now, Error *e) {
        int r;

        r = db_exec(c, SQL_KEY_DESTROY, DB_ARGS(DB_INT(now), DB_TEXT(id), DB_INT(now)), e);
        if (r <= 0)
                return r;
        return db_exec(c, SQL_KEY_ERASE, DB_ARGS(DB_BLOB("", 0), DB_TEXT(id)), e);
}

typedef struct Due {
        char *id, *path;
} Due;

static int take_due(DbRow *row, void *userdata) {
        const Due *due = userdata;

        snprintf(due->id, ID_MAX, "%s", db_row_text(row, 0));
        snprintf(due->path, PATH_MAX_LEN, "%s", db_row_text(row, 1));
        return 0;
}

int key_due(Db *db, uint64_t now, char id[static ID_MAX], char path[static PATH_MAX_LEN],
            Error *e) {
        Due due = { id, path };

        return db_read(db, SQL_KEY_DUE, DB_ARGS(DB_INT(now)), take_due, &due, e);
}
