/* SPDX-License-Identifier: Apache-2.0 */

#include "service/enrollments.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "service/db/queries.h"

#define ID_LEN 30 /* "enr_" and 26 */

/* ---- the code ---- */

int enrollment_new(Enrollment *en, Secret *ret_code, Error *e) {
        char secret[ID_MAX], code[ENROLLMENT_CODE_LEN + 1];
        int r;

        r = id_new(en->id, "enr");
        if (r >= 0)
                r = id_new(secret, "enr"); /* 128 random bits, behind a prefix that is left off */
        if (r < 0)
                return error_set(e, r, "no random bytes");

        snprintf(code, sizeof(code), "%.30s.%.26s", en->id, secret + strlen("enr_"));
        sha256(code, strlen(code), en->hash);
        r = secret_new(ret_code, code, strlen(code));
        erase(secret, sizeof(secret));
        erase(code, sizeof(code));
        return r;
}

bool enrollment_code_parse(const char *text, char id[static ID_MAX]) {
        if (strlen(text) != ENROLLMENT_CODE_LEN || text[ID_LEN] != '.' ||
            strspn(text + ID_LEN + 1, "abcdefghijklmnopqrstuvwxyz234567") !=
                    ENROLLMENT_CODE_LEN - ID_LEN - 1)
                return false;
        snprintf(id, ID_MAX, "%.*s", ID_LEN, text);
        return id_is_valid(id, "enr");
}

/* ---- rows ---- */

typedef struct Found {
        EnrollmentUse use;
        uint8_t hash[SHA256_SIZE];
} Found;

/* Columns of SQL_ENROLLMENT_FIND. */
static int take_use(DbRow *row, void *userdata) {
        Found *f = userdata;
        Account *a = &f->use.account;
        Error ignored = {};
        const uint8_t *hash;
        size_t len;

        hash = db_row_blob(row, 0, &len);
        if (len != SHA256_SIZE)
                return -EBADMSG;
        memcpy(f->hash, hash, SHA256_SIZE);
        f->use.key_days = (uint32_t) db_row_int(row, 1);
        snprintf(a->id, sizeof(a->id), "%s", db_row_text(row, 2));
        snprintf(a->path, sizeof(a->path), "%s", db_row_text(row, 3));
        snprintf(a->tsg, sizeof(a->tsg), "%s", db_row_text(row, 4));
        a->enabled = strcmp(db_row_text(row, 6), "enabled") == 0;
        a->expires = (uint64_t) db_row_int(row, 7);
        return networks_parse(&a->networks, db_row_text(row, 5), &ignored) < 0 ? -EBADMSG : 0;
}

static int refuse_code(Error *e) {
        return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, "enrollment-code",
                              "the enrollment code is not known: it may have been used, or be too "
                              "old; ask for a new one");
}

int enrollment_find(Db *db, const char *code, uint64_t now, EnrollmentUse *ret, Error *e) {
        uint8_t hash[SHA256_SIZE];
        Found f = {};
        int r;

        if (!enrollment_code_parse(code, f.use.id))
                return refuse_code(e);
        sha256(code, strlen(code), hash);
        r = db_read(db, SQL_ENROLLMENT_FIND, DB_ARGS(DB_TEXT(f.use.id), DB_INT(now)), take_use, &f,
                    e);
        if (r < 0)
                return r;
        f.use.wrong = r > 0 && CRYPTO_memcmp(hash, f.hash, SHA256_SIZE) != 0;
        *ret = f.use;
        return r == 0 || f.use.wrong ? refuse_code(e) : 0;
}

typedef struct Listing {
        int (*fn)(const Enrollment *en, void *userdata);
        void *userdata;
} Listing;

static int list_row(DbRow *row, void *userdata) {
        const Listing *l = userdata;
        Enrollment en = {
                .created = (uint64_t) db_row_int(row, 1),
                .expires = (uint64_t) db_row_int(row, 2),
        };

        snprintf(en.id, sizeof(en.id), "%s", db_row_text(row, 0));
        return l->fn(&en, l->userdata);
}

int enrollment_list(Db *db, const char *account, uint64_t now,
                    int (*fn)(const Enrollment *en, void *userdata), void *userdata, Error *e) {
        Listing l = { .fn = fn, .userdata = userdata };

        return db_read(db, SQL_ENROLLMENT_LIST,
                       DB_ARGS(DB_TEXT(account), DB_INT(now), DB_INT(ENROLLMENTS_MAX)), list_row,
                       &l, e);
}

/* ---- changes ---- */

static int take_count(DbRow *row, void *userdata) {
        *(int64_t *) userdata = db_row_int(row, 0);
        return 0;
}

int enrollment_insert(DbConn *c, const char *account, const Enrollment *en, Error *e) {
        int64_t n = 0;
        int r;

        r = db_exec(c, SQL_ENROLLMENT_EXPIRE, DB_ARGS(DB_INT(en->created)), e);
        if (r >= 0)
                r = db_query(c, SQL_ENROLLMENT_COUNT, DB_ARGS(DB_TEXT(account)), take_count, &n, e);
        if (r < 0)
                return r;
        if (n >= ENROLLMENTS_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "the account has %d open enrollment codes: remove one",
                                 ENROLLMENTS_MAX);
        return db_exec(c, SQL_ENROLLMENT_INSERT,
                       DB_ARGS(DB_TEXT(en->id), DB_TEXT(account), DB_BLOB(en->hash, SHA256_SIZE),
                               DB_INT(en->created), DB_INT(en->expires), DB_INT(en->key_days),
                               DB_INT(ENROLLMENT_ATTEMPTS)),
                       e);
}

int enrollment_delete(DbConn *c, const char *account, const char *id, Error *e) {
        int r;

        r = db_exec(c, SQL_ENROLLMENT_DELETE, DB_ARGS(DB_TEXT(account), DB_TEXT(id)), e);
        if (r == 0)
                return error_set(e, -CSIGN_E_NOT_FOUND, "the account has no enrollment '%s'", id);
        return r;
}

int enrollment_guessed(DbConn *c, const char *id, Error *e) {
        return db_exec(c, SQL_ENROLLMENT_GUESSED, DB_ARGS(DB_TEXT(id)), e);
}

int enrollment_use(DbConn *c, const char *id, uint64_t now, Error *e) {
        int r;

        r = db_exec(c, SQL_ENROLLMENT_USE, DB_ARGS(DB_TEXT(id), DB_INT(now)), e);
        return r == 0 ? refuse_code(e) : r;
}
