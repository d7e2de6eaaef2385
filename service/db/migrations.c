/* SPDX-License-Identifier: Apache-2.0 */
/* The schema, as the steps that led to it.  A step that a release has run is never changed: append
 * one. */

#include "service/db/db-impl.h"
#include "service/db/queries.h"

/* One transaction each; statements run in order, up to the NULL. */
static const char *const step_1[] = {
        "CREATE TABLE tsgs ("
        " id TEXT PRIMARY KEY, parent TEXT REFERENCES tsgs (id), name TEXT NOT NULL,"
        " path TEXT NOT NULL UNIQUE, created BIGINT NOT NULL)",
        "CREATE TABLE tsg_closure ("
        " ancestor TEXT NOT NULL REFERENCES tsgs (id), descendant TEXT NOT NULL REFERENCES tsgs "
        "(id),"
        " depth INTEGER NOT NULL, PRIMARY KEY (ancestor, descendant))",
        "CREATE INDEX tsg_closure_up ON tsg_closure (descendant, ancestor)",

        "CREATE TABLE users ("
        " id TEXT PRIMARY KEY, tsg TEXT NOT NULL REFERENCES tsgs (id), name TEXT NOT NULL,"
        " role TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'enabled', created BIGINT NOT NULL,"
        " UNIQUE (tsg, name))",
        "CREATE TABLE api_keys ("
        " id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id), hash BYTEA NOT NULL "
        "UNIQUE,"
        " created BIGINT NOT NULL)",

        "CREATE TABLE accounts ("
        " id TEXT PRIMARY KEY, tsg TEXT NOT NULL REFERENCES tsgs (id), name TEXT NOT NULL,"
        " path TEXT NOT NULL UNIQUE, state TEXT NOT NULL DEFAULT 'enabled', created BIGINT NOT "
        "NULL,"
        " expires BIGINT NOT NULL)",
        "CREATE INDEX accounts_tsg ON accounts (tsg)",
        "CREATE TABLE account_keys ("
        " id TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts (id),"
        " thumbprint BYTEA NOT NULL UNIQUE, spki BYTEA NOT NULL, algorithm TEXT NOT NULL,"
        " created BIGINT NOT NULL)",
        "CREATE INDEX account_keys_account ON account_keys (account)",
        "CREATE TABLE tokens ("
        " hash BYTEA PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts (id),"
        " thumbprint BYTEA NOT NULL, issued BIGINT NOT NULL, expires BIGINT NOT NULL)",
        "CREATE INDEX tokens_expires ON tokens (expires)",
        "CREATE INDEX tokens_account ON tokens (account)",
        "CREATE TABLE assertions ("
        " account TEXT NOT NULL REFERENCES accounts (id), jti TEXT NOT NULL, expires BIGINT NOT "
        "NULL,"
        " PRIMARY KEY (account, jti))",
        "CREATE INDEX assertions_expires ON assertions (expires)",

        "CREATE TABLE keys ("
        " id TEXT PRIMARY KEY, tsg TEXT NOT NULL REFERENCES tsgs (id), name TEXT NOT NULL,"
        " path TEXT NOT NULL UNIQUE, algorithm TEXT NOT NULL, state TEXT NOT NULL DEFAULT "
        "'enabled',"
        " primary_version INTEGER NOT NULL, description TEXT NOT NULL, created BIGINT NOT NULL)",
        "CREATE INDEX keys_tsg ON keys (tsg)",
        "CREATE TABLE key_versions ("
        " key_id TEXT NOT NULL REFERENCES keys (id), version INTEGER NOT NULL, spki BYTEA NOT NULL,"
        " sealed BYTEA NOT NULL, created BIGINT NOT NULL, PRIMARY KEY (key_id, version))",

        "CREATE TABLE authorities ("
        " id TEXT PRIMARY KEY, tsg TEXT NOT NULL UNIQUE REFERENCES tsgs (id), subject TEXT NOT "
        "NULL,"
        " spki BYTEA NOT NULL, sealed BYTEA NOT NULL, certificate BYTEA NOT NULL,"
        " created BIGINT NOT NULL)",
        "CREATE TABLE certificates ("
        " id TEXT PRIMARY KEY, key_id TEXT NOT NULL, version INTEGER NOT NULL,"
        " authority TEXT NOT NULL REFERENCES authorities (id), serial TEXT NOT NULL UNIQUE,"
        " not_before BIGINT NOT NULL, not_after BIGINT NOT NULL, der BYTEA NOT NULL,"
        " FOREIGN KEY (key_id, version) REFERENCES key_versions (key_id, version))",
        "CREATE INDEX certificates_key ON certificates (key_id, version)",

        /* key_id and request_id repeat what the entry says, to find it: the chain covers the entry.
         */
        "CREATE TABLE audit ("
        " number INTEGER PRIMARY KEY, previous BYTEA NOT NULL, hash BYTEA NOT NULL, entry TEXT NOT "
        "NULL,"
        " key_id TEXT, request_id TEXT)",
        "CREATE INDEX audit_key ON audit (key_id, number) WHERE key_id IS NOT NULL",
        "CREATE INDEX audit_request ON audit (request_id) WHERE request_id IS NOT NULL",
        NULL,
};

