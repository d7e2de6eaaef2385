/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Built-in accounts, what sidecars authenticate as.  Secrets are in the database only as SHA-256.
 */

#include <stdbool.h>
#include <stdint.h>

#include <openssl/types.h>

#include "lib/buf.h"
#include "lib/id.h"
#include "lib/key-uri.h"
#include "service/db/db.h"
#include "service/digest.h"
#include "service/networks.h"
#include "service/tsg.h"

typedef struct AccountKey {
        char id[ID_MAX];
        uint8_t thumbprint[SHA256_SIZE]; /* of the SubjectPublicKeyInfo */
        char algorithm[16];
        uint64_t created, expires;
        uint64_t last_used; /* when it last got a token; 0: never */
} AccountKey;

#define ACCOUNT_KEYS_MAX 8

typedef struct Account {
        char id[ID_MAX];
        char tsg[ID_MAX];
        char name[NAME_MAX_LEN + 1];
        char path[PATH_MAX_LEN];
        bool enabled;
        uint64_t created, expires;
        AccountKey keys[ACCOUNT_KEYS_MAX];
        size_t n_keys;
        uint64_t revision;
        Networks networks; /* where it may come from */
        uint64_t last_used;
} Account;

/* -CSIGN_E_NOT_FOUND when there is none in the scope. */
int account_by_id(Db *db, const char *scope, const char *id, Account *ret, Error *e);
int account_list(Db *db, const Root *root, const char *after, unsigned limit,
                 int (*fn)(const Account *a, void *userdata), void *userdata, Error *e);

/* Reads a PEM public key that an account can authenticate with: P-256, P-384, Ed25519, or RSA of
 * 2048 to 4096 bits.  -CSIGN_E_BAD_REQUEST.  *ret_algorithm is a constant. */
int account_key_parse(const char *pem, Buf *spki, const char **ret_algorithm, Error *e);

/* A fresh key's row of such a PEM; spki is its SubjectPublicKeyInfo. */
int account_key_new(const char *pem, uint64_t created, uint32_t days, AccountKey *ret, Buf *spki,
                    Error *e);

/* Makes a pair, of which the private half is in *ret_pem (PKCS#8) and nowhere else. */
int account_key_generate(const char *algorithm, Buf *ret_public_pem, Secret *ret_pem, Error *e);

/* The same of a key: its name, or NULL if accounts cannot have such keys. */
const char *account_key_algorithm(const EVP_PKEY *key);

/* What the token endpoint needs of an account and the one of its keys that the TLS client showed.
 */
typedef struct AccountLogin {
        char path[PATH_MAX_LEN];
        char tsg[ID_MAX];
        Buf spki;
        bool enabled;
        uint64_t expires; /* the account's, or the key's if that is sooner */
        Networks networks;
} AccountLogin;

/* -CSIGN_E_UNAUTHENTICATED when there is no such account with such a key. */
int account_login(Db *db, const char *id, const uint8_t thumbprint[static SHA256_SIZE],
                  AccountLogin *ret, Error *e);

/* ---- changes, for audit jobs ---- */

/* -CSIGN_E_ALREADY_EXISTS: the path is taken. */
int account_insert(DbConn *c, const Account *a, Error *e);

/* What a change of the account begins with, or of its keys (revision.h).  That it was used changes
 * no revision: who administers it would meet a 412 for nothing. */
int account_touch(DbConn *c, const char *id, uint64_t if_match, Error *e);

/* What stays as it is: NULL, or 0.  Disabling drops its tokens. */
typedef struct AccountChange {
        const char *state; /* "enabled" or "disabled" */
        uint64_t expires;
        const Networks *networks;
} AccountChange;

int account_change(DbConn *c, const char *id, const AccountChange *change, Error *e);

/* With its keys, tokens and enrollments. */
int account_delete(DbConn *c, const char *id, Error *e);

/* Adds a key, and drops those whose time is over.  -CSIGN_E_ALREADY_EXISTS: the key is some
 * account's; -CSIGN_E_BAD_REQUEST: there are ACCOUNT_KEYS_MAX. */
int account_key_insert(DbConn *c, const char *account, const AccountKey *k, const Buf *spki,
                       Error *e);

/* These end the key's tokens with it.  -CSIGN_E_NOT_FOUND. */
int account_key_delete(DbConn *c, const char *account, const char *id, Error *e);
int account_key_end(DbConn *c, const char *account, const char *id, uint64_t when, Error *e);

/* That it got a token: written then, and not with each use of it. */
int account_used(DbConn *c, const char *account, const uint8_t thumbprint[static SHA256_SIZE],
                 uint64_t when, Error *e);
