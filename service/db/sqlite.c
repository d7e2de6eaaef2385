/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite: write-ahead log, synchronous=FULL, so that a commit that returned is on the disk. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "service/db/db-impl.h"

#define FILE_NAME       "csign.db"
#define BUSY_TIMEOUT_MS 10000
#define STATEMENTS_MAX  512 /* a power of two, well above the number of constants in queries.h */

typedef struct Sqlite {
        DbConn conn;
        sqlite3 *db;
        struct {
                const char *sql; /* the constant's address, compared as such */
                sqlite3_stmt *stmt;
        } cache[STATEMENTS_MAX];
} Sqlite;

struct DbRow {
        sqlite3_stmt *stmt;
};

static Sqlite *sqlite_of(DbConn *c) {
        return container_of(c, Sqlite, conn);
}

static int code_of(int rc) {
        switch (rc & 0xff) {
        case SQLITE_CONSTRAINT:
                return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY
                               ? -EEXIST
                               : -EINVAL;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_READONLY:
                return -EROFS;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_CANTOPEN:
                return -ENOENT;
        default:
                return -EIO;
        }
}

static int fail(Sqlite *s, int rc, const char *what, Error *e) {
        return error_set(e, code_of(rc), "database: %s: %s", what,
                         s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
}

/* ---- opening ---- */

/* unpublished: the one that init is making. */
static int file_path(char path[static PATH_MAX], const char *location, bool unpublished, Error *e) {
        int n = snprintf(path, PATH_MAX, "%s/%s%s", location, FILE_NAME, unpublished ? ".new" : "");

        return n < PATH_MAX ? 0
                            : error_set(e, -ENAMETOOLONG, "the state directory's name is too long");
}

/* What an init that did not come to its end left behind. */
static void remove_leftovers(const char *path) {
        char beside[PATH_MAX + 8];

        unlink(path);
        for (size_t i = 0; i < 2; i++) {
                snprintf(beside, sizeof(beside), "%s%s", path, i == 0 ? "-wal" : "-shm");
                unlink(beside);
        }
}

static int make_room(const char *path, const char *location, Error *e) {
        char published[PATH_MAX];
        int r;

        r = file_path(published, location, false, e);
        if (r < 0)
                return r;
        if (access(published, F_OK) == 0)
                return error_set(e, -EEXIST, "%s is there already", published);
        remove_leftovers(path);
        return 0;
}

static int set_up(Sqlite *s, DbMode mode, Error *e) {
        static const char both[] = "PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; "
                                   "PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY;";
        static const char writing[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                                      "PRAGMA wal_autocheckpoint=4000; PRAGMA secure_delete=ON;";
        int rc;

        sqlite3_extended_result_codes(s->db, 1);
        sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
        (void) sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);

        rc = sqlite3_exec(s->db, both, NULL, NULL, NULL);
        if (rc == SQLITE_OK && mode != DB_MODE_READ)
                rc = sqlite3_exec(s->db, writing, NULL, NULL, NULL);
        return rc == SQLITE_OK ? 0 : fail(s, rc, "setting up", e);
}

static void sqlite_close(DbConn *c) {
        Sqlite *s = sqlite_of(c);

        for (size_t i = 0; i < STATEMENTS_MAX; i++)
                sqlite3_finalize(s->cache[i].stmt);
        sqlite3_close(s->db);
        free(s);
}

static int sqlite_open(DbConn **ret, const char *location, DbMode mode, Error *e) {
        static const int flags[] = {
                [DB_MODE_READ] = SQLITE_OPEN_READONLY,
                [DB_MODE_WRITE] = SQLITE_OPEN_READWRITE,
                [DB_MODE_CREATE] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                [DB_MODE_INIT] = SQLITE_OPEN_READWRITE,
        };
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        char path[PATH_MAX];
        Sqlite *s;
        int r;

        r = file_path(path, location, mode == DB_MODE_CREATE || mode == DB_MODE_INIT, e);
        if (r >= 0 && mode == DB_MODE_CREATE)
                r = make_room(path, location, e);
        if (r < 0)
                return r;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->conn.ops = &db_sqlite;
        c = &s->conn;

        r = sqlite3_open_v2(path, &s->db, flags[mode] | SQLITE_OPEN_NOMUTEX, NULL);
        if (r != SQLITE_OK)
                return fail(s, r, path, e);
        r = set_up(s, mode, e);
        if (r < 0)
                return r;

        *ret = TAKE(c);
        return 0;
}

static int sqlite_publish(const char *location, Error *e) {
        char from[PATH_MAX], to[PATH_MAX];
        int fd, r;

        r = file_path(from, location, true, e);
        if (r >= 0)
                r = file_path(to, location, false, e);
        if (r < 0)
                return r;

        /* The last close has put the log into the file and removed it: one file is the database. */
        if (link(from, to) < 0)
                return error_set(e, -errno, "cannot make %s: %m", to);
        unlink(from);

        fd = open(location, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
        if (fd >= 0)
                close(fd);
        return r < 0 ? error_set(e, r, "cannot sync %s: %s", location, strerror(-r)) : 0;
}

/* ---- statements ---- */

static int prepare(Sqlite *s, const char *sql, sqlite3_stmt **ret, Error *e) {
        size_t slot = ((uintptr_t) sql >> 3) % STATEMENTS_MAX;
        int rc;

        for (size_t i = 0; i < STATEMENTS_MAX; i++, slot = (slot + 1) % STATEMENTS_MAX) {
                if (s->cache[slot].sql == sql) {
                        *ret = s->cache[slot].stmt;
                        return 0;
                }
                if (!s->cache[slot].sql)
                        break;
        }
        assert(!s->cache[slot].sql);

        rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->cache[slot].stmt,
                                NULL);
        if (rc != SQLITE_OK)
                return fail(s, rc, "preparing", e);
        s->cache[slot].sql = sql;
        *ret = s->cache[slot].stmt;
        return 0;
}

static int bind_value(sqlite3_stmt *stmt, int i, const DbValue *v) {
        switch (v->type) {
        case DB_TYPE_INT:
                return sqlite3_bind_int64(stmt, i, v->i);
        case DB_TYPE_TEXT:
                return v->p ? sqlite3_bind_text(stmt, i, v->p, -1, SQLITE_STATIC)
                            : sqlite3_bind_null(stmt, i);
        case DB_TYPE_BLOB:
                return sqlite3_bind_blob64(stmt, i, v->p, v->len, SQLITE_STATIC);
        default:
                return sqlite3_bind_null(stmt, i);
        }
}

static int run(Sqlite *s, sqlite3_stmt *stmt, DbRowFn fn, void *userdata, Error *e) {
        DbRow row = { stmt };
        int n = 0, r, rc;

        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
                n++;
                if (!fn)
                        continue;
                r = fn(&row, userdata);
                if (r < 0)
                        return r;
        }
        if (rc != SQLITE_DONE)
                return fail(s, rc, "running", e);
        return sqlite3_stmt_readonly(stmt) ? n : sqlite3_changes(s->db);
}