/* Answers that are given again to who lost them.  A row is as old as its record. */
static const char *const step_2[] = {
        "CREATE TABLE idempotency ("
        " record INTEGER PRIMARY KEY, principal TEXT NOT NULL, key TEXT NOT NULL,"
        " request BYTEA NOT NULL, status INTEGER NOT NULL, answer BYTEA NOT NULL,"
        " expires BIGINT NOT NULL, UNIQUE (principal, key))",
        NULL,
};

/* Versions of a key are enabled and disabled one by one. */
static const char *const step_3[] = {
        "ALTER TABLE key_versions ADD COLUMN state TEXT NOT NULL DEFAULT 'enabled'",
        NULL,
};

/* What can be changed counts its changes: see revision.h. */
static const char *const step_revision[] = {
        "ALTER TABLE tsgs ADD COLUMN revision BIGINT NOT NULL DEFAULT 1",
        "ALTER TABLE users ADD COLUMN revision BIGINT NOT NULL DEFAULT 1",
        "ALTER TABLE accounts ADD COLUMN revision BIGINT NOT NULL DEFAULT 1",
        "ALTER TABLE keys ADD COLUMN revision BIGINT NOT NULL DEFAULT 1",
        NULL,
};

/* A key's whole life: validity, usage policy, labels, destruction.  0: no limit, or not yet. Labels
 * hang on the path, so that they are found in the order of listings. */
static const char *const step_key_life[] = {
        "ALTER TABLE keys ADD COLUMN not_before BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE keys ADD COLUMN not_after BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE keys ADD COLUMN made_schemes BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE keys ADD COLUMN schemes BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE keys ADD COLUMN hashes BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE keys ADD COLUMN per_hour BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE keys ADD COLUMN per_day BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE keys ADD COLUMN destroy_at BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE keys ADD COLUMN destroyed BIGINT NOT NULL DEFAULT 0",
        "CREATE INDEX keys_state ON keys (state, path)",
        "CREATE INDEX keys_destroy_at ON keys (destroy_at) WHERE destroy_at > 0",
        "CREATE TABLE key_labels ("
        " path TEXT NOT NULL REFERENCES keys (path) ON UPDATE CASCADE, name TEXT NOT NULL,"
        " value TEXT NOT NULL, PRIMARY KEY (path, name))",
        "CREATE INDEX key_labels_value ON key_labels (name, value, path)",
        /* Of keys with a limit: signatures in the hour and the day that are counted. */
        "CREATE TABLE key_usage ("
        " key_id TEXT PRIMARY KEY REFERENCES keys (id), hour BIGINT NOT NULL, in_hour BIGINT NOT "
        "NULL,"
        " day BIGINT NOT NULL, in_day BIGINT NOT NULL)",
        NULL,
};

