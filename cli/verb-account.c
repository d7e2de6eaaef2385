/* SPDX-License-Identifier: Apache-2.0 */
/* csign account: built-in accounts, which sidecars authenticate as.  The key pair is made here; the
 * service learns its public half alone. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "cli/ask-service.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "lib/alg.h"
#include "lib/file.h"
#include "lib/id.h"
#include "lib/key-uri.h"
#include "lib/ossl.h"

static const char *arg_algorithm = "P-256", *arg_key_out;
static uint64_t arg_validity_days;

/* ---- the key pair ---- */

static int pair_generate(EVP_PKEY **ret, Error *e) {
        const KeyAlg *alg = key_alg_by_name(arg_algorithm);

        if (strcasecmp(arg_algorithm, "Ed25519") == 0)
                *ret = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        else if (!alg)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "--algorithm: there is no '%s'",
                                 arg_algorithm);
        else
                *ret = alg->group ? EVP_EC_gen(alg->group) : EVP_RSA_gen(alg->bits);
        return *ret ? 0 : error_set(e, -EIO, "cannot make a key pair of %s", arg_algorithm);
}

/* The private half, to a file that nobody else reads and that was not there before. */
static int pair_save(const EVP_PKEY *pkey, Error *e) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_secmem());
        char *text;
        long len;
        int r;

        if (!bio || !PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL))
                return error_set(e, -EIO, "cannot encode the private key");
        len = BIO_get_mem_data(bio, &text);
        r = file_create(arg_key_out, text, (size_t) len, 0600, e);
        erase(text, (size_t) len);
        return r;
}

static int pair_public(EVP_PKEY *pkey, Buf *ret) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
        char *text;
        long len;

        if (!bio || !PEM_write_bio_PUBKEY(bio, pkey))
                return -ENOMEM;
        len = BIO_get_mem_data(bio, &text);
        return buf_append(ret, text, (size_t) len);
}

/* ---- create ---- */

static int account_register(const char *path, const char *public_key, json_t **ret, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *body = NULL;
        int r;

        body = json_pack("{s:s, s:s}", "path", path, "public_key", public_key);
        if (arg_validity_days)
                (void) json_object_set_new(body, "validity_days",
                                           json_integer((json_int_t) arg_validity_days));
        r = admin_open(&a, e);
        return r < 0 ? r : admin_call(a, "POST", "/v1/accounts", body, ret, e);
}

static int account_create(char *args[], size_t n, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        _cleanup_(json_decrefp) json_t *account = NULL;
        _cleanup_(buf_done) Buf public_key = {};
        char path[PATH_MAX_LEN];
        int r;

        r = path_normalize(args[0], path, e);
        if (r < 0)
                return r;
        r = pair_generate(&pkey, e);
        if (r < 0)
                return r;
        r = pair_public(pkey, &public_key);
        if (r < 0)
                return r;
        /* First the file: an account whose key is lost would be of no use. */
        r = pair_save(pkey, e);
        if (r < 0)
                return r;
        r = account_register(path, buf_str(&public_key), &account, e);
        if (r < 0) {
                (void) unlink(arg_key_out);
                return r;
        }
        output_result(account, "Created account %s: client id %s, private key in %s.",
                      json_text_at(account, "path"), json_text_at(account, "id"), arg_key_out);
        return 0;
}

static const Option account_create_options[] = {
        { "key-out", "FILE", "where its private key goes, mode 0600", &arg_key_out,
          .required = true },
        { "algorithm", "NAME", "P-256 (default) P-384 RSA-3072 RSA-4096 Ed25519", &arg_algorithm },
        { "validity-days", "N", "until the key must be changed (default 365)", &arg_validity_days,
          OPTION_NUMBER },
};

static const Verb verb_account_create = {
        .name = "account create",
        .args = "PATH --key-out FILE",
        .help = "makes an account and its key",
        .example = "csign account create acme/mobile/ci --key-out ci.key",
        OPTIONS(account_create_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_create,
};

/* ---- list, show ---- */

static int account_list(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "ACCOUNT", "path" },
                { "ID", "id" },
                { "STATE", "state", COLUMN_STATE },
                { "CREATED", "created" },
                { "EXPIRES", "expires" },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *accounts = NULL;
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = admin_list(a, "/v1/accounts", "accounts", &accounts, e);
        if (r < 0)
                return r;
        output_list(accounts, columns, ELEMENTSOF(columns), "No account.");
        return 0;
}

