/* SPDX-License-Identifier: Apache-2.0 */
/* The first database, the system's authority, the service's TLS certificate, the owner and its API
 * key. */

#include "service/init.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "lib/file.h"
#include "lib/log.h"
#include "lib/ossl.h"
#include "service/accounts.h"
#include "service/audit/entry.h"
#include "service/ca/ca.h"
#include "service/clock.h"
#include "service/keystore/keystore.h"
#include "service/service.h"
#include "service/tls.h"

typedef struct Init {
        const Config *config;
        const InitOptions *options;
        char api_key_file[PATH_MAX];
        Keystore *keystore;
        Db *db;
        Tsg top;
        char user_id[ID_MAX];
        Secret api_key;
        uint8_t api_key_hash[SHA256_SIZE];
        Authority authority;
        Certificate tls_cert;
        Secret tls_key; /* PEM */
} Init;

static void init_done(Init *in) {
        secret_done(&in->api_key);
        secret_done(&in->tls_key);
        authority_done(&in->authority);
        certificate_done(&in->tls_cert);
        keystore_close(in->keystore);
        db_close(in->db);
}

/* ---- the service's own TLS key: the one key that is not in the key store, since TLS needs it at
 * hand ---- */

static int key_to_pem(EVP_PKEY *key, Secret *ret, Error *e) {
        BIO *bio = BIO_new(BIO_s_secmem());
        char *text;
        long len;
        int r;

        if (!bio || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
                BIO_free(bio);
                return error_set(e, -EIO, "cannot encode the TLS key");
        }
        len = BIO_get_mem_data(bio, &text);
        r = secret_new(ret, text, (size_t) len);
        BIO_free(bio);
        return r;
}

static int make_tls(Init *in, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
        _cleanup_(buf_done) Buf spki = {};
        CertRequest cr = {
                .profile = CERT_TLS_SERVER,
                .common_name = "csign-service",
                .spki = &spki,
                .days = 397,
                .names = in->config->san,
        };
        unsigned char *der = NULL;
        int len, r;

        len = key ? i2d_PUBKEY(key, &der) : -1;
        if (len <= 0)
                return error_set(e, -EIO, "cannot make the TLS key");
        r = buf_append(&spki, der, (size_t) len);
        OPENSSL_free(der);
        if (r >= 0)
                r = key_to_pem(key, &in->tls_key, e);
        return r < 0 ? r : ca_issue(in->keystore, &in->authority, &cr, &in->tls_cert, e);
}

static int certificates_to_pem(const Buf *const ders[], size_t n, Buf *ret) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
        char *text;
        long len;

        for (size_t i = 0; i < n; i++)
                if (!bio || PEM_write_bio(bio, PEM_STRING_X509, "", ders[i]->data,
                                          (long) ders[i]->len) <= 0)
                        return -ENOMEM;
        len = BIO_get_mem_data(bio, &text);
        return buf_append(ret, text, (size_t) len);
}

static int write_state(const Config *c, const char *name, const void *data, size_t len, mode_t mode,
                       Error *e) {
        char path[PATH_MAX];
        int r;

        r = service_file(c, name, path, sizeof(path), e);
        return r < 0 ? r : file_replace(path, data, len, mode, e);
}

static int write_tls_files(const Init *in, Error *e) {
        const Buf *chain[] = { &in->tls_cert.der, &in->authority.certificate };
        _cleanup_(buf_done) Buf cert = {}, ca = {};
        int r;

        r = certificates_to_pem(chain, 1, &cert);
        if (r >= 0)
                r = certificates_to_pem(chain + 1, 1, &ca);
        if (r >= 0)
                r = write_state(in->config, TLS_KEY_FILE, in->tls_key.data, in->tls_key.len, 0600,
                                e);
        if (r >= 0)
                r = write_state(in->config, TLS_CERT_FILE, cert.data, cert.len, 0644, e);
        if (r >= 0)
                r = write_state(in->config, TLS_CA_FILE, ca.data, ca.len, 0644, e);
        return r;
}

/* ---- the database ---- */

