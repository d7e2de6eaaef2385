/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/state.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "lib/file.h"
#include "lib/log.h"

#define FILE_NAME   "sidecar.db"
#define SCHEMA      1 /* another one's file is put aside, not migrated: nothing in it is the truth */
#define QUEUE_MAX   8192
#define GATHER_MSEC 20 /* so that a crowd of signatures is one transaction */

static const char schema[] =
        "CREATE TABLE IF NOT EXISTS keys ("
        " account TEXT NOT NULL, path TEXT NOT NULL, asked INTEGER NOT NULL, id TEXT NOT NULL,"
        " version INTEGER NOT NULL, algorithm TEXT NOT NULL, state TEXT NOT NULL, spki BLOB NOT "
        "NULL,"
        " certificates BLOB, fetched INTEGER NOT NULL, PRIMARY KEY (account, path, asked))"
        " WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS journal ("
        " number INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, request_id TEXT NOT "
        "NULL,"
        " record INTEGER NOT NULL, path TEXT NOT NULL, version INTEGER NOT NULL, scheme TEXT NOT "
        "NULL,"
        " hash TEXT NOT NULL, digest TEXT NOT NULL, signature TEXT NOT NULL, uid INTEGER NOT NULL,"
        " exe TEXT NOT NULL);"
        "CREATE INDEX IF NOT EXISTS journal_uid ON journal (uid, number);";

typedef enum Query {
        QUERY_KEEP_KEY,
        QUERY_FIND_KEY,
        QUERY_LIST_KEYS,
        QUERY_NOTE,
        QUERY_TRIM,
        QUERY_HISTORY,
        QUERY_HISTORY_OF,
        QUERIES_MAX_,
} Query;

#define KEY_COLUMNS "path, id, version, algorithm, state, spki, certificates"
#define JOURNAL_COLUMNS                                                                            \
        "number, time, request_id, record, path, version, scheme, hash, digest, "                  \
        "signature, uid, exe"

static const char *const queries[QUERIES_MAX_] = {
        [QUERY_KEEP_KEY] =
                "INSERT INTO keys (account, path, asked, id, version, algorithm, state, spki,"
                " certificates, fetched) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (account, path, asked) DO UPDATE SET state = excluded.state,"
                " certificates = CASE WHEN excluded.certificates IS NULL AND id = excluded.id"
                " AND version = excluded.version THEN certificates ELSE excluded.certificates END,"
                " id = excluded.id, version = excluded.version, algorithm = excluded.algorithm,"
                " spki = excluded.spki, fetched = excluded.fetched",
        [QUERY_FIND_KEY] = "SELECT " KEY_COLUMNS " FROM keys WHERE account = ? AND path = ?"
                           " AND asked = ? AND certificates IS NOT NULL AND fetched > ?",
        [QUERY_LIST_KEYS] = "SELECT " KEY_COLUMNS " FROM keys WHERE account = ? AND asked = 0"
                            " AND path > ? AND (path = ? OR substr(path, 1, length(?)) = ?)"
                            " AND fetched > ? ORDER BY path LIMIT ?",
        [QUERY_NOTE] = "INSERT INTO journal (time, request_id, record, path, version, scheme, hash,"
                       " digest, signature, uid, exe) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [QUERY_TRIM] = "DELETE FROM journal WHERE number <= (SELECT MAX(number) FROM journal) - ?",
        [QUERY_HISTORY] = "SELECT " JOURNAL_COLUMNS " FROM journal WHERE number < ?"
                          " ORDER BY number DESC LIMIT ?",
        [QUERY_HISTORY_OF] = "SELECT " JOURNAL_COLUMNS " FROM journal WHERE uid = ? AND number < ?"
                             " ORDER BY number DESC LIMIT ?",
};

/* Its texts are short, and many entries wait at once: only what is used is kept. */
typedef struct Noted {
        struct Noted *next;
        uint64_t time_usec, record;
        uint32_t key_version;
        uid_t uid;
        char texts[]; /* request id, path, scheme, hash, digest, signature, exe: a NUL after each */
} Noted;

struct State {
        pthread_mutex_t lock; /* of the database */
        sqlite3 *db;
        sqlite3_stmt *statements[QUERIES_MAX_];
        uint64_t journal_max;
        bool ailing; /* a failure was said; said again only after a success */

        pthread_mutex_t queue_lock;
        pthread_cond_t work, written;
        Noted *first, **last;
        size_t waiting;
        bool writing, stop, has_thread;
        pthread_t thread;
};

static uint64_t unix_sec(void) {
        return (uint64_t) time(NULL);
}

/* ---- opening ---- */

