/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of accounts. */

#include "service/accounts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "lib/alg.h"
#include "lib/ossl.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/principal.h"
#include "service/revision.h"

/* ---- reading ---- */

static void account_from_row(DbRow *row, Account *a) {
        snprintf(a->id, sizeof(a->id), "%s", db_row_text(row, 0));
        snprintf(a->tsg, sizeof(a->tsg), "%s", db_row_text(row, 1));
        snprintf(a->name, sizeof(a->name), "%s", db_row_text(row, 2));
        snprintf(a->path, sizeof(a->path), "%s", db_row_text(row, 3));
        a->enabled = strcmp(db_row_text(row, 4), "enabled") == 0;
        a->created = (uint64_t) db_row_int(row, 5);
        a->expires = (uint64_t) db_row_int(row, 6);
        a->revision = (uint64_t) db_row_int(row, 7);
        a->last_used = (uint64_t) db_row_int(row, 9);
}

static int take_account_key(DbRow *row, void *userdata) {
        Account *a = userdata;
        AccountKey *k = &a->keys[a->n_keys];
        const uint8_t *thumbprint;
        size_t len;

        if (a->n_keys >= ACCOUNT_KEYS_MAX)
                return -E2BIG;
        snprintf(k->id, sizeof(k->id), "%s", db_row_text(row, 0));
        thumbprint = db_row_blob(row, 1, &len);
        if (len != SHA256_SIZE)
                return -EBADMSG;
        memcpy(k->thumbprint, thumbprint, SHA256_SIZE);
        snprintf(k->algorithm, sizeof(k->algorithm), "%s", db_row_text(row, 2));
        k->created = (uint64_t) db_row_int(row, 3);
        k->expires = (uint64_t) db_row_int(row, 4);
        k->last_used = (uint64_t) db_row_int(row, 5);
        a->n_keys++;
        return 0;
}

typedef struct Listing {
        DbConn *c;
        int (*fn)(const Account *a, void *userdata);
        void *userdata;
        Error *e;
} Listing;

static int list_row(DbRow *row, void *userdata) {
        Listing *l = userdata;
        Account a = {};
        int r;

        account_from_row(row, &a);
        r = networks_parse(&a.networks, db_row_text(row, 8), l->e);
        if (r < 0)
                return -EBADMSG;
        r = db_query(l->c, SQL_ACCOUNT_KEYS, DB_ARGS(DB_TEXT(a.id)), take_account_key, &a, l->e);
        return r < 0 ? r : l->fn(&a, l->userdata);
}

static int list(Db *db, const char *sql, const DbValue *args, size_t n, Listing *l) {
        int r;

        r = db_acquire(db, &l->c, l->e);
        if (r < 0)
                return r;
        r = db_query(l->c, sql, args, n, list_row, l, l->e);
        db_release(db, l->c);
        return r;
}

int account_list(Db *db, const Root *root, const char *after, unsigned limit,
                 int (*fn)(const Account *a, void *userdata), void *userdata, Error *e) {
        Listing l = { .fn = fn, .userdata = userdata, .e = e };
        PathRange range;

        path_range(root->id, root->path, after, &range);
        return list(db, SQL_ACCOUNT_LIST, DB_ARGS(PATH_RANGE_ARGS(&range), DB_INT(limit)), &l);
}

static int copy_account(const Account *a, void *userdata) {
        *(Account *) userdata = *a;
        return 0;
}

int account_by_id(Db *db, const char *scope, const char *id, Account *ret, Error *e) {
        Account a = {};
        Listing l = { .fn = copy_account, .userdata = &a, .e = e };
        int r;

        r = list(db, SQL_ACCOUNT_BY_ID, DB_ARGS(DB_TEXT(scope), DB_TEXT(id)), &l);
        if (r < 0)
                return r;
        if (r == 0)
                return error_set_rule(e, -CSIGN_E_NOT_FOUND, "scope", "there is no such account");
        *ret = a;
        return 0;
}

/* ---- logging in ---- */

static int take_login(DbRow *row, void *userdata) {
        AccountLogin *l = userdata;
        uint64_t key_expires;
        const uint8_t *spki;
        Error ignored = {};
        size_t len;

        spki = db_row_blob(row, 0, &len);
        l->enabled = strcmp(db_row_text(row, 1), "enabled") == 0;
        l->expires = (uint64_t) db_row_int(row, 2);
        snprintf(l->path, sizeof(l->path), "%s", db_row_text(row, 3));
        snprintf(l->tsg, sizeof(l->tsg), "%s", db_row_text(row, 4));
        key_expires = (uint64_t) db_row_int(row, 6);
        if (key_expires < l->expires)
                l->expires = key_expires;
        if (networks_parse(&l->networks, db_row_text(row, 5), &ignored) < 0)
                return -EBADMSG;
        buf_clear(&l->spki);
        return buf_append(&l->spki, spki, len);
}