static const Verb verb_account_list = {
        .name = "account list",
        .args = "",
        .help = "the accounts that you reach",
        .example = "csign account list",
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_list,
};

/* The id of an account that is named by its path. */
static int account_find_id(Admin *a, const char *name, Buf *ret, Error *e) {
        _cleanup_(json_decrefp) json_t *accounts = NULL;
        char path[PATH_MAX_LEN];
        json_t *account;
        size_t i;
        int r;

        if (id_is_valid(name, "acc"))
                return buf_append_str(ret, name);
        r = path_normalize(name, path, e);
        if (r < 0)
                return r;
        r = admin_list(a, "/v1/accounts", "accounts", &accounts, e);
        if (r < 0)
                return r;
        json_array_foreach(accounts, i,
                           account) if (strcmp(json_text_at(account, "path"), path) ==
                                        0) return buf_append_str(ret, json_text_at(account, "id"));
        return error_set(e, -CSIGN_E_NOT_FOUND, "no account '%s' that you reach", path);
}

static int account_call(Admin *a, const char *name, const char *method, const json_t *body,
                        json_t **ret, Error *e) {
        _cleanup_(buf_done) Buf id = {}, path = {};
        int r;

        r = account_find_id(a, name, &id, e);
        if (r < 0)
                return r;
        r = admin_path(&path, "/v1/accounts/%s", buf_str(&id));
        return r < 0 ? r : admin_call(a, method, buf_str(&path), body, ret, e);
}

static int account_show(char *args[], size_t n, Error *e) {
        static const Column fields[] = {
                { "Account", "path" },
                { "Client id", "id" },
                { "State", "state", COLUMN_STATE },
                { "Created", "created" },
                { "Expires", "expires" },
        };
        static const Column keys[] = {
                { "KEY", "id" },
                { "ALGORITHM", "algorithm" },
                { "THUMBPRINT", "thumbprint" },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *account = NULL;
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = account_call(a, args[0], "GET", NULL, &account, e);
        if (r < 0)
                return r;
        output_object(account, fields, ELEMENTSOF(fields));
        if (!arg_json)
                output_list(json_object_get(account, "keys"), keys, ELEMENTSOF(keys), "No key.");
        return 0;
}

static const Verb verb_account_show = {
        .name = "account show",
        .args = "PATH|ID",
        .help = "one account and its keys",
        .example = "csign account show acme/mobile/ci",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_show,
};

/* ---- enable, disable ---- */

static int account_set_state(const char *name, const char *state, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *account = NULL;
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:s}", "state", state);
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = account_call(a, name, "PATCH", body, &account, e);
        if (r < 0)
                return r;
        output_result(account, "Account %s is %s.", json_text_at(account, "path"),
                      json_text_at(account, "state"));
        return 0;
}

static int account_enable(char *args[], size_t n, Error *e) {
        return account_set_state(args[0], "enabled", e);
}

static int account_disable(char *args[], size_t n, Error *e) {
        return account_set_state(args[0], "disabled", e);
}

static const Verb verb_account_enable = {
        .name = "account enable",
        .args = "PATH|ID",
        .help = "lets it log in again",
        .example = "csign account enable acme/mobile/ci",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_enable,
};

static const Verb verb_account_disable = {
        .name = "account disable",
        .args = "PATH|ID",
        .help = "locks it out, at once",
        .example = "csign account disable acme/mobile/ci",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = account_disable,
};

const Verb verb_account = {
        .name = "account",
        .args = "create|list|show|...",
        .help = "accounts of sidecars: also enable, disable",
        .verbs =
                (const Verb *const[]){ &verb_account_create, &verb_account_list, &verb_account_show,
                                       &verb_account_enable, &verb_account_disable, NULL },
};
