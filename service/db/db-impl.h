/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a database must be able to do.  Only files of this folder include this. */

#include <stdbool.h>

#include "service/db/db.h"

typedef enum DbMode {
        DB_MODE_READ,
        DB_MODE_WRITE,
        DB_MODE_CREATE, /* makes an empty database that has not its name yet */
        DB_MODE_INIT,   /* writes to that */
} DbMode;

typedef struct DbOps {
        const char *name;
        int (*open)(DbConn **ret, const char *location, DbMode mode, Error *e);
        void (*close)(DbConn *c);
        /* As db_query(). */
        int (*query)(DbConn *c, const char *sql, const DbValue *args, size_t n, DbRowFn row,
                     void *userdata, Error *e);
        int (*begin)(DbConn *c, Error *e);
        int (*commit)(DbConn *c, Error *e);
        void (*rollback)(DbConn *c);
        /* As db_purge(). */
        int (*purge)(DbConn *c, Error *e);
        /* As db_copy(). */
        int (*copy)(DbConn *c, const char *path, Error *e);
        /* Gives a created database its name. */
        int (*publish)(const char *location, Error *e);
} DbOps;

struct DbConn {
        const DbOps *ops;
        DbConn *next; /* in the pool */
};

extern const DbOps db_sqlite;

/* migrations.c: brings the schema of a writing connection to this program's version. */
int db_migrate(DbConn *c, Error *e);