int account_login(Db *db, const char *id, const uint8_t thumbprint[static SHA256_SIZE],
                  AccountLogin *ret, Error *e) {
        int r;

        r = db_read(db, SQL_ACCOUNT_LOGIN, DB_ARGS(DB_TEXT(id), DB_BLOB(thumbprint, SHA256_SIZE)),
                    take_login, ret, e);
        if (r == 0)
                return error_set_rule(
                        e, -CSIGN_E_UNAUTHENTICATED, "client-key",
                        "there is no account '%.40s' with the key of this TLS connection", id);
        return r < 0 ? r : 0;
}

/* ---- keys ---- */

const char *account_key_algorithm(const EVP_PKEY *key) {
        const KeyAlg *alg;

        if (EVP_PKEY_is_a(key, "ED25519"))
                return "Ed25519";
        alg = key_alg_of_pkey(key);
        return alg && strcmp(alg->name, "P-521") != 0 ? alg->name : NULL;
}

int account_key_parse(const char *pem, Buf *spki, const char **ret_algorithm, Error *e) {
        _cleanup_(BIO_free_allp) BIO *bio = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        unsigned char *der = NULL;
        const char *algorithm;
        int len, r;

        bio = BIO_new_mem_buf(pem, -1);
        if (!bio)
                return -ENOMEM;
        ERR_set_mark();
        key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        ERR_pop_to_mark();
        if (!key)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'public_key' is not a PEM public key (BEGIN PUBLIC KEY)");

        algorithm = account_key_algorithm(key);
        if (!algorithm)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "an account's key is P-256, P-384, Ed25519, or RSA of 2048, 3072 "
                                 "or 4096 bits");

        len = i2d_PUBKEY(key, &der);
        if (len <= 0)
                return -EIO;
        buf_clear(spki);
        r = buf_append(spki, der, (size_t) len);
        OPENSSL_free(der);
        if (r >= 0)
                *ret_algorithm = algorithm;
        return r;
}

int account_key_new(const char *pem, uint64_t created, uint32_t days, AccountKey *ret, Buf *spki,
                    Error *e) {
        AccountKey k = { .created = created, .expires = created + days * USEC_PER_DAY };
        const char *algorithm;
        int r;

        r = account_key_parse(pem, spki, &algorithm, e);
        if (r < 0)
                return r;
        sha256(spki->data, spki->len, k.thumbprint);
        snprintf(k.algorithm, sizeof(k.algorithm), "%s", algorithm);
        r = id_new(k.id, "ack");
        if (r >= 0)
                *ret = k;
        return r;
}

static int generate(const char *algorithm, EVP_PKEY **ret, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        const KeyAlg *alg = key_alg_by_name(algorithm);

        if (strcmp(algorithm, "Ed25519") == 0)
                key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        else if (alg && alg->group)
                key = EVP_EC_gen(alg->group);
        else if (alg && alg->bits)
                key = EVP_RSA_gen(alg->bits);
        if (!key || !account_key_algorithm(key)) {
                ERR_clear_error();
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'generate' is P-256, P-384, Ed25519, RSA-2048, RSA-3072 or "
                                 "RSA-4096, not '%.32s'",
                                 algorithm);
        }
        *ret = TAKE(key);
        return 0;
}

int account_key_generate(const char *algorithm, Buf *ret_public_pem, Secret *ret_pem, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(BIO_free_allp) BIO *pub = BIO_new(BIO_s_mem()), *pem = BIO_new(BIO_s_secmem());
        char *text;
        long len;
        int r;

        r = generate(algorithm, &key, e);
        if (r < 0)
                return r;
        if (!pub || !pem || PEM_write_bio_PUBKEY(pub, key) != 1 ||
            PEM_write_bio_PKCS8PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) != 1)
                return error_set(e, -EIO, "a new key pair cannot be encoded");

        len = BIO_get_mem_data(pub, &text);
        r = buf_append(ret_public_pem, text, (size_t) len);
        if (r < 0)
                return r;
        len = BIO_get_mem_data(pem, &text);
        r = secret_new(ret_pem, text, (size_t) len);
        erase(text, (size_t) len);
        return r;
}

/* ---- changes ---- */

int account_insert(DbConn *c, const Account *a, Error *e) {
        char networks[NETWORKS_TEXT];
        int r;

        r = db_exec(c, SQL_ACCOUNT_INSERT,
                    DB_ARGS(DB_TEXT(a->id), DB_TEXT(a->tsg), DB_TEXT(a->name), DB_TEXT(a->path),
                            DB_INT(a->created), DB_INT(a->expires),
                            DB_TEXT(networks_text(&a->networks, networks))),
                    e);
        if (r == -EEXIST)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS, "there is an account '%s' already",
                                 a->path);
        return r;
}

