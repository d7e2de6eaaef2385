/* SPDX-License-Identifier: Apache-2.0 */
/* csign setup openssl: csign in the openssl.cnf of the whole host, shown first, proven before
 * anything is replaced, and taken out again without a trace. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "cli/cli.h"
#include "cli/conf-view.h"
#include "cli/diff.h"
#include "cli/files.h"
#include "cli/folders.h"
#include "cli/host-conf.h"
#include "cli/output.h"
#include "cli/probe.h"

static const char *arg_conf, *arg_module;
static bool arg_apply, arg_undo;

#define BACKUPS_MAX 100

/* The file as it is, and as it is to be. */
typedef struct HostConf {
        char path[PATH_MAX]; /* links resolved: what is replaced is the file itself */
        bool exists;
        struct stat st;
        Buf now;
        Buf bare;     /* without csign's block */
        bool found;   /* there is a block */
        bool created; /* the block made the file */
        Buf then;     /* what it is to be */
        char backup[PATH_MAX + 32];
} HostConf;

static void host_conf_done(HostConf *h) {
        buf_done(&h->now);
        buf_done(&h->bare);
        buf_done(&h->then);
}

/* ---- reading ---- */

static int default_path(char ret[static PATH_MAX], Error *e) {
        const char *folder = OPENSSL_info(OPENSSL_INFO_CONFIG_DIR);

        if (!folder || snprintf(ret, PATH_MAX, "%s/openssl.cnf", folder) >= PATH_MAX)
                return error_set(e, -CSIGN_E_NOT_FOUND,
                                 "OpenSSL does not say where its openssl.cnf is: name it with "
                                 "--conf FILE");
        return 0;
}

/* Its folder must be there; the file need not. */
static int resolve(const char *given, HostConf *h, Error *e) {
        char link[PATH_MAX];

        if (realpath(given, h->path))
                return 0;
        if (errno != ENOENT || readlink(given, link, sizeof(link)) >= 0)
                return error_set(e, -errno, "cannot find %s: %s", given, strerror(errno));
        if (snprintf(h->path, sizeof(h->path), "%s", given) >= (int) sizeof(h->path))
                return error_set(e, -ENAMETOOLONG, "the path '%s' is too long", given);
        return 0;
}

static int read_now(HostConf *h, Error *e) {
        char given[PATH_MAX];
        int r = 0;

        if (!arg_conf)
                r = default_path(given, e);
        if (r >= 0)
                r = resolve(arg_conf ? arg_conf : given, h, e);
        if (r < 0)
                return r;
        if (stat(h->path, &h->st) == 0) {
                h->exists = true;
                r = file_read(h->path, FILE_ANY, &h->now, e);
        }
        return r < 0 ? r : host_conf_strip(h->path, &h->now, &h->bare, &h->found, &h->created, e);
}

/* ---- proving ---- */

static bool is_good(const Probe *p) {
        return p->loads && p->csign && p->fallback && p->fallback_first;
}

/* What of a host's file is not ours to decide.  It is judged without csign's block. */
static int check_bare(const HostConf *h, Error *e) {
        _cleanup_(conf_view_done) ConfView v = {};
        Probe p = {};
        int r;

        r = conf_view_parse(&v, h->path, &h->bare, e);
        if (r >= 0)
                r = probe_conf(NULL, &h->bare, &p, e);
        if (r < 0)
                return r;
        if (!p.loads)
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "%s does not load as it is, so that csign's lines could not be "
                                 "proven: %s",
                                 h->path, p.why);
        if (!p.fallback && conf_view_has_provider(&v, "fips") &&
            !(v.properties && strstr(v.properties, "fips=yes")))
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "%s activates fips and not default: with default beside it, "
                                 "programs could leave FIPS; set default_properties = fips=yes "
                                 "first",
                                 h->path);
        return 0;
}