static int exec(sqlite3 *db, const char *sql) {
        return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int take_number(void *arg, int n, char **values, char **names) {
        *(int *) arg = values[0] ? atoi(values[0]) : 0;
        return 0;
}

static int take_verdict(void *arg, int n, char **values, char **names) {
        *(bool *) arg = values[0] && strcmp(values[0], "ok") == 0;
        return 0;
}

/* It is small, and a page that is found torn now is not found by a signature. */
static int check(sqlite3 *db) {
        bool ok = false;
        int rc;

        rc = sqlite3_exec(db, "PRAGMA quick_check(1)", take_verdict, &ok, NULL);
        return rc == SQLITE_OK && !ok ? SQLITE_CORRUPT : rc;
}

/* SQLITE_SCHEMA: another csign's. */
static int set_up(sqlite3 *db) {
        int version = 0, rc;
        char mark[48];

        (void) sqlite3_busy_timeout(db, 2000);
        (void) sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        rc = exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-64;"
                      "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;");
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(db, "PRAGMA user_version", take_number, &version, NULL);
        if (rc == SQLITE_OK && version != 0 && version != SCHEMA)
                return SQLITE_SCHEMA;
        if (rc == SQLITE_OK)
                rc = check(db);
        if (rc == SQLITE_OK)
                rc = exec(db, schema);
        snprintf(mark, sizeof(mark), "PRAGMA user_version=%d", SCHEMA);
        return rc == SQLITE_OK ? exec(db, mark) : rc;
}

static int open_file(const char *path, sqlite3 **ret) {
        sqlite3 *db = NULL;
        int rc;

        rc = sqlite3_open_v2(path, &db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                     SQLITE_OPEN_NOFOLLOW,
                             NULL);
        if (rc == SQLITE_OK)
                rc = set_up(db);
        if (rc != SQLITE_OK) {
                (void) sqlite3_close(db);
                return rc;
        }
        *ret = db;
        return SQLITE_OK;
}

static bool is_broken(int rc) {
        return rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB || rc == SQLITE_SCHEMA;
}

static void put_aside(const char *path) {
        static const char *const parts[] = { "", "-wal", "-shm" };
        char from[4096], to[4096];

        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                snprintf(from, sizeof(from), "%s%s", path, parts[i]);
                snprintf(to, sizeof(to), "%s.broken%s", path, parts[i]);
                (void) rename(from, to);
        }
        log_line(LOG_WARNING, "the sidecar's database is broken: put aside, and begun anew", "FILE",
                 path, NULL);
}

static int open_database(State *s, const char *dir, Error *e) {
        char path[4000];
        mode_t mask;
        int rc;

        snprintf(path, sizeof(path), "%s/%s", dir, FILE_NAME);
        mask = umask(0077);
        rc = open_file(path, &s->db);
        if (is_broken(rc & 0xff)) {
                put_aside(path);
                rc = open_file(path, &s->db);
        }
        (void) umask(mask);
        if (rc != SQLITE_OK)
                return error_set(e, -EIO, "%s: %s", path, sqlite3_errstr(rc));

        for (size_t i = 0; i < QUERIES_MAX_; i++)
                if (sqlite3_prepare_v3(s->db, queries[i], -1, SQLITE_PREPARE_PERSISTENT,
                                       &s->statements[i], NULL) != SQLITE_OK)
                        return error_set(e, -EIO, "%s: %s", path, sqlite3_errmsg(s->db));
        return 0;
}

/* ---- one statement, with the lock ---- */