int account_touch(DbConn *c, const char *id, uint64_t if_match, Error *e) {
        return revision_bump(c, SQL_ACCOUNT_TOUCH, "account", id, if_match, e);
}

int account_change(DbConn *c, const char *id, const AccountChange *change, Error *e) {
        char networks[NETWORKS_TEXT];
        int r;

        r = db_exec(c, SQL_ACCOUNT_CHANGE,
                    DB_ARGS(change->state ? DB_TEXT(change->state) : DB_NULL,
                            change->expires ? DB_INT(change->expires) : DB_NULL,
                            change->networks ? DB_TEXT(networks_text(change->networks, networks))
                                             : DB_NULL,
                            DB_TEXT(id)),
                    e);
        if (r >= 0 && change->state && strcmp(change->state, "disabled") == 0)
                r = db_exec(c, SQL_TOKEN_DROP, DB_ARGS(DB_TEXT(id)), e);
        return r;
}

int account_delete(DbConn *c, const char *id, Error *e) {
        static const char *const parts[] = {
                SQL_TOKEN_DROP,
                SQL_ASSERTION_DROP,
                SQL_ENROLLMENT_DROP,
                SQL_ACCOUNT_KEYS_DROP,
        };
        int r;

        r = principal_forget(c, id, e);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(parts); i++)
                r = db_exec(c, parts[i], DB_ARGS(DB_TEXT(id)), e);
        return r < 0 ? r : db_exec(c, SQL_ACCOUNT_DELETE, DB_ARGS(DB_TEXT(id)), e);
}

static int take_count(DbRow *row, void *userdata) {
        *(int64_t *) userdata = db_row_int(row, 0);
        return 0;
}

int account_key_insert(DbConn *c, const char *account, const AccountKey *k, const Buf *spki,
                       Error *e) {
        int64_t n = 0;
        int r;

        r = db_exec(c, SQL_ACCOUNT_KEYS_EXPIRE, DB_ARGS(DB_TEXT(account), DB_INT(k->created)), e);
        if (r >= 0)
                r = db_query(c, SQL_ACCOUNT_KEYS_COUNT, DB_ARGS(DB_TEXT(account)), take_count, &n,
                             e);
        if (r < 0)
                return r;
        if (n >= ACCOUNT_KEYS_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "the account has %d keys, which is the most: remove one",
                                 ACCOUNT_KEYS_MAX);

        r = db_exec(c, SQL_ACCOUNT_KEY_INSERT,
                    DB_ARGS(DB_TEXT(k->id), DB_TEXT(account), DB_BLOB(k->thumbprint, SHA256_SIZE),
                            DB_BLOB(spki->data, spki->len), DB_TEXT(k->algorithm),
                            DB_INT(k->created), DB_INT(k->expires)),
                    e);
        if (r == -EEXIST)
                return error_set(e, -CSIGN_E_ALREADY_EXISTS,
                                 "an account with this public key exists already");
        return r;
}

int account_key_delete(DbConn *c, const char *account, const char *id, Error *e) {
        int r;

        r = db_exec(c, SQL_TOKEN_DROP_KEY, DB_ARGS(DB_TEXT(account), DB_TEXT(account), DB_TEXT(id)),
                    e);
        if (r >= 0)
                r = db_exec(c, SQL_ACCOUNT_KEY_DELETE, DB_ARGS(DB_TEXT(account), DB_TEXT(id)), e);
        if (r == 0)
                return error_set(e, -CSIGN_E_NOT_FOUND, "the account has no key '%s'", id);
        return r;
}

int account_key_end(DbConn *c, const char *account, const char *id, uint64_t when, Error *e) {
        int r;

        r = db_exec(c, SQL_ACCOUNT_KEY_END,
                    DB_ARGS(DB_INT(when), DB_TEXT(account), DB_TEXT(id), DB_INT(when)), e);
        if (r == 0)
                return error_set(e, -CSIGN_E_NOT_FOUND,
                                 "the account has no key '%s' that lasts longer", id);
        return r;
}

int account_used(DbConn *c, const char *account, const uint8_t thumbprint[static SHA256_SIZE],
                 uint64_t when, Error *e) {
        int r;

        r = db_exec(c, SQL_ACCOUNT_USED, DB_ARGS(DB_INT(when), DB_TEXT(account)), e);
        if (r >= 0)
                r = db_exec(c, SQL_ACCOUNT_KEY_USED,
                            DB_ARGS(DB_INT(when), DB_BLOB(thumbprint, SHA256_SIZE)), e);
        return r;
}
