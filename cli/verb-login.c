/* SPDX-License-Identifier: Apache-2.0 */
/* csign login: installs a grant (address, client id, key) where the sidecar reads it, and proves
 * it.  All or nothing: what does not prove itself is taken back. */

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/conf.h>
#include <openssl/pem.h>

#include "cli/ask-sidecar.h"
#include "cli/cli.h"
#include "cli/folders.h"
#include "cli/output.h"
#include "lib/file.h"
#include "lib/ossl.h"

static const char *arg_client_id, *arg_key, *arg_grant, *arg_config;
static const char *arg_login_service, *arg_login_ca;

/* Whom the machine's sidecar runs as (csign-sidecar.service); it has to read the key that root
 * installs. */
#define SIDECAR_USER "csign-sidecar"

/* The grant's files, in the order in which they are written: sidecar.conf, which names the others,
 * last. */
enum { GRANT_KEY, GRANT_CA, GRANT_CONF, GRANT_FILES };

typedef struct GrantFile {
        char path[PATH_MAX];
        mode_t mode;
        uid_t owner;
        gid_t group;
        Buf before, after;
        bool was_there, written;
} GrantFile;

typedef struct Grant {
        Folder which;
        char folder[PATH_MAX];
        GrantFile files[GRANT_FILES];
} Grant;

static void grant_done(Grant *g) {
        for (size_t i = 0; i < GRANT_FILES; i++) {
                erase(g->files[i].before.data, g->files[i].before.len);
                erase(g->files[i].after.data, g->files[i].after.len);
                buf_done(&g->files[i].before);
                buf_done(&g->files[i].after);
        }
}

/* ---- what is to be written ---- */

static int check_key(const Buf *pem, const char *path, Error *e) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem->data, (int) pem->len);
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;

        /* An empty pass phrase: an encrypted key must fail, not ask. */
        pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (char *) "") : NULL;
        if (!pkey)
                return error_set(e, -CSIGN_E_BAD_CREDENTIAL,
                                 "%s: holds no unencrypted private key in PEM", path);
        return 0;
}

static int check_ca(const Buf *pem, const char *path, Error *e) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem->data, (int) pem->len);
        _cleanup_(X509_freep) X509 *cert = NULL;

        cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
        return cert ? 0
                    : error_set(e, -CSIGN_E_BAD_REQUEST, "%s: holds no certificate in PEM", path);
}

/* Quoted, so that no character of a value means anything to OpenSSL's parser. */
static int conf_line(Buf *b, const char *name, const char *value) {
        int r = buf_printf(b, "%s = \"", name);

        for (const char *p = value; *p && r >= 0; p++)
                r = buf_printf(b, "%s%c", strchr("\"\\", *p) ? "\\" : "", *p);
        return r < 0 ? r : buf_append_str(b, "\"\n");
}

/* Settings of an earlier sidecar.conf that a login does not make (timeout, connections, socket)
 * stay. */
static int conf_keep(Buf *b, const Buf *before) {
        static const char *const ours[] = { "service", "client-id", "credential", "service-ca" };
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new_mem_buf(before->data, (int) before->len);
        CONF *conf = NCONF_new(NULL);
        STACK_OF(CONF_VALUE) * values;
        long line;
        int r = 0;

        if (!bio || !conf || NCONF_load_bio(conf, bio, &line) <= 0) {
                NCONF_free(conf);
                return 0; /* unreadable: the login mends it */
        }
        values = NCONF_get_section(conf, "default");
        for (int i = 0; i < sk_CONF_VALUE_num(values) && r >= 0; i++) {
                const CONF_VALUE *v = sk_CONF_VALUE_value(values, i);
                bool known = false;

                for (size_t o = 0; o < ELEMENTSOF(ours); o++)
                        known |= strcmp(ours[o], v->name) == 0;
                if (!known)
                        r = conf_line(b, v->name, v->value);
        }
        NCONF_free(conf);
        return r;
}

static int conf_text(Grant *g, Error *e) {
        Buf *b = &g->files[GRANT_CONF].after;
        int r;

        r = buf_append_str(b, "# Written by csign login.\n");
        if (r >= 0)
                r = conf_line(b, "service", arg_login_service);
        if (r >= 0)
                r = conf_line(b, "client-id", arg_client_id);
        if (r >= 0)
                r = conf_line(b, "credential", g->files[GRANT_KEY].path);
        if (r >= 0 && arg_login_ca)
                r = conf_line(b, "service-ca", g->files[GRANT_CA].path);
        if (r >= 0 && g->files[GRANT_CONF].was_there)
                r = conf_keep(b, &g->files[GRANT_CONF].before);
        return r;
}