static int prove(const HostConf *h, Error *e) {
        Probe p = {};
        int r;

        r = probe_conf(NULL, &h->then, &p, e);
        if (r < 0)
                return r;
        if (is_good(&p))
                return 0;
        return error_set(e, -CSIGN_E_BAD_CONFIG, "%s is left as it is: with csign's lines %s%s",
                         h->path,
                         !p.loads      ? "it does not load: "
                         : !p.csign    ? "csign is not active: "
                         : !p.fallback ? "the default provider is not active"
                                       : "csign comes before the default provider",
                         p.why);
}

/* Somebody else's lines, or a block that others' lines follow: as long as it works it stays. */
static bool is_done(const HostConf *h) {
        _cleanup_(conf_view_done) ConfView v = {};
        char module[PATH_MAX];
        Probe p = {};
        Error e = {};

        return conf_view_parse(&v, h->path, &h->now, &e) >= 0 && v.module &&
               module_find(arg_module, module, &e) >= 0 && strcmp(module, v.module) == 0 &&
               probe_conf(NULL, &h->now, &p, &e) >= 0 && is_good(&p);
}

static int plan(HostConf *h, Error *e) {
        char module[PATH_MAX];
        int r;

        if (is_done(h))
                return buf_append(&h->then, h->now.data, h->now.len);
        r = module_find(arg_module, module, e);
        if (r >= 0)
                r = check_bare(h, e);
        if (r >= 0)
                r = host_conf_add(h->path, &h->bare, !h->exists || (h->created && h->bare.len == 0),
                                  module, &h->then, e);
        return r < 0 ? r : prove(h, e);
}

static bool is_same(const Buf *a, const Buf *b) {
        return a->len == b->len && memcmp(buf_str(a), buf_str(b), a->len) == 0;
}

/* ---- writing ---- */

static int backup_name(const HostConf *h, unsigned i, char ret[static PATH_MAX + 32]) {
        return i == 0 ? snprintf(ret, PATH_MAX + 32, "%s.csign-backup", h->path)
                      : snprintf(ret, PATH_MAX + 32, "%s.csign-backup.%u", h->path, i);
}

/* An older copy of another content stays: the new one gets a number. */
static int keep_copy(HostConf *h, Error *e) {
        for (unsigned i = 0; i < BACKUPS_MAX; i++) {
                _cleanup_(buf_done) Buf old = {};
                int r;

                (void) backup_name(h, i, h->backup);
                r = file_create(h->backup, h->bare.data, h->bare.len, h->st.st_mode & 0777, e);
                if (r != -EEXIST) {
                        if (r >= 0 && i > 0)
                                output_note("an older copy is there; this one is %s", h->backup);
                        return r;
                }
                r = file_read(h->backup, FILE_ANY, &old, e);
                if (r < 0 || is_same(&old, &h->bare))
                        return r;
        }
        return error_set(e, -EEXIST, "there are %d copies beside %s already: remove some",
                         BACKUPS_MAX, h->path);
}

static void drop_copies(const HostConf *h) {
        for (unsigned i = 0; i < BACKUPS_MAX; i++) {
                _cleanup_(buf_done) Buf old = {};
                char name[PATH_MAX + 32];

                (void) backup_name(h, i, name);
                if (file_read(name, FILE_ANY, &old, NULL) >= 0 && is_same(&old, &h->bare))
                        (void) unlink(name);
        }
}

/* Nobody has written it since it was read. */
static int check_unchanged(const HostConf *h, Error *e) {
        _cleanup_(buf_done) Buf now = {};
        struct stat st;
        int r = 0;

        if (stat(h->path, &st) == 0)
                r = file_read(h->path, FILE_ANY, &now, e);
        if (r < 0)
                return r;
        return is_same(&now, &h->now)
                       ? 0
                       : error_set(e, -EAGAIN, "%s was changed meanwhile: try again", h->path);
}