static void bind_text(sqlite3_stmt *q, int i, const char *text) {
        (void) sqlite3_bind_text(q, i, text, -1, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *q, int i, uint64_t n) {
        (void) sqlite3_bind_int64(q, i, (sqlite3_int64) n);
}

static const char *text_of(sqlite3_stmt *q, int column) {
        const char *text = (const char *) sqlite3_column_text(q, column);

        return text ? text : "";
}

/* A disk may be full for hours: one line says so, not one a signature. */
static void finish(State *s, sqlite3_stmt *q, int rc) {
        bool ok = rc == SQLITE_DONE || rc == SQLITE_ROW;

        if (!ok && !s->ailing)
                log_line(LOG_WARNING, "the sidecar's database cannot be used: going on without it",
                         "REASON", sqlite3_errmsg(s->db), NULL);
        s->ailing = !ok;
        (void) sqlite3_reset(q);
        (void) sqlite3_clear_bindings(q);
}

/* ---- keys ---- */

/* Certificates as one value: the length in 4 bytes, and the DER, of each. */
static int pack_certificates(const Key *k, Buf *ret) {
        int r = buf_reserve(ret, 1);

        for (size_t i = 0; r >= 0 && i < k->n_certificates; i++) {
                r = buf_put_u32(ret, (uint32_t) k->certificates[i].len);
                if (r >= 0)
                        r = buf_append(ret, k->certificates[i].data, k->certificates[i].len);
        }
        return r;
}

static int unpack_certificates(Key *k, const void *data, size_t len) {
        Reader r = READER(data, len);

        while (r.left > 0 && k->n_certificates < KEY_CERTIFICATES_MAX) {
                size_t n;
                const uint8_t *der = reader_bytes32(&r, &n);

                if (!der || buf_append(&k->certificates[k->n_certificates], der, n) < 0)
                        return -EBADMSG;
                k->n_certificates++;
        }
        return reader_end(&r);
}

void state_keep_key(State *s, const char *account, const Key *k, uint32_t asked,
                    bool has_certificates) {
        _cleanup_(buf_done) Buf certificates = {};
        sqlite3_stmt *q;

        if (!s || pack_certificates(k, &certificates) < 0)
                return;
        (void) pthread_mutex_lock(&s->lock);
        q = s->statements[QUERY_KEEP_KEY];
        bind_text(q, 1, account);
        bind_text(q, 2, k->path);
        bind_number(q, 3, asked);
        bind_text(q, 4, k->id);
        bind_number(q, 5, k->version);
        bind_text(q, 6, k->alg->name);
        bind_text(q, 7, k->state);
        (void) sqlite3_bind_blob64(q, 8, k->spki.data, k->spki.len, SQLITE_STATIC);
        if (has_certificates)
                (void) sqlite3_bind_blob64(q, 9, certificates.data, certificates.len,
                                           SQLITE_STATIC);
        bind_number(q, 10, unix_sec());
        finish(s, q, sqlite3_step(q));
        (void) pthread_mutex_unlock(&s->lock);
}

/* KEY_COLUMNS.  The file is ours alone, and is believed no more than the service's answer: the key
 * goes through key_cache_put() as that does. */
static int key_of_row(sqlite3_stmt *q, Key **ret) {
        _cleanup_(key_unrefp) Key *k = key_new();
        int r;

        if (!k)
                return -ENOMEM;
        snprintf(k->path, sizeof(k->path), "%s", text_of(q, 0));
        snprintf(k->id, sizeof(k->id), "%s", text_of(q, 1));
        k->version = (uint32_t) sqlite3_column_int64(q, 2);
        k->alg = key_alg_by_name(text_of(q, 3));
        snprintf(k->state, sizeof(k->state), "%s", text_of(q, 4));
        if (!k->alg || k->version == 0 || !id_is_valid(k->id, "key"))
                return -EBADMSG;
        r = buf_append(&k->spki, sqlite3_column_blob(q, 5), (size_t) sqlite3_column_bytes(q, 5));
        if (r >= 0)
                r = unpack_certificates(k, sqlite3_column_blob(q, 6),
                                        (size_t) sqlite3_column_bytes(q, 6));
        if (r < 0)
                return r;
        *ret = TAKE(k);
        return 0;
}

static uint64_t oldest_shown(void) {
        uint64_t now = unix_sec();

        return now > OFFLINE_MAX_SEC ? now - OFFLINE_MAX_SEC : 0;
}

int state_find_key(State *s, const char *account, const char *path, uint32_t version, Key **ret) {
        sqlite3_stmt *q;
        int rc, r;

        if (!s)
                return -ENOENT;
        (void) pthread_mutex_lock(&s->lock);
        q = s->statements[QUERY_FIND_KEY];
        bind_text(q, 1, account);
        bind_text(q, 2, path);
        bind_number(q, 3, version);
        bind_number(q, 4, oldest_shown());
        rc = sqlite3_step(q);
        r = rc == SQLITE_ROW ? key_of_row(q, ret) : -ENOENT;
        finish(s, q, rc);
        (void) pthread_mutex_unlock(&s->lock);
        return r;
}

int state_list_keys(State *s, const char *account, const char *prefix, const char *after,
                    uint32_t limit, int (*fn)(Key *k, void *userdata), void *userdata) {
        char below[PATH_MAX_LEN + 1];
        sqlite3_stmt *q;
        int rc, r = 0;

        if (!s)
                return -ENOENT;
        snprintf(below, sizeof(below), "%s%s", prefix, *prefix ? "/" : "");
        (void) pthread_mutex_lock(&s->lock);
        q = s->statements[QUERY_LIST_KEYS];
        bind_text(q, 1, account);
        bind_text(q, 2, after);
        bind_text(q, 3, prefix);
        bind_text(q, 4, below);
        bind_text(q, 5, below);
        bind_number(q, 6, oldest_shown());
        bind_number(q, 7, limit);
        while ((rc = sqlite3_step(q)) == SQLITE_ROW && r >= 0) {
                Key *k;

                r = key_of_row(q, &k);
                if (r >= 0)
                        r = fn(k, userdata);
        }
        finish(s, q, r < 0 ? SQLITE_DONE : rc);
        (void) pthread_mutex_unlock(&s->lock);
        return r;
}

/* ---- the journal's thread ---- */

static int write_entry(State *s, const Noted *n) {
        sqlite3_stmt *q = s->statements[QUERY_NOTE];
        static const int columns[] = { 2, 4, 6, 7, 8, 9, 11 };
        const char *text = n->texts;
        int rc;

        bind_number(q, 1, n->time_usec);
        bind_number(q, 3, n->record);
        bind_number(q, 5, n->key_version);
        bind_number(q, 10, n->uid);
        for (size_t i = 0; i < ELEMENTSOF(columns); i++, text += strlen(text) + 1)
                bind_text(q, columns[i], text);
        rc = sqlite3_step(q);
        finish(s, q, rc);
        return rc == SQLITE_DONE ? 0 : -EIO;
}

static void write_all(State *s, const Noted *first) {
        sqlite3_stmt *trim = s->statements[QUERY_TRIM];
        int r;

        (void) pthread_mutex_lock(&s->lock);
        r = exec(s->db, "BEGIN IMMEDIATE") == SQLITE_OK ? 0 : -EIO;
        for (const Noted *n = first; n && r >= 0; n = n->next)
                r = write_entry(s, n);
        if (r >= 0) {
                bind_number(trim, 1, s->journal_max);
                finish(s, trim, sqlite3_step(trim));
        }
        if (r < 0 || exec(s->db, "COMMIT") != SQLITE_OK)
                (void) exec(s->db, "ROLLBACK");
        (void) pthread_mutex_unlock(&s->lock);
}

/* Takes what waits; before that it lets some come together, unless it is to stop. */
static Noted *gather(State *s) {
        struct timespec until;
        Noted *first;

        while (!s->first && !s->stop)
                (void) pthread_cond_wait(&s->work, &s->queue_lock);
        (void) clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += GATHER_MSEC * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        while (!s->stop && s->waiting < QUEUE_MAX / 2 &&
               pthread_cond_timedwait(&s->work, &s->queue_lock, &until) == 0)
                ;
        first = s->first;
        s->first = NULL;
        s->last = &s->first;
        s->waiting = 0;
        s->writing = first;
        return first;
}

static void *journal_main(void *arg) {
        State *s = arg;
        Noted *first, *next;

        (void) pthread_mutex_lock(&s->queue_lock);
        while ((first = gather(s))) {
                (void) pthread_mutex_unlock(&s->queue_lock);
                write_all(s, first);
                for (; first; first = next) {
                        next = first->next;
                        free(first);
                }
                (void) pthread_mutex_lock(&s->queue_lock);
                s->writing = false;
                (void) pthread_cond_broadcast(&s->written);
        }
        (void) pthread_mutex_unlock(&s->queue_lock);
        return NULL;
}

static Noted *noted_new(const JournalEntry *entry) {
        const char *const texts[] = { entry->request_id, entry->key_path, entry->scheme,
                                      entry->hash,       entry->digest,   entry->signature_sha256,
                                      entry->exe };
        size_t len = 0, used = 0;
        Noted *n;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                len += strlen(texts[i]) + 1;
        n = malloc(sizeof(*n) + len);
        if (!n)
                return NULL;
        *n = (Noted){ .time_usec = entry->time_usec,
                      .record = entry->record,
                      .key_version = entry->key_version,
                      .uid = entry->uid };
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                memcpy(n->texts + used, texts[i], strlen(texts[i]) + 1);
                used += strlen(texts[i]) + 1;
        }
        return n;
}

