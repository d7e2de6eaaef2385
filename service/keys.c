/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of keys, and the cache of them. */

#include "service/keys.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/db/queries.h"
#include "service/metrics.h"

static void key_free(CacheObject *o) {
        Key *k = container_of(o, Key, object);

        buf_done(&k->description);
        buf_done(&k->spki);
        buf_done(&k->sealed);
        buf_done(&k->certificate);
        buf_done(&k->authority);
        free(k);
}

Key *key_new(void) {
        Key *k = calloc(1, sizeof(*k));

        if (k)
                cache_object_init(&k->object, key_free);
        return k;
}

/* ---- rows ---- */

static int copy_blob(DbRow *row, int column, Buf *b) {
        size_t len;
        const uint8_t *p = db_row_blob(row, column, &len);

        buf_clear(b);
        return buf_append(b, p, len);
}

/* The columns of KEY_COLUMNS in db/queries.c. */
static int key_from_row(DbRow *row, Key *k) {
        int r;

        snprintf(k->id, sizeof(k->id), "%s", db_row_text(row, 0));
        snprintf(k->tsg, sizeof(k->tsg), "%s", db_row_text(row, 1));
        snprintf(k->name, sizeof(k->name), "%s", db_row_text(row, 2));
        snprintf(k->path, sizeof(k->path), "%s", db_row_text(row, 3));
        k->alg = key_alg_by_name(db_row_text(row, 4));
        k->enabled = strcmp(db_row_text(row, 5), "enabled") == 0;
        k->primary_version = (uint32_t) db_row_int(row, 6);
        k->created = (uint64_t) db_row_int(row, 8);
        k->version = (uint32_t) db_row_int(row, 9);
        k->version_enabled = strcmp(db_row_text(row, 12), "enabled") == 0;
        k->version_created = (uint64_t) db_row_int(row, 13);
        k->revision = (uint64_t) db_row_int(row, 14);
        if (!k->alg)
                return -EBADMSG;

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
        int r;

        r = copy_blob(row, 0, &k->certificate);
        return r < 0 ? r : copy_blob(row, 1, &k->authority);
}

static int read_certificates(DbConn *c, Key *k, Error *e) {
        return db_query(c, SQL_CERTIFICATES, DB_ARGS(DB_TEXT(k->id), DB_INT(k->version)),
                        take_certificates, k, e);
}

static int read_key(DbConn *c, const char *sql, const char *what, uint32_t version, Key **ret,
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
                r = read_certificates(l->c, k, l->e);
        return r < 0 ? r : l->fn(k, l->userdata);
}

int key_list(Db *db, const Root *root, const char *prefix, const char *after, unsigned limit,
             int (*fn)(const Key *k, void *userdata), void *userdata, Error *e) {
        Listing l = { .fn = fn, .userdata = userdata, .e = e };
        PathRange range;
        int r;

        if (path_is_below(prefix, root->path))
                path_range(root->id, prefix, after, &range);
        else if (path_is_below(root->path, prefix))
                path_range(root->id, root->path, after, &range);
        else
                return 0;

        r = db_acquire(db, &l.c, e);
        if (r < 0)
                return r;
        r = db_query(l.c, SQL_KEY_LIST, DB_ARGS(PATH_RANGE_ARGS(&range), DB_INT(limit)), list_row,
                     &l, e);
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
                            DB_INT(k->created)),
                    e);
        if (r == -EEXIST)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "there is a key '%s' already",
                                 k->path);
        return r < 0 ? r : insert_version(c, k, e);
}

int key_set_enabled(DbConn *c, const char *id, bool enabled, Error *e) {
        return db_exec(c, SQL_KEY_SET_STATE,
                       DB_ARGS(DB_TEXT(enabled ? "enabled" : "disabled"), DB_TEXT(id)), e);
}

int key_add_version(DbConn *c, const Key *k, Error *e) {
        int r;

        r = db_exec(c, SQL_KEY_SET_PRIMARY,
                    DB_ARGS(DB_INT(k->version), DB_TEXT(k->id), DB_INT(k->version - 1)), e);
        if (r == 0)
                return error_set(e, -CSIGN_E_KEY_CHANGED,
                                 "somebody else rotated key '%s' at the same time", k->path);
        return r < 0 ? r : insert_version(c, k, e);
}

int key_version_set_enabled(DbConn *c, const char *id, uint32_t version, bool enabled, Error *e) {
        return db_exec(
                c, SQL_KEY_VERSION_SET_STATE,
                DB_ARGS(DB_TEXT(enabled ? "enabled" : "disabled"), DB_TEXT(id), DB_INT(version)),
                e);
}
