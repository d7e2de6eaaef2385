/* SPDX-License-Identifier: Apache-2.0 */
/* csign account rotate: this machine's account gets a new key, and its sidecar goes over to it
 * while it serves.  The old one lasts on for what is under way with it. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/ask-account.h"
#include "cli/cli.h"
#include "cli/grant.h"
#include "cli/output.h"
#include "cli/pair.h"
#include "cli/verb-account.h"
#include "lib/config.h"
#include "lib/file.h"
#include "lib/ossl.h"
#include "lib/token-request.h"

static const char *arg_rotate_for, *arg_rotate_config, *arg_rotate_algorithm = "P-256";
static uint64_t arg_overlap = 300;

/* ---- what the sidecar has ---- */

typedef struct Setup {
        char *service, *client_id, *credential, *service_ca;
        char *other;    /* what only the sidecar needs */
        struct stat st; /* of the credential */
} Setup;

static void setup_done(Setup *s) {
        free(s->service);
        free(s->client_id);
        free(s->credential);
        free(s->service_ca);
        free(s->other);
}

static int read_setup(const Grant *g, Setup *s, Error *e) {
        static const ConfigItem items[] = {
                { "service", config_string, offsetof(Setup, service), CONFIG_REQUIRED },
                { "client-id", config_string, offsetof(Setup, client_id), CONFIG_REQUIRED },
                { "credential", config_path, offsetof(Setup, credential) },
                { "service-ca", config_path, offsetof(Setup, service_ca) },
                { "socket", config_string, offsetof(Setup, other) },
                { "timeout", config_string, offsetof(Setup, other) },
                { "connections", config_string, offsetof(Setup, other) },
                { "message-max", config_string, offsetof(Setup, other) },
                { "state-directory", config_string, offsetof(Setup, other) },
                { "journal-max", config_string, offsetof(Setup, other) },
        };
        _cleanup_(config_closep) ConfigFile *f = NULL;
        int r;

        r = config_open(&f, g->files[GRANT_CONF].path, FILE_ANY, e);
        if (r == -ENOENT)
                return error_set(e, -CSIGN_E_NO_CREDENTIAL,
                                 "%s has no account: csign login or csign enroll makes one",
                                 g->folder);
        if (r >= 0)
                r = config_apply(f, NULL, items, ELEMENTSOF(items), s, e);
        if (r >= 0)
                r = config_finish(f, e);
        if (r < 0)
                return r;

        for (size_t n = strlen(s->service); n > 0 && s->service[n - 1] == '/'; n--)
                s->service[n - 1] = '\0';
        if (!s->credential && !(s->credential = strdup(g->files[GRANT_KEY].path)))
                return -ENOMEM;
        if (stat(s->credential, &s->st) < 0)
                return error_set(e, -errno, "cannot look at %s: %s", s->credential,
                                 strerror(errno));
        return 0;
}

/* The machine's belongs to its sidecar's user, and a credential is read by its owner alone. */
static int load_credential(const Setup *s, Credential **ret, Error *e) {
        bool other = geteuid() == 0 && s->st.st_uid != 0;
        int r;

        if (other && seteuid(s->st.st_uid) < 0)
                return error_set(e, -errno, "cannot become uid %u", (unsigned) s->st.st_uid);
        r = credential_load(ret, s->credential, NULL, s->client_id, e);
        if (other && seteuid(0) < 0)
                return error_set(e, -errno, "cannot become root again");
        return r;
}

static int replace_credential(const Setup *s, const Buf *pem, Error *e) {
        int r;

        r = file_replace(s->credential, pem->data, pem->len, 0600, e);
        if (r >= 0 && geteuid() == 0 && lchown(s->credential, s->st.st_uid, s->st.st_gid) < 0)
                return error_set(e, -errno, "cannot give %s to uid %u: %s", s->credential,
                                 (unsigned) s->st.st_uid, strerror(errno));
        return r;
}

/* ---- at the service ---- */

typedef struct Rotation {
        Setup setup;
        Credential *old_key, *new_key;
        AccountClient *as_old, *as_new;
        Buf old_pem, new_pem;
        char old_id[ID_MAX], new_id[ID_MAX];
} Rotation;

static void rotation_done(Rotation *r) {
        account_client_close(r->as_old);
        account_client_close(r->as_new);
        credential_free(r->old_key);
        credential_free(r->new_key);
        if (r->old_pem.data)
                erase(r->old_pem.data, r->old_pem.len);
        if (r->new_pem.data)
                erase(r->new_pem.data, r->new_pem.len);
        buf_done(&r->old_pem);
        buf_done(&r->new_pem);
        setup_done(&r->setup);
}

/* Which of the account's keys the connection shows. */
static int current_key(AccountClient *a, char ret[static ID_MAX], Error *e) {
        _cleanup_(json_decrefp) json_t *answer = NULL;
        json_t *k;
        size_t i;
        int r;

        r = account_client_call(a, "GET", "/v1/whoami/keys", NULL, &answer, e);
        if (r < 0)
                return r;
        json_array_foreach(json_object_get(answer, "keys"), i,
                           k) if (json_is_true(json_object_get(k, "current")) &&
                                  id_is_valid(json_text_at(k, "id"), "ack")) {
                snprintf(ret, ID_MAX, "%s", json_text_at(k, "id"));
                return 0;
        }
        return error_set(e, -CSIGN_E_BAD_ANSWER, "the service does not name the key in use");
}

