/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a grant. */

#include "cli/grant.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/conf.h>
#include <openssl/pem.h>

#include "cli/ask-sidecar.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "lib/file.h"
#include "lib/ossl.h"

/* Whom the machine's sidecar runs as (csign-sidecar.service); it has to read the key that root
 * installs. */
#define SIDECAR_USER "csign-sidecar"

void grant_done(Grant *g) {
        for (size_t i = 0; i < GRANT_PARTS; i++) {
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
int grant_conf_line(Buf *b, const char *name, const char *value) {
        int r = buf_printf(b, "%s = \"", name);

        for (const char *p = value; *p && r >= 0; p++)
                r = buf_printf(b, "%s%c", strchr("\"\\", *p) ? "\\" : "", *p);
        return r < 0 ? r : buf_append_str(b, "\"\n");
}

/* Settings of an earlier sidecar.conf that a login does not make (timeout, connections, socket)
 * stay. */
static int conf_keep(Buf *b, const Buf *before) {
        static const char *const ours[] = { "service", "client-id", "credential",
                                            "credential-provider", "service-ca" };
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
                        r = grant_conf_line(b, v->name, v->value);
        }
        NCONF_free(conf);
        return r;
}

static int conf_text(Grant *g, const char *service, const char *client_id, bool ca) {
        Buf *b = &g->files[GRANT_CONF].after;
        int r;

        r = buf_append_str(b, "# Written by csign login.\n");
        if (r >= 0)
                r = grant_conf_line(b, "service", service);
        if (r >= 0)
                r = grant_conf_line(b, "client-id", client_id);
        if (r >= 0)
                r = grant_conf_line(b, "credential",
                                    g->key_uri ? g->key_uri : g->files[GRANT_KEY].path);
        if (r >= 0 && g->key_provider)
                r = grant_conf_line(b, "credential-provider", g->key_provider);
        if (r >= 0 && ca)
                r = grant_conf_line(b, "service-ca", g->files[GRANT_CA].path);
        if (r >= 0 && g->files[GRANT_CONF].was_there)
                r = conf_keep(b, &g->files[GRANT_CONF].before);
        return r;
}

int grant_describe(Grant *g, const char *service, const char *client_id, const char *ca_path,
                   Error *e) {
        Buf *ca = &g->files[GRANT_CA].after;
        int r = 0;

        buf_clear(&g->files[GRANT_CONF].after);
        buf_clear(ca);
        if (strncasecmp(service, "https://", 8) != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "--service '%s' is no https:// URL",
                                 service);
        if (ca_path)
                r = file_read(ca_path, FILE_ANY, ca, e);
        if (r >= 0 && ca_path)
                r = check_ca(ca, ca_path, e);
        return r < 0 ? r : conf_text(g, service, client_id, ca_path);
}

/* What a provider makes of its URI or file the sidecar finds out, which has the provider. */
int grant_take_key(Grant *g, const char *key, const char *provider, Error *e) {
        Buf *pem = &g->files[GRANT_KEY].after;
        int r;

        g->key_provider = provider;
        if (provider && key[0] != '/' && strchr(key, ':')) {
                g->key_uri = key;
                return 0;
        }
        r = file_read(key, FILE_PRIVATE, pem, e);
        return r < 0 || provider ? r : check_key(pem, key, e);
}

/* ---- where ---- */

int grants_named(const char *value, const char *names[static GRANTS_MAX], Error *e) {
        if (!value)
                value = geteuid() == 0 ? "machine" : "user";
        if (strcmp(value, "both") == 0) {
                names[0] = "user";
                names[1] = "machine";
                return 2;
        }
        if (strcmp(value, "user") != 0 && strcmp(value, "machine") != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "--for is user, machine or both, not '%s'", value);
        names[0] = value;
        return 1;
}

static const char *bus_given(void) {
        const char *variable = getenv("CSIGN_BUS");

        return arg_bus ? arg_bus : variable && variable[0] ? variable : NULL;
}

int grants_apart(const char *config, Error *e) {
        if (config || bus_given())
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "%s names one of them: it cannot go with --for both",
                                 config    ? "--config"
                                 : arg_bus ? "--bus"
                                           : "CSIGN_BUS");
        return 0;
}

static int find_grant(const char *name, const char *config, Folder *ret, Error *e) {
        const char *names[GRANTS_MAX];
        int r;

        r = grants_named(name, names, e);
        if (r < 0)
                return r;
        if (r > 1)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "one grant at a time: user or machine");
        *ret = strcmp(names[0], "machine") == 0 ? FOLDER_MACHINE : FOLDER_USER;
        if (*ret == FOLDER_MACHINE && !config && geteuid() != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "the machine's grant is root's to change: run this as root, or "
                                 "with --for user");
        return 0;
}

/* An absolute path: the names in sidecar.conf must mean the same to the sidecar, wherever it was
 * started. */
