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
#include "service/tsg.h"

typedef struct AccountKey {
        char id[ID_MAX];
        uint8_t thumbprint[SHA256_SIZE]; /* of the SubjectPublicKeyInfo */
        char algorithm[16];
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
} Account;

/* -CSIGN_E_NOT_FOUND when there is none in the scope. */
int account_by_id(Db *db, const char *scope, const char *id, Account *ret, Error *e);
int account_list(Db *db, const Root *root, const char *after, unsigned limit,
                 int (*fn)(const Account *a, void *userdata), void *userdata, Error *e);

/* Reads a PEM public key that an account can authenticate with: P-256, P-384, Ed25519, or RSA of
 * 2048 to 4096 bits.  -CSIGN_E_BAD_REQUEST.  *ret_algorithm is a constant. */
int account_key_parse(const char *pem, Buf *spki, const char **ret_algorithm, Error *e);

/* The same of a key: its name, or NULL if accounts cannot have such keys. */
const char *account_key_algorithm(const EVP_PKEY *key);

/* What the token endpoint needs of an account and the one of its keys that the TLS client showed.
 */
typedef struct AccountLogin {
        char path[PATH_MAX_LEN];
        char tsg[ID_MAX];
        Buf spki;
        bool enabled;
        uint64_t expires;
} AccountLogin;

/* -CSIGN_E_UNAUTHENTICATED when there is no such account with such a key. */
int account_login(Db *db, const char *id, const uint8_t thumbprint[static SHA256_SIZE],
                  AccountLogin *ret, Error *e);

/* ---- changes, for audit jobs ---- */

/* With its first key, whose SPKI is spki.  -CSIGN_E_ALREADY_EXISTS: the path, or the key, is taken.
 */
int account_insert(DbConn *c, const Account *a, const Buf *spki, Error *e);
int account_set_enabled(DbConn *c, const char *id, bool enabled,
                        Error *e); /* disabling drops its tokens */