void state_note(State *s, const JournalEntry *entry) {
        Noted *n = s ? noted_new(entry) : NULL;

        if (!n)
                return;
        (void) pthread_mutex_lock(&s->queue_lock);
        if (s->waiting < QUEUE_MAX) {
                *s->last = n;
                s->last = &n->next;
                if (s->waiting++ == 0)
                        (void) pthread_cond_signal(&s->work);
                n = NULL;
        }
        (void) pthread_mutex_unlock(&s->queue_lock);
        free(n);
}

static void wait_written(State *s) {
        (void) pthread_mutex_lock(&s->queue_lock);
        while (s->first || s->writing)
                (void) pthread_cond_wait(&s->written, &s->queue_lock);
        (void) pthread_mutex_unlock(&s->queue_lock);
}

static void copy_text(char *to, size_t size, sqlite3_stmt *q, int column) {
        snprintf(to, size, "%s", text_of(q, column));
}

/* JOURNAL_COLUMNS. */
static void entry_of_row(sqlite3_stmt *q, JournalEntry *ret) {
        *ret = (JournalEntry){
                .time_usec = (uint64_t) sqlite3_column_int64(q, 1),
                .record = (uint64_t) sqlite3_column_int64(q, 3),
                .key_version = (uint32_t) sqlite3_column_int64(q, 5),
                .uid = (uid_t) sqlite3_column_int64(q, 10),
        };
        copy_text(ret->request_id, sizeof(ret->request_id), q, 2);
        copy_text(ret->key_path, sizeof(ret->key_path), q, 4);
        copy_text(ret->scheme, sizeof(ret->scheme), q, 6);
        copy_text(ret->hash, sizeof(ret->hash), q, 7);
        copy_text(ret->digest, sizeof(ret->digest), q, 8);
        copy_text(ret->signature_sha256, sizeof(ret->signature_sha256), q, 9);
        copy_text(ret->exe, sizeof(ret->exe), q, 11);
}