static int find_folder(Grant *g, const char *name, const char *config, bool make, Error *e) {
        char path[PATH_MAX];
        int r;

        r = find_grant(name, config, &g->which, e);
        if (r >= 0 && !config)
                r = folder_file(g->which, NULL, path, e);
        if (r < 0)
                return r;
        if (config && snprintf(path, sizeof(path), "%s", config) >= PATH_MAX)
                return error_set(e, -ENAMETOOLONG, "--config is too long");

        if (make)
                r = dir_create(path, g->which == FOLDER_MACHINE && !config ? 0755 : 0700, e);
        if (r < 0)
                return r;
        if (realpath(path, g->folder))
                return 0;
        return error_set(e, errno == ENOENT ? -CSIGN_E_NOT_FOUND : -errno, "cannot resolve %s: %s",
                         path, strerror(errno));
}

/* Files belong to the folder's owner; the machine's key to its sidecar's user, if there is one. */
static int find_owners(Grant *g, const char *config, Error *e) {
        const struct passwd *user = NULL;
        struct stat st;

        if (stat(g->folder, &st) < 0)
                return error_set(e, -errno, "cannot look at %s: %s", g->folder, strerror(errno));
        for (size_t i = 0; i < GRANT_PARTS; i++) {
                g->files[i].owner = st.st_uid;
                g->files[i].group = st.st_gid;
        }
        if (g->which == FOLDER_MACHINE && !config)
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
        } rows[GRANT_PARTS] = {
                [GRANT_KEY] = { "credential.key", 0600 },
                [GRANT_CA] = { "service-ca.pem", 0644 },
                [GRANT_CONF] = { "sidecar.conf", 0644 },
        };

        for (size_t i = 0; i < GRANT_PARTS; i++) {
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

static int open_folder(Grant *g, const char *name, const char *config, bool make, Error *e) {
        int r;

        r = find_folder(g, name, config, make, e);
        if (r >= 0)
                r = find_owners(g, config, e);
        return r < 0 ? r : prepare_files(g, e);
}

int grant_open(Grant *g, const char *name, const char *config, Error *e) {
        return open_folder(g, name, config, true, e);
}

int grant_find(Grant *g, const char *name, const char *config, Error *e) {
        int r;

        r = open_folder(g, name, config, false, e);
        if (r < 0)
                return r;
        for (size_t i = 0; i < GRANT_PARTS; i++)
                if (g->files[i].was_there)
                        return 0;
        return error_set(e, -CSIGN_E_NOT_FOUND, "there is no grant in %s", g->folder);
}

int grant_sidecar(const Grant *g, SidecarClient **ret, Error *e) {
        if (bus_given())
                return sidecar_open(ret, e);
        return sidecar_client_new_grant(
                ret, g->which == FOLDER_MACHINE ? SIDECAR_GRANT_MACHINE : SIDECAR_GRANT_USER, 0, e);
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

void grant_take_back(Grant *g) {
        Error ignored = {};

        for (size_t i = GRANT_PARTS; i-- > 0;) {
                GrantFile *f = &g->files[i];

                if (!f->written)
                        continue;
                if (f->was_there)
                        (void) file_put(f, &f->before, &ignored);
                else
                        (void) unlink(f->path);
        }
}

int grant_write(Grant *g, GrantPart part, Error *e) {
        GrantFile *f = &g->files[part];

        if (f->after.len == 0)
                return 0; /* no --ca */
        f->written = true;
        return file_put(f, &f->after, e);
}

int grant_write_all(Grant *g, Error *e) {
        int r = 0;

        for (GrantPart part = 0; part < GRANT_PARTS && r >= 0; part++)
                r = grant_write(g, part, e);
        return r;
}

/* The key first: what cannot be removed after it is worth nothing. */
int grant_remove(const Grant *g, Error *e) {
        for (size_t i = 0; i < GRANT_PARTS; i++)
                if (unlink(g->files[i].path) < 0 && errno != ENOENT)
                        return error_set(e, -errno, "cannot remove %s: %s", g->files[i].path,
                                         strerror(errno));
        return 0;
}

int grant_prove(const Grant *g, SidecarClient *c, Error *e) {
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

int grant_report(const Grant *g, SidecarClient *c, const char *client_id, const char *what,
                 Error *e) {
        _cleanup_(json_decrefp) json_t *status = json_object();
        int r;

        r = sidecar_client_status(c, status_add, status, e);
        if (r < 0)
                return r;
        if (strcmp(json_text_at(status, "client-id"), client_id) != 0)
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "the sidecar at %s does not read %s: it signs as '%s'",
                                 sidecar_client_address(c), g->folder,
                                 json_text_at(status, "client-id"));
        output_result(status, "%s %s as %s (%s).", what, json_text_at(status, "service"),
                      json_text_at(status, "account"), client_id);
        return 0;
}
