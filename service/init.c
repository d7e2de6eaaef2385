/* SPDX-License-Identifier: Apache-2.0 */
/* The first database, the system's authority, the service's TLS certificate, the owner and its API
 * key. */

#include "service/init.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/log.h"
#include "service/audit/entry.h"
#include "service/ca/rows.h"
#include "service/clock.h"
#include "service/keystore/keystore.h"
#include "service/roles.h"
#include "service/service.h"
#include "service/tls-identity.h"
#include "service/users.h"

typedef struct Init {
        const Config *config;
        const InitOptions *options;
        char api_key_file[PATH_MAX];
        Keystore *keystore;
        Db *db;
        Tsg top;
        User owner;
        ApiKey first;
        RoleBinding binding;
        Secret api_key;
        uint8_t api_key_hash[SHA256_SIZE];
        Authority authority;
        TlsIdentity tls;
} Init;

static void init_done(Init *in) {
        secret_done(&in->api_key);
        tls_identity_done(&in->tls);
        authority_done(&in->authority);
        keystore_close(in->keystore);
        db_close(in->db);
}

/* ---- the database ---- */

static int fill_database(DbConn *c, void *userdata, Error *e) {
        const Init *in = userdata;
        int r;

        r = tsg_insert(c, &in->top, e);
        if (r >= 0)
                r = user_insert(c, &in->owner, e);
        if (r >= 0)
                r = user_api_key_insert(c, &in->first, in->api_key_hash, e);
        if (r >= 0)
                r = role_binding_insert(c, &in->binding, e);
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
                r = audit_entry_change(&rec, &event, "tsg", in->top.id, "user", in->owner.id,
                                       "name", in->options->owner, "authority", in->authority.id,
                                       NULL);
        return r < 0 ? r : audit_commit(audit, &job);
}

/* ---- in order ---- */

static int prepare(Init *in, Error *e) {
        char path[PATH_MAX];
        int r;

        r = name_normalize(in->options->owner, in->owner.name, e);
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

        in->top.created = in->owner.created = in->binding.created = clock_now();
        r = id_new(in->top.id, "tsg");
        if (r >= 0)
                r = id_new(in->owner.id, "usr");
        if (r >= 0)
                r = id_new(in->binding.id, "bind");
        if (r >= 0)
                r = id_new(in->first.id, "ak");
        in->first.created = in->top.created;
        snprintf(in->first.name, sizeof(in->first.name), "first");
        memcpy(in->first.user, in->owner.id, ID_MAX);
        memcpy(in->owner.tsg, in->top.id, ID_MAX);
        snprintf(in->owner.path, sizeof(in->owner.path), "%s", in->owner.name);
        memcpy(in->binding.tsg, in->top.id, ID_MAX);
        memcpy(in->binding.principal, in->owner.id, ID_MAX);
        snprintf(in->binding.role, sizeof(in->binding.role), "%s", ROLE_OWNER);
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
                r = ca_create(in.keystore, in.top.id, AUTHORITY_ISSUING, "csign system authority",
                              NULL, NULL, &in.authority, e);
        if (r >= 0)
                r = tls_identity_new(&in.tls, in.keystore, &in.authority, c->san, e);
        if (r >= 0)
                r = write_database(&in, e);
        if (r >= 0)
                r = tls_identity_write(&in.tls, &in.authority, c, e);
        if (r >= 0)
                r = publish(&in, e);
        if (r < 0)
                return r;

        log_line(LOG_NOTICE, "initialised", "STATE", c->state_directory, "OWNER", o->owner,
                 "API_KEY_FILE", in.api_key_file, NULL);
        return 0;
}

/* ---- renewing ---- */

int renew_tls_run(const Config *c, Error *e) {
        _cleanup_(tls_identity_done) TlsIdentity tls = {};
        _cleanup_(keystore_closep) Keystore *ks = NULL;
        _cleanup_(authority_done) Authority a = {};
        _cleanup_(db_closep) Db *db = NULL;
        Tsg top;
        int r;

        r = db_open(&db, c->state_directory, 1, e);
        if (r >= 0)
                r = tsg_top(db, &top, e);
        if (r >= 0)
                r = authority_by_tsg(db, top.id, &a, e);
        if (r >= 0)
                r = keystore_open(&ks, c->keystore_socket, e);
        if (r >= 0)
                r = tls_identity_new(&tls, ks, &a, c->san, e);
        if (r >= 0)
                r = tls_identity_write(&tls, &a, c, e);
        if (r < 0)
                return r;

        log_line(LOG_NOTICE, "renewed: restart the service to use it", "STATE", c->state_directory,
                 "SERIAL", tls.certificate.serial, NULL);
        return 0;
}