/* Who may do what: roles, teams and projects; and what users and their API keys need for it.  A
 * user with the role `owner` gets it as a binding. */
static const char *const step_access[] = {
        "CREATE TABLE roles ("
        " id TEXT PRIMARY KEY, tsg TEXT NOT NULL REFERENCES tsgs (id), name TEXT NOT NULL,"
        " path TEXT NOT NULL UNIQUE, pages TEXT NOT NULL, created BIGINT NOT NULL,"
        " revision BIGINT NOT NULL DEFAULT 1)",
        "CREATE INDEX roles_tsg ON roles (tsg)",
        /* role: a built-in one's name, or an id.  principal: of an account, user or team. */
        "CREATE TABLE role_bindings ("
        " id TEXT PRIMARY KEY, role TEXT NOT NULL, principal TEXT NOT NULL,"
        " tsg TEXT NOT NULL REFERENCES tsgs (id), created BIGINT NOT NULL,"
        " revision BIGINT NOT NULL DEFAULT 1, UNIQUE (principal, role, tsg))",
        "CREATE INDEX role_bindings_tsg ON role_bindings (tsg, id)",
        "CREATE INDEX role_bindings_role ON role_bindings (role)",
        "INSERT INTO role_bindings (id, role, principal, tsg, created) "
        "SELECT 'bind_' || substr(id, 5), role, id, tsg, created FROM users WHERE role <> 'none'",

        "ALTER TABLE users DROP COLUMN role",
        "ALTER TABLE users ADD COLUMN path TEXT NOT NULL DEFAULT ''",
        "UPDATE users SET path = (SELECT CASE t.path WHEN '' THEN '' ELSE t.path || '/' END "
        "FROM tsgs t WHERE t.id = users.tsg) || name",
        "CREATE UNIQUE INDEX users_path ON users (path)",
        "ALTER TABLE api_keys ADD COLUMN name TEXT NOT NULL DEFAULT 'first'",
        "ALTER TABLE api_keys ADD COLUMN tsg TEXT REFERENCES tsgs (id)",
        "ALTER TABLE api_keys ADD COLUMN purpose TEXT NOT NULL DEFAULT 'any'",
        "ALTER TABLE api_keys ADD COLUMN expires BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE api_keys ADD COLUMN last_used BIGINT NOT NULL DEFAULT 0",
        "CREATE UNIQUE INDEX api_keys_user ON api_keys (user_id, name)",

        "CREATE TABLE teams ("
        " id TEXT PRIMARY KEY, tsg TEXT NOT NULL REFERENCES tsgs (id), name TEXT NOT NULL,"
        " path TEXT NOT NULL UNIQUE, created BIGINT NOT NULL, revision BIGINT NOT NULL DEFAULT 1)",
        "CREATE INDEX teams_tsg ON teams (tsg)",
        "CREATE TABLE team_members ("
        " team TEXT NOT NULL REFERENCES teams (id), member TEXT NOT NULL,"
        " PRIMARY KEY (team, member))",
        "CREATE INDEX team_members_member ON team_members (member, team)",
        "ALTER TABLE accounts ADD COLUMN owner_team TEXT REFERENCES teams (id)",
        "CREATE INDEX accounts_owner_team ON accounts (owner_team, path)",

        "CREATE TABLE projects ("
        " id TEXT PRIMARY KEY, tsg TEXT NOT NULL REFERENCES tsgs (id), name TEXT NOT NULL,"
        " path TEXT NOT NULL UNIQUE, description TEXT NOT NULL DEFAULT '', created BIGINT NOT NULL,"
        " revision BIGINT NOT NULL DEFAULT 1)",
        "CREATE INDEX projects_tsg ON projects (tsg)",
        "CREATE TABLE project_signers ("
        " project TEXT NOT NULL REFERENCES projects (id), principal TEXT NOT NULL,"
        " PRIMARY KEY (project, principal))",
        "CREATE INDEX project_signers_principal ON project_signers (principal, project)",
        "ALTER TABLE keys ADD COLUMN project TEXT REFERENCES projects (id)",
        "CREATE INDEX keys_project ON keys (project, path)",

        /* 'on', 'off', or NULL: as the TSG above it. */
        "ALTER TABLE tsgs ADD COLUMN separation_of_duties TEXT",
        NULL,
};