static int read_inputs(Grant *g, Error *e) {
        Buf *key = &g->files[GRANT_KEY].after, *ca = &g->files[GRANT_CA].after;
        int r;

        if (strncasecmp(arg_login_service, "https://", 8) != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "--service '%s' is no https:// URL",
                                 arg_login_service);
        if (!id_is_valid(arg_client_id, "acc"))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "--client-id '%s' is no account's id (acc_...)", arg_client_id);
        r = file_read(arg_key, FILE_PRIVATE, key, e);
        if (r >= 0)
                r = check_key(key, arg_key, e);
        if (r >= 0 && arg_login_ca)
                r = file_read(arg_login_ca, FILE_ANY, ca, e);
        if (r >= 0 && arg_login_ca)
                r = check_ca(ca, arg_login_ca, e);
        return r < 0 ? r : conf_text(g, e);
}

/* ---- where ---- */

static int find_grant(Folder *ret, Error *e) {
        if (!arg_grant)
                *ret = geteuid() == 0 ? FOLDER_MACHINE : FOLDER_USER;
        else if (strcmp(arg_grant, "user") == 0)
                *ret = FOLDER_USER;
        else if (strcmp(arg_grant, "machine") == 0)
                *ret = FOLDER_MACHINE;
        else
                return error_set(e, -CSIGN_E_BAD_REQUEST, "--grant is user or machine, not '%s'",
                                 arg_grant);
        return 0;
}

/* An absolute path: the names in sidecar.conf must mean the same to the sidecar, wherever it was
 * started. */
static int find_folder(Grant *g, Error *e) {
        char path[PATH_MAX];
        int r;

        r = find_grant(&g->which, e);
        if (r >= 0)
                r = folder_file(g->which, NULL, path, e);
        if (r < 0 && !arg_config)
                return r;
        if (arg_config && snprintf(path, sizeof(path), "%s", arg_config) >= PATH_MAX)
                return error_set(e, -ENAMETOOLONG, "--config is too long");

        r = dir_create(path, g->which == FOLDER_MACHINE && !arg_config ? 0755 : 0700, e);
        if (r < 0)
                return r;
        if (!realpath(path, g->folder))
                return error_set(e, -errno, "cannot resolve %s: %s", path, strerror(errno));
        return 0;
}

/* Files belong to the folder's owner; the machine's key to its sidecar's user, if there is one. */
static int find_owners(Grant *g, Error *e) {
        const struct passwd *user = NULL;
        struct stat st;

        if (stat(g->folder, &st) < 0)
                return error_set(e, -errno, "cannot look at %s: %s", g->folder, strerror(errno));
        for (size_t i = 0; i < GRANT_FILES; i++) {
                g->files[i].owner = st.st_uid;
                g->files[i].group = st.st_gid;
        }
        if (g->which == FOLDER_MACHINE && !arg_config)
                user = getpwnam(SIDECAR_USER);
        if (user) {
                g->files[GRANT_KEY].owner = user->pw_uid;
                g->files[GRANT_KEY].group = user->pw_gid;
        }
        return 0;
}

static int prepare_files(Grant *g, Error *e) {
        static const struct {
                const char *name;
                mode_t mode;
        } rows[GRANT_FILES] = {
                [GRANT_KEY] = { "credential.key", 0600 },
                [GRANT_CA] = { "service-ca.pem", 0644 },
                [GRANT_CONF] = { "sidecar.conf", 0644 },
        };

        for (size_t i = 0; i < GRANT_FILES; i++) {
                GrantFile *f = &g->files[i];
                int r;

                if (snprintf(f->path, sizeof(f->path), "%s/%s", g->folder, rows[i].name) >=
                    PATH_MAX)
                        return error_set(e, -ENAMETOOLONG, "the folder's name is too long");
                f->mode = rows[i].mode;
                r = file_read(f->path, FILE_ANY, &f->before, e);
                if (r < 0 && r != -ENOENT)
                        return r;
                f->was_there = r >= 0;
        }
        *e = (Error){};
        return 0;
}

/* ---- write, prove, take back ---- */