static int replace(const HostConf *h, const Buf *text, Error *e) {
        mode_t mode = h->exists ? h->st.st_mode & 07777 : 0644;
        int r;

        r = check_unchanged(h, e);
        if (r >= 0)
                r = file_replace(h->path, text->data, text->len, mode, e);
        if (r < 0 || !h->exists || (h->st.st_uid == geteuid() && h->st.st_gid == getegid()))
                return r;
        if (chown(h->path, h->st.st_uid, h->st.st_gid) < 0 || chmod(h->path, mode) < 0)
                return error_set(e, -errno, "cannot give %s its owner back: %s", h->path,
                                 strerror(errno));
        return 0;
}

/* ---- the verb ---- */

static int show(const HostConf *h, const Buf *then, const char *done, Error *e) {
        bool gone = arg_undo && h->created && then->len == 0;
        _cleanup_(buf_done) Buf diff = {};
        int r;

        r = diff_append(&diff, h->exists ? h->path : "/dev/null", &h->now,
                        gone ? "/dev/null" : h->path, then);
        if (r < 0)
                return r;
        if (arg_json) {
                json_t *o = json_pack("{s:s, s:b, s:b, s:s, s:s*}", "file", h->path, "change",
                                      (int) (diff.len > 0), "applied", (int) (done != NULL), "diff",
                                      buf_str(&diff), "backup", h->backup[0] ? h->backup : NULL);

                output_result(o, "%s", "");
                json_decref(o);
                return 0;
        }
        if (!done)
                return output_file(NULL, diff.data, diff.len, e);
        output_result(NULL, "%s: %s", h->path, done);
        return 0;
}

static int undo(HostConf *h, Error *e) {
        int r;

        if (!h->found) {
                output_note("%s: there are no lines of csign setup", h->path);
                return show(h, &h->now, "nothing to undo", e);
        }
        if (h->created && h->bare.len == 0) {
                r = check_unchanged(h, e);
                if (r >= 0 && unlink(h->path) < 0)
                        r = error_set(e, -errno, "cannot remove %s: %s", h->path, strerror(errno));
        } else {
                r = replace(h, &h->bare, e);
        }
        if (r < 0)
                return r;
        drop_copies(h);
        return show(h, &h->bare, "csign is not in it any more", e);
}

static int apply(HostConf *h, Error *e) {
        int r;

        if (is_same(&h->now, &h->then) && h->exists)
                return show(h, &h->then, "csign is in it already", e);
        if (!arg_apply) {
                r = show(h, &h->then, NULL, e);
                output_note("nothing is changed yet; to do it: csign setup openssl --apply");
                return r;
        }
        r = h->exists && !(h->created && h->bare.len == 0) ? keep_copy(h, e) : 0;
        if (r >= 0)
                r = replace(h, &h->then, e);
        return r < 0 ? r
                     : show(h, &h->then, "csign is in it; to undo: csign setup openssl --undo", e);
}

static int run_openssl(char *args[], size_t n, Error *e) {
        _cleanup_(host_conf_done) HostConf h = {};
        int r;

        if (arg_apply && arg_undo)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "--apply and --undo exclude each other");
        r = read_now(&h, e);
        if (r >= 0 && arg_undo)
                return undo(&h, e);
        if (r >= 0)
                r = plan(&h, e);
        return r < 0 ? r : apply(&h, e);
}

static const Option openssl_options[] = {
        { "conf", "FILE", "the openssl.cnf (default: libcrypto's own)", &arg_conf },
        { "apply", NULL, "change it", &arg_apply, OPTION_SWITCH },
        { "undo", NULL, "take csign's lines out again", &arg_undo, OPTION_SWITCH },
        { "module", "FILE", "csign.so (default: CSIGN_MODULE, or the installed one)", &arg_module },
};

static const Verb verb_setup_openssl = {
        .name = "setup openssl",
        .args = "[--apply|--undo]",
        .help = "csign in the openssl.cnf of this host",
        .example = "csign setup openssl\n"
                   "  sudo csign setup openssl --apply",
        OPTIONS(openssl_options),
        .flags = VERB_JSON,
        .run = run_openssl,
};

const Verb verb_setup = {
        .name = "setup",
        .args = "openssl",
        .help = "csign in all of this host's programs",
        .verbs = (const Verb *const[]){ &verb_setup_openssl, NULL },
};