/* A TSG's children, to see whether it has any. */
static const char *const step_tree[] = {
        "CREATE INDEX tsgs_parent ON tsgs (parent)",
        NULL,
};

/* More of what the entry says, to find it, and what was used by whom on which day.  Records of
 * before are found by what they had. */
static const char *const step_audit[] = {
        "ALTER TABLE audit ADD COLUMN principal TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE audit ADD COLUMN tsg TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE audit ADD COLUMN kind TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE audit ADD COLUMN result TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE audit ADD COLUMN time BIGINT NOT NULL DEFAULT 0",
        "CREATE INDEX audit_principal ON audit (principal, number)",
        "CREATE INDEX audit_time ON audit (time)",
        "CREATE TABLE use_by_day ("
        " key_id TEXT NOT NULL, principal TEXT NOT NULL, day INTEGER NOT NULL,"
        " signatures BIGINT NOT NULL, refused BIGINT NOT NULL,"
        " PRIMARY KEY (key_id, principal, day))",
        "CREATE TABLE readiness (id INTEGER PRIMARY KEY, asked BIGINT NOT NULL)",
        NULL,
};

/* A root and an issuing authority for each root TSG, where there was one that did both;
 * certificates of outside authorities; revocation and its lists.  The authorities that are there go
 * on issuing. */
static const char *const step_certificates[] = {
        "ALTER TABLE certificates RENAME TO certificates_before",
        "ALTER TABLE authorities RENAME TO authorities_before",
        "DROP INDEX certificates_key",
        "CREATE TABLE authorities ("
        " id TEXT PRIMARY KEY, tsg TEXT NOT NULL REFERENCES tsgs (id), kind TEXT NOT NULL,"
        " issuer TEXT REFERENCES authorities (id), subject TEXT NOT NULL, spki BYTEA NOT NULL,"
        " sealed BYTEA NOT NULL, certificate BYTEA NOT NULL, created BIGINT NOT NULL,"
        " organization TEXT NOT NULL DEFAULT '', country TEXT NOT NULL DEFAULT '',"
        " alternative_name TEXT NOT NULL DEFAULT '',"
        " extended_key_usage TEXT NOT NULL DEFAULT 'codeSigning',"
        " crl BYTEA, crl_number BIGINT NOT NULL DEFAULT 0, crl_renew BIGINT NOT NULL DEFAULT 0,"
        " revision BIGINT NOT NULL DEFAULT 1)",
        "CREATE INDEX authorities_tsg ON authorities (tsg, created)",
        "INSERT INTO authorities (id, tsg, kind, subject, spki, sealed, certificate, created) "
        "SELECT id, tsg, 'issuing', subject, spki, sealed, certificate, created "
        "FROM authorities_before",

        "CREATE TABLE certificates ("
        " id TEXT PRIMARY KEY, key_id TEXT NOT NULL, version INTEGER NOT NULL,"
        " authority TEXT REFERENCES authorities (id), serial TEXT NOT NULL,"
        " not_before BIGINT NOT NULL, not_after BIGINT NOT NULL, der BYTEA NOT NULL, chain BYTEA,"
        " is_current INTEGER NOT NULL DEFAULT 1, created BIGINT NOT NULL, revoked BIGINT,"
        " revocation_reason TEXT, revision BIGINT NOT NULL DEFAULT 1, UNIQUE (authority, serial),"
        " FOREIGN KEY (key_id, version) REFERENCES key_versions (key_id, version))",
        "INSERT INTO certificates"
        " (id, key_id, version, authority, serial, not_before, not_after, der, created) "
        "SELECT id, key_id, version, authority, serial, not_before, not_after, der, not_before "
        "FROM certificates_before",
        "DROP TABLE certificates_before",
        "DROP TABLE authorities_before",
        "CREATE INDEX certificates_key ON certificates (key_id, version)",
        "CREATE INDEX certificates_end ON certificates (not_after, id)",
        "CREATE INDEX certificates_current_end ON certificates (not_after, id) "
        "WHERE is_current = 1",
        "CREATE INDEX certificates_revoked ON certificates (authority, revoked, serial) "
        "WHERE revoked IS NOT NULL",

        "ALTER TABLE keys ADD COLUMN allow_expired_certificate INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE keys ADD COLUMN allow_revoked_certificate INTEGER NOT NULL DEFAULT 0",
        NULL,
};