static int file_put(const GrantFile *f, const Buf *content, Error *e) {
        int r;

        r = file_replace(f->path, content->data, content->len, f->mode, e);
        if (r < 0)
                return r;
        if (geteuid() == 0 && f->owner != 0 && lchown(f->path, f->owner, f->group) < 0)
                return error_set(e, -errno, "cannot give %s to uid %u: %s", f->path,
                                 (unsigned) f->owner, strerror(errno));
        return 0;
}

static void take_back(Grant *g) {
        Error ignored = {};

        for (size_t i = GRANT_FILES; i-- > 0;) {
                GrantFile *f = &g->files[i];

                if (!f->written)
                        continue;
                if (f->was_there)
                        (void) file_put(f, &f->before, &ignored);
                else
                        (void) unlink(f->path);
        }
}

static int write_all(Grant *g, Error *e) {
        for (size_t i = 0; i < GRANT_FILES; i++) {
                int r;

                if (g->files[i].after.len == 0)
                        continue; /* no --ca */
                g->files[i].written = true;
                r = file_put(&g->files[i], &g->files[i].after, e);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The sidecar reads what was written, and gets a token with it. */
static int prove(SidecarClient *c, const Grant *g, Error *e) {
        Error why = {};
        int r;

        r = sidecar_client_reload(c, e);
        if (r == -CSIGN_E_SIDECAR_UNAVAILABLE) {
                char text[ERROR_TEXT_MAX];

                why = *e;
                return error_set(e, r, "the grant is in %s, but no sidecar could prove it: %s",
                                 g->folder, error_text(&why, text));
        }
        return r;
}

static int status_add(const char *name, const char *value, void *userdata) {
        return json_object_set_new(userdata, name, json_string(value)) < 0 ? -ENOMEM : 0;
}

static int login_install(Grant *g, SidecarClient *c, Error *e) {
        Error ignored = {};
        int r;

        r = write_all(g, e);
        if (r >= 0)
                r = prove(c, g, e);
        if (r >= 0 || r == -CSIGN_E_SIDECAR_UNAVAILABLE)
                return r;

        take_back(g);
        (void) sidecar_client_reload(c, &ignored); /* back to what it had */
        return r;
}

static int login_run(char *args[], size_t n, Error *e) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = NULL;
        _cleanup_(json_decrefp) json_t *status = json_object();
        _cleanup_(grant_done) Grant g = {};
        int r;

        r = find_folder(&g, e);
        if (r < 0)
                return r;
        r = find_owners(&g, e);
        if (r < 0)
                return r;
        r = prepare_files(&g, e);
        if (r < 0)
                return r;
        r = read_inputs(&g, e);
        if (r < 0)
                return r;
        r = sidecar_open(&c, e);
        if (r < 0)
                return r;
        r = login_install(&g, c, e);
        if (r < 0)
                return r;

        r = sidecar_client_status(c, status_add, status, e);
        if (r < 0)
                return r;
        if (strcmp(json_text_at(status, "client-id"), arg_client_id) != 0)
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "the sidecar at %s does not read %s: it signs as '%s'",
                                 sidecar_client_address(c), g.folder,
                                 json_text_at(status, "client-id"));
        output_result(status, "Logged in to %s as %s (%s).", json_text_at(status, "service"),
                      json_text_at(status, "account"), arg_client_id);
        return 0;
}

static const Option login_options[] = {
        /* clang-format off */
        { "service", "URL", "the signing service", &arg_login_service, .required = true },
        { "client-id", "ID", "the account's id, acc_...", &arg_client_id, .required = true },
        { "key", "FILE", "the account's private key, PEM, mode 0600", &arg_key, .required = true },
        { "ca", "FILE", "the service's CA certificates (default: the system's)", &arg_login_ca },
        { "grant", "WHICH", "user or machine (default: machine for root)", &arg_grant },
        { "config", "DIR", "the sidecar's folder, if it has another", &arg_config },
        /* clang-format on */
};

const Verb verb_login = {
        .name = "login",
        .args = "--service URL ...",
        .help = "gives the sidecar an account, and proves it",
        .example = "csign login --service https://sign.example.com:8443 --ca ca.pem \\\n"
                   "      --client-id acc_... --key ci.key",
        OPTIONS(login_options),
        .flags = VERB_SIDECAR | VERB_JSON,
        .run = login_run,
};