static int sqlite_query(DbConn *c, const char *sql, const DbValue *args, size_t n, DbRowFn row,
                        void *userdata, Error *e) {
        Sqlite *s = sqlite_of(c);
        sqlite3_stmt *stmt = NULL;
        int r;

        r = prepare(s, sql, &stmt, e);
        if (r < 0)
                return r;

        assert((int) n == sqlite3_bind_parameter_count(stmt));
        for (size_t i = 0; i < n; i++) {
                int rc = bind_value(stmt, (int) i + 1, &args[i]);

                if (rc != SQLITE_OK)
                        return fail(s, rc, "binding", e);
        }

        r = run(s, stmt, row, userdata, e);
        (void) sqlite3_reset(stmt);
        (void) sqlite3_clear_bindings(stmt);
        return r;
}

static int exec(Sqlite *s, const char *sql, Error *e) {
        int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

        return rc == SQLITE_OK ? 0 : fail(s, rc, sql, e);
}

static int sqlite_begin(DbConn *c, Error *e) {
        return exec(sqlite_of(c), "BEGIN IMMEDIATE", e);
}

static int sqlite_commit(DbConn *c, Error *e) {
        return exec(sqlite_of(c), "COMMIT", e);
}

static void sqlite_rollback(DbConn *c) {
        Sqlite *s = sqlite_of(c);

        /* A full disk has rolled back by itself already. */
        if (!sqlite3_get_autocommit(s->db))
                (void) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

/* Deleted content is overwritten in the pages (secure_delete); older copies of the pages are in the
 * log until it is cut off. */
static int sqlite_purge(DbConn *c, Error *e) {
        Sqlite *s = sqlite_of(c);
        int rc;

        rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        return rc == SQLITE_OK ? 0 : fail(s, rc, "truncating the log", e);
}

/* One reading transaction: what is committed meanwhile waits in the log.  What was deleted does not
 * come along. */
static int sqlite_copy(DbConn *c, const char *path, Error *e) {
        char *sql = sqlite3_mprintf("VACUUM INTO %Q", path);
        int r;

        if (!sql)
                return -ENOMEM;
        r = exec(sqlite_of(c), sql, e);
        sqlite3_free(sql);
        return r;
}

int64_t db_row_int(DbRow *row, int column) {
        return sqlite3_column_int64(row->stmt, column);
}

const char *db_row_text(DbRow *row, int column) {
        const unsigned char *text = sqlite3_column_text(row->stmt, column);

        return text ? (const char *) text : "";
}

const uint8_t *db_row_blob(DbRow *row, int column, size_t *ret_len) {
        const uint8_t *p = sqlite3_column_blob(row->stmt, column);

        *ret_len = (size_t) sqlite3_column_bytes(row->stmt, column);
        return p;
}

const DbOps db_sqlite = {
        .name = "sqlite",
        .open = sqlite_open,
        .close = sqlite_close,
        .query = sqlite_query,
        .begin = sqlite_begin,
        .commit = sqlite_commit,
        .rollback = sqlite_rollback,
        .purge = sqlite_purge,
        .copy = sqlite_copy,
        .publish = sqlite_publish,
};