static int fill_database(DbConn *c, void *userdata, Error *e) {
        const Init *in = userdata;
        int r;

        r = tsg_insert(c, &in->top, e);
        if (r >= 0)
                r = user_insert(c, in->user_id, in->top.id, in->options->owner, ROLE_OWNER,
                                in->top.created, e);
        if (r >= 0)
                r = user_api_key_insert(c, in->user_id, in->api_key_hash, in->top.created, e);
        if (r >= 0)
                r = authority_insert(c, &in->authority, e);
        return r;
}

static int write_database(Init *in, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        _cleanup_(audit_closep) Audit *audit = NULL;
        ChangeEvent event = { .kind = "service.init", .rule = "init" };
        AuditJob job = {
                .change = fill_database, .userdata = in, .records = &rec, .n_records = 1, .e = e
        };
        int r;

        r = db_create(&in->db, in->config->state_directory, e);
        if (r >= 0)
                r = audit_open(&audit, in->db, e);
        if (r >= 0)
                r = audit_entry_change(&rec, &event, "tsg", in->top.id, "user", in->user_id, "name",
                                       in->options->owner, "authority", in->authority.id, NULL);
        return r < 0 ? r : audit_commit(audit, &job);
}

/* ---- in order ---- */

static int prepare(Init *in, Error *e) {
        char owner[NAME_MAX_LEN + 1], path[PATH_MAX];
        int r;

        r = name_normalize(in->options->owner, owner, e);
        if (r >= 0)
                r = dir_create(in->config->state_directory, 0700, e);
        if (r >= 0)
                r = service_file(in->config, "csign.db", path, sizeof(path), e);
        if (r < 0)
                return r;
        if (access(path, F_OK) == 0)
                return error_set(e, -EEXIST, "%s is there already: this service was set up before",
                                 path);

        if (in->options->api_key_file)
                snprintf(in->api_key_file, sizeof(in->api_key_file), "%s",
                         in->options->api_key_file);
        else
                r = service_file(in->config, "owner.key", in->api_key_file,
                                 sizeof(in->api_key_file), e);
        if (r >= 0 && access(in->api_key_file, F_OK) == 0)
                return error_set(e, -EEXIST, "%s is there already, and is not written over",
                                 in->api_key_file);
        return r;
}

static int make_ids(Init *in, Error *e) {
        int r;

        in->top.created = clock_now();
        r = id_new(in->top.id, "tsg");
        if (r >= 0)
                r = id_new(in->user_id, "usr");
        return r < 0 ? r : bearer_new("csk_", &in->api_key, in->api_key_hash, e);
}

static int write_api_key(Init *in, Error *e) {
        _cleanup_(secret_done) Secret line = {};
        int r;

        r = secret_new(&line, NULL, in->api_key.len + 1);
        if (r < 0)
                return r;
        memcpy(line.data, in->api_key.data, in->api_key.len);
        line.data[in->api_key.len] = '\n';
        return file_create(in->api_key_file, line.data, line.len, 0600, e);
}

/* The API key is written before the database has its name: a database without anybody who can use
 * it would be worse than a key that opens nothing. */
static int publish(Init *in, Error *e) {
        int r;

        r = write_api_key(in, e);
        if (r < 0)
                return r;
        r = db_publish(in->db, e);
        if (r < 0)
                unlink(in->api_key_file);
        return r;
}

int init_run(const Config *c, const InitOptions *o, Error *e) {
        _cleanup_(init_done) Init in = { .config = c, .options = o };
        int r;

        r = prepare(&in, e);
        if (r >= 0)
                r = make_ids(&in, e);
        if (r >= 0)
                r = keystore_open(&in.keystore, c->keystore_socket, e);
        if (r >= 0)
                r = ca_create(in.keystore, in.top.id, "csign system authority", &in.authority, e);
        if (r >= 0)
                r = make_tls(&in, e);
        if (r >= 0)
                r = write_database(&in, e);
        if (r >= 0)
                r = write_tls_files(&in, e);
        if (r >= 0)
                r = publish(&in, e);
        if (r < 0)
                return r;

        log_line(LOG_NOTICE, "initialised", "STATE", c->state_directory, "OWNER", o->owner,
                 "API_KEY_FILE", in.api_key_file, NULL);
        return 0;
}