static int end_key(AccountClient *a, const char *id, uint64_t seconds, Error *e) {
        _cleanup_(json_decrefp) json_t *answer = NULL, *body = NULL;
        char path[64];

        snprintf(path, sizeof(path), "/v1/whoami/keys/%s", id);
        body = json_pack("{s:I}", "ends_in", (json_int_t) seconds);
        return account_client_call(a, "PATCH", path, body, &answer, e);
}

static int register_key(Rotation *rot, Error *e) {
        const Setup *s = &rot->setup;
        _cleanup_(json_decrefp) json_t *answer = NULL, *body = NULL;
        _cleanup_(buf_done) Buf public_key = {}, proof = {};
        int r;

        r = pair_public(rot->new_key->key, &public_key);
        if (r >= 0)
                r = token_assertion(rot->new_key, s->client_id, s->service, NULL, time(NULL),
                                    &proof, e);
        if (r < 0)
                return r;
        body = json_pack("{s:s, s:s}", "public_key", buf_str(&public_key), "proof",
                         buf_str(&proof));
        r = account_client_call(rot->as_old, "POST", "/v1/whoami/keys", body, &answer, e);
        if (r < 0)
                return r;
        if (!id_is_valid(json_text_at(answer, "id"), "ack"))
                return error_set(e, -CSIGN_E_BAD_ANSWER, "the service gave the key no id");
        snprintf(rot->new_id, sizeof(rot->new_id), "%s", json_text_at(answer, "id"));
        return 0;
}

/* ---- the walk ---- */

static int open_old(Rotation *rot, const Grant *g, Error *e) {
        Setup *s = &rot->setup;
        int r;

        r = read_setup(g, s, e);
        if (r >= 0)
                r = load_credential(s, &rot->old_key, e);
        if (r >= 0)
                r = pair_private(rot->old_key->key, &rot->old_pem, e);
        if (r >= 0)
                r = account_client_open(&rot->as_old, s->service, s->service_ca, rot->old_key,
                                        s->client_id, e);
        return r < 0 ? r : current_key(rot->as_old, rot->old_id, e);
}

static int make_new(Rotation *rot, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        int r;

        r = pair_generate(arg_rotate_algorithm, &key, e);
        if (r >= 0)
                r = credential_new(&rot->new_key, key, "the new key", rot->setup.client_id, e);
        if (r >= 0)
                r = pair_private(key, &rot->new_pem, e);
        return r < 0 ? r : register_key(rot, e);
}

/* The file is replaced when the new key has got a token, and stays so if the sidecar gets one. */
static int go_over(Rotation *rot, const Grant *g, SidecarClient *sidecar, Error *e) {
        const Setup *s = &rot->setup;
        Error ignored = {};
        int r;

        r = account_client_open(&rot->as_new, s->service, s->service_ca, rot->new_key, s->client_id,
                                e);
        if (r < 0)
                return r;
        r = replace_credential(s, &rot->new_pem, e);
        if (r >= 0)
                r = grant_prove(g, sidecar, e);
        if (r >= 0)
                return r;
        (void) replace_credential(s, &rot->old_pem, &ignored);
        (void) sidecar_client_reload(sidecar, &ignored);
        return r;
}

static int rotate(Rotation *rot, const Grant *g, SidecarClient *sidecar, Error *e) {
        Error ignored = {};
        int r;

        r = open_old(rot, g, e);
        if (r >= 0)
                r = make_new(rot, e);
        if (r >= 0)
                r = go_over(rot, g, sidecar, e);
        if (r < 0) {
                if (rot->new_id[0])
                        (void) end_key(rot->as_old, rot->new_id, 0, &ignored);
                return r;
        }
        return end_key(rot->as_new, rot->old_id, arg_overlap, e);
}

static int rotate_run(char *args[], size_t n, Error *e) {
        _cleanup_(sidecar_client_freep) SidecarClient *sidecar = NULL;
        _cleanup_(json_decrefp) json_t *result = NULL;
        _cleanup_(rotation_done) Rotation rot = {};
        _cleanup_(grant_done) Grant g = {};
        int r;

        r = grant_open(&g, arg_rotate_for, arg_rotate_config, e);
        if (r >= 0)
                r = grant_sidecar(&g, &sidecar, e);
        if (r >= 0)
                r = rotate(&rot, &g, sidecar, e);
        if (r < 0)
                return r;
        result = json_pack("{s:s, s:s, s:s, s:I}", "client_id", rot.setup.client_id, "key",
                           rot.new_id, "ends", rot.old_id, "ends_in", (json_int_t) arg_overlap);
        output_result(result, "The sidecar uses key %s; %s ends in %llu s.", rot.new_id, rot.old_id,
                      (unsigned long long) arg_overlap);
        return 0;
}

static const Option rotate_options[] = {
        /* clang-format off */
        { "overlap", "SECONDS", "that the old key lasts on (default 300)", &arg_overlap, OPTION_NUMBER },
        { "algorithm", "NAME", "P-256 (default) P-384 RSA-3072 RSA-4096 Ed25519", &arg_rotate_algorithm },
        { "for", "WHICH", "user or machine (default: machine for root)", &arg_rotate_for },
        { "config", "DIR", "the sidecar's folder, if it has another", &arg_rotate_config },
        /* clang-format on */
};

const Verb verb_account_rotate = {
        .name = "account rotate",
        .args = "",
        .help = "this machine's account gets a new key",
        .example = "csign account rotate",
        OPTIONS(rotate_options),
        .flags = VERB_SIDECAR | VERB_JSON,
        .run = rotate_run,
};