/* What a team is for. */
static const char *const step_team_words[] = {
        "ALTER TABLE teams ADD COLUMN description TEXT NOT NULL DEFAULT ''",
        NULL,
};

/* Keys of accounts end, one by one; codes let a machine register its own. */
static const char *const step_accounts[] = {
        "ALTER TABLE accounts ADD COLUMN networks TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE accounts ADD COLUMN last_used BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE account_keys ADD COLUMN expires BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE account_keys ADD COLUMN last_used BIGINT NOT NULL DEFAULT 0",
        "UPDATE account_keys SET expires = "
        "(SELECT a.expires FROM accounts a WHERE a.id = account_keys.account)",
        "CREATE TABLE enrollments ("
        " id TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts (id), hash BYTEA NOT NULL,"
        " created BIGINT NOT NULL, expires BIGINT NOT NULL, key_days INTEGER NOT NULL,"
        " attempts INTEGER NOT NULL)",
        "CREATE INDEX enrollments_account ON enrollments (account, created)",
        "CREATE INDEX enrollments_expires ON enrollments (expires)",
        NULL,
};

static const char *const *const steps[] = { step_1,          step_2,        step_3,
                                            step_revision,   step_key_life, step_access,
                                            step_tree,       step_audit,    step_certificates,
                                            step_team_words, step_accounts };

static int take_version(DbRow *row, void *userdata) {
        *(int64_t *) userdata = db_row_int(row, 0);
        return 0;
}

static int run_step(DbConn *c, size_t number, Error *e) {
        int r;

        for (const char *const *sql = steps[number - 1]; *sql; sql++) {
                r = db_exec(c, *sql, DB_NO_ARGS, e);
                if (r < 0)
                        return r;
        }
        return db_exec(c, SQL_SCHEMA_SET_VERSION, DB_ARGS(DB_INT(number)), e);
}

static int migrate(DbConn *c, Error *e) {
        int64_t version = 0;
        int r;

        r = db_exec(c, SQL_SCHEMA_TABLE, DB_NO_ARGS, e);
        if (r >= 0)
                r = db_query(c, SQL_SCHEMA_VERSION, DB_NO_ARGS, take_version, &version, e);
        if (r < 0)
                return r;
        if (version > (int64_t) ELEMENTSOF(steps))
                return error_set(
                        e, -CSIGN_E_BAD_CONFIG,
                        "the database has schema %lld, and this program knows %zu: it is older "
                        "than the one that last used the database",
                        (long long) version, ELEMENTSOF(steps));

        for (size_t i = (size_t) version + 1; i <= ELEMENTSOF(steps); i++) {
                r = run_step(c, i, e);
                if (r < 0)
                        return r;
        }
        return 0;
}

int db_migrate(DbConn *c, Error *e) {
        int r;

        r = db_begin(c, e);
        if (r < 0)
                return r;
        r = migrate(c, e);
        if (r >= 0)
                r = db_commit(c, e);
        if (r < 0)
                db_rollback(c);
        return r;
}
