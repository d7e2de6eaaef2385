/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The database: one writing connection, which belongs to the audit writer, and a pool of reading
 * ones.
 *
 * SQL is a constant of db/queries.h: its address is the key of the connection's statement cache.
 * Values are always bound.  A row is valid until the callback that gets it returns. */

#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

typedef struct Db Db;
typedef struct DbConn DbConn; /* used by one thread at a time */

typedef enum DbType { DB_TYPE_NULL, DB_TYPE_INT, DB_TYPE_TEXT, DB_TYPE_BLOB } DbType;

typedef struct DbValue {
        DbType type;
        int64_t i;
        const void *p;
        size_t len;
} DbValue;

#define DB_NULL       ((DbValue){ .type = DB_TYPE_NULL })
#define DB_INT(v)     ((DbValue){ .type = DB_TYPE_INT, .i = (int64_t) (v) })
#define DB_TEXT(s)    ((DbValue){ .type = DB_TYPE_TEXT, .p = (s) })
#define DB_BLOB(d, n) ((DbValue){ .type = DB_TYPE_BLOB, .p = (d), .len = (n) })
#define DB_ARGS(...)                                                                               \
        (const DbValue[]){ __VA_ARGS__ }, ELEMENTSOF(((const DbValue[]){ __VA_ARGS__ }))
#define DB_NO_ARGS NULL, 0

typedef struct DbRow DbRow;
int64_t db_row_int(DbRow *row, int column);
const char *db_row_text(DbRow *row, int column); /* "" for NULL */
const uint8_t *db_row_blob(DbRow *row, int column, size_t *ret_len);

/* A negative result ends the query and is its result. */
typedef int (*DbRowFn)(DbRow *row, void *userdata);

/* location is a directory for SQLite.  db_create() is for init: the database must not be there
 * (-EEXIST), and it gets its name only in db_publish().  db_open() brings the schema up to date. */
int db_create(Db **ret, const char *location, Error *e);
int db_publish(Db *db, Error *e); /* closes the connections; only db_close() may follow */
int db_open(Db **ret, const char *location, unsigned readers, Error *e);
void db_close(Db *db);
DEFINE_CLEANUP(Db, db_close)

/* A copy of one moment, as a new file (or whatever the database's copies are), while others may
 * write.  The schema is the one that is there. */
int db_copy(const char *location, const char *path, Error *e);

/* The writing connection, opened anew: for the audit writer, and for init. */
int db_writer(Db *db, DbConn **ret, Error *e);
void db_conn_close(DbConn *c);
DEFINE_CLEANUP(DbConn, db_conn_close)

/* Waits for a free reading connection. */
int db_acquire(Db *db, DbConn **ret, Error *e);
void db_release(Db *db, DbConn *c);

/* Runs one statement; row may be NULL.  Returns the number of rows given (for a change: of rows
 * changed), or -EEXIST when a name or id is taken, or another -errno: -ENOSPC, -EIO, -EBUSY,
 * -EROFS. */
int db_query(DbConn *c, const char *sql, const DbValue *args, size_t n, DbRowFn row, void *userdata,
             Error *e);
int db_exec(DbConn *c, const char *sql, const DbValue *args, size_t n, Error *e);

/* The same on a reading connection of the pool. */
int db_read(Db *db, const char *sql, const DbValue *args, size_t n, DbRowFn row, void *userdata,
            Error *e);

int db_begin(DbConn *c, Error *e);
int db_commit(DbConn *c, Error *e); /* durable when it returned 0 */
void db_rollback(DbConn *c);

/* What was deleted or written over is gone from the database's files, too.  Not in a transaction.
 * -EBUSY: later. */
int db_purge(Db *db, Error *e);

/* A part of a transaction that can be undone alone. */
int db_savepoint(DbConn *c, Error *e);
int db_savepoint_keep(DbConn *c, Error *e);
int db_savepoint_undo(DbConn *c, Error *e);
