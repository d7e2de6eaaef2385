/* SPDX-License-Identifier: Apache-2.0 */
/* The database's front: the pool of reading connections, and what all databases share. */

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "service/db/db-impl.h"
#include "service/db/queries.h"

struct Db {
        const DbOps *ops;
        char *location;
        DbMode writer_mode;
        pthread_mutex_t lock;
        pthread_cond_t released;
        DbConn *idle;
        unsigned may_open; /* connections that the pool may still open */
};

static int db_new(Db **ret, const char *location, unsigned readers) {
        Db *db;

        db = calloc(1, sizeof(*db));
        if (!db)
                return -ENOMEM;
        db->location = strdup(location);
        if (!db->location) {
                free(db);
                return -ENOMEM;
        }
        db->ops = &db_sqlite;
        db->writer_mode = DB_MODE_WRITE;
        db->may_open = readers;
        pthread_mutex_init(&db->lock, NULL);
        pthread_cond_init(&db->released, NULL);
        *ret = db;
        return 0;
}

static int migrate(Db *db, DbMode mode, Error *e) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        int r;

        r = db->ops->open(&c, db->location, mode, e);
        return r < 0 ? r : db_migrate(c, e);
}

int db_create(Db **ret, const char *location, Error *e) {
        _cleanup_(db_closep) Db *db = NULL;
        int r;

        r = db_new(&db, location, 0);
        if (r >= 0)
                r = migrate(db, DB_MODE_CREATE, e);
        if (r < 0)
                return r;
        db->writer_mode = DB_MODE_INIT;
        *ret = TAKE(db);
        return 0;
}

int db_publish(Db *db, Error *e) {
        return db->ops->publish(db->location, e);
}

int db_open(Db **ret, const char *location, unsigned readers, Error *e) {
        _cleanup_(db_closep) Db *db = NULL;
        int r;

        r = db_new(&db, location, readers);
        if (r >= 0)
                r = migrate(db, DB_MODE_WRITE, e);
        if (r < 0)
                return r;
        *ret = TAKE(db);
        return 0;
}

int db_copy(const char *location, const char *path, Error *e) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        int r;

        r = db_sqlite.open(&c, location, DB_MODE_READ, e);
        return r < 0 ? r : c->ops->copy(c, path, e);
}

void db_close(Db *db) {
        if (!db)
                return;
        while (db->idle) {
                DbConn *c = db->idle;

                db->idle = c->next;
                db_conn_close(c);
        }
        pthread_cond_destroy(&db->released);
        pthread_mutex_destroy(&db->lock);
        free(db->location);
        free(db);
}

int db_writer(Db *db, DbConn **ret, Error *e) {
        return db->ops->open(ret, db->location, db->writer_mode, e);
}

void db_conn_close(DbConn *c) {
        if (c)
                c->ops->close(c);
}

/* Takes an idle connection, or the right to open one. */
static DbConn *pool_take(Db *db) {
        DbConn *c = NULL;

        pthread_mutex_lock(&db->lock);
        while (!db->idle && db->may_open == 0)
                pthread_cond_wait(&db->released, &db->lock);
        if (db->idle) {
                c = db->idle;
                db->idle = c->next;
        } else
                db->may_open--;
        pthread_mutex_unlock(&db->lock);
        return c;
}

int db_acquire(Db *db, DbConn **ret, Error *e) {
        DbConn *c = pool_take(db);
        int r;

        if (c) {
                *ret = c;
                return 0;
        }

        r = db->ops->open(ret, db->location, DB_MODE_READ, e);
        if (r < 0) {
                pthread_mutex_lock(&db->lock);
                db->may_open++;
                pthread_cond_signal(&db->released);
                pthread_mutex_unlock(&db->lock);
        }
        return r;
}

void db_release(Db *db, DbConn *c) {
        pthread_mutex_lock(&db->lock);
        c->next = db->idle;
        db->idle = c;
        pthread_cond_signal(&db->released);
        pthread_mutex_unlock(&db->lock);
}

int db_query(DbConn *c, const char *sql, const DbValue *args, size_t n, DbRowFn row, void *userdata,
             Error *e) {
        assert(c && sql);
        return c->ops->query(c, sql, args, n, row, userdata, e);
}

int db_exec(DbConn *c, const char *sql, const DbValue *args, size_t n, Error *e) {
        return db_query(c, sql, args, n, NULL, NULL, e);
}

int db_read(Db *db, const char *sql, const DbValue *args, size_t n, DbRowFn row, void *userdata,
            Error *e) {
        DbConn *c;
        int r;

        r = db_acquire(db, &c, e);
        if (r < 0)
                return r;
        r = db_query(c, sql, args, n, row, userdata, e);
        db_release(db, c);
        return r;
}

int db_begin(DbConn *c, Error *e) {
        return c->ops->begin(c, e);
}

int db_commit(DbConn *c, Error *e) {
        return c->ops->commit(c, e);
}

void db_rollback(DbConn *c) {
        c->ops->rollback(c);
}

int db_purge(Db *db, Error *e) {
        _cleanup_(db_conn_closep) DbConn *c = NULL;
        int r;

        r = db_writer(db, &c, e);
        return r < 0 ? r : c->ops->purge(c, e);
}

int db_savepoint(DbConn *c, Error *e) {
        return db_exec(c, SQL_SAVEPOINT, DB_NO_ARGS, e);
}

int db_savepoint_keep(DbConn *c, Error *e) {
        return db_exec(c, SQL_SAVEPOINT_KEEP, DB_NO_ARGS, e);
}

int db_savepoint_undo(DbConn *c, Error *e) {
        int r;

        r = db_exec(c, SQL_SAVEPOINT_UNDO, DB_NO_ARGS, e);
        return r < 0 ? r : db_savepoint_keep(c, e);
}