int state_history(State *s, uint64_t before, uid_t uid, uint32_t limit,
                  int (*fn)(uint64_t number, const JournalEntry *entry, void *userdata),
                  void *userdata, Error *e) {
        bool all = uid == (uid_t) -1;
        JournalEntry entry;
        int rc, r = 0, i = 1;
        sqlite3_stmt *q;

        if (!s)
                return error_set(e, -CSIGN_E_NOT_FOUND, "this sidecar keeps no journal");
        wait_written(s);

        (void) pthread_mutex_lock(&s->lock);
        q = s->statements[all ? QUERY_HISTORY : QUERY_HISTORY_OF];
        if (!all)
                bind_number(q, i++, uid);
        bind_number(q, i++, before ? before : INT64_MAX);
        bind_number(q, i, limit);
        while ((rc = sqlite3_step(q)) == SQLITE_ROW && r >= 0) {
                entry_of_row(q, &entry);
                r = fn((uint64_t) sqlite3_column_int64(q, 0), &entry, userdata);
        }
        if (r >= 0 && rc != SQLITE_DONE)
                r = error_set(e, -EIO, "the journal cannot be read: %s", sqlite3_errmsg(s->db));
        finish(s, q, rc == SQLITE_ROW ? SQLITE_DONE : rc);
        (void) pthread_mutex_unlock(&s->lock);
        return r;
}

/* ---- life ---- */

static int start_thread(State *s) {
        sigset_t all, old;
        int r;

        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &old);
        r = pthread_create(&s->thread, NULL, journal_main, s);
        (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
        s->has_thread = r == 0;
        return -r;
}

int state_open(State **ret, const char *dir, uint64_t journal_max, Error *e) {
        _cleanup_(state_freep) State *s = calloc(1, sizeof(*s));
        pthread_condattr_t monotonic;
        int r;

        assert(ret && dir && journal_max > 0);

        if (!s)
                return error_set(e, -ENOMEM, "out of memory");
        (void) pthread_condattr_init(&monotonic);
        (void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void) pthread_mutex_init(&s->lock, NULL);
        (void) pthread_mutex_init(&s->queue_lock, NULL);
        (void) pthread_cond_init(&s->work, &monotonic);
        (void) pthread_cond_init(&s->written, NULL);
        (void) pthread_condattr_destroy(&monotonic);
        s->last = &s->first;
        s->journal_max = journal_max;

        r = dir_create(dir, 0700, e);
        if (r >= 0)
                r = open_database(s, dir, e);
        if (r >= 0)
                r = start_thread(s);
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}

void state_free(State *s) {
        if (!s)
                return;
        (void) pthread_mutex_lock(&s->queue_lock);
        s->stop = true;
        (void) pthread_cond_broadcast(&s->work);
        (void) pthread_mutex_unlock(&s->queue_lock);
        if (s->has_thread)
                (void) pthread_join(s->thread, NULL);
        for (size_t i = 0; i < QUERIES_MAX_; i++)
                (void) sqlite3_finalize(s->statements[i]);
        (void) sqlite3_close(s->db);
        (void) pthread_cond_destroy(&s->work);
        (void) pthread_cond_destroy(&s->written);
        (void) pthread_mutex_destroy(&s->lock);
        (void) pthread_mutex_destroy(&s->queue_lock);
        free(s);
}
