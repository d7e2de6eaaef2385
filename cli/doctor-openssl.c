/* SPDX-License-Identifier: Apache-2.0 */

/* csign doctor, the side of OpenSSL: whether a program that is started here gets csign, and gets it
 * behind the default provider. */

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "cli/doctor.h"
#include "cli/folders.h"
#include "cli/openssl-conf.h"
#include "cli/probe.h"

#define SEE_CONF "compare it with what csign openssl-conf prints"

static const char sign_with[] = "sign with: csign run -- COMMAND; or for the whole host: csign "
                                "setup openssl --apply";

/* ---- the module ---- */

static void check_module(Doctor *d, const char *module) {
        _cleanup_(buf_done) Buf text = {};
        char path[PATH_MAX];
        Probe p = {};
        Error e = {};

        if (module_find(module, path, &e) < 0) {
                doctor_say(d, RESULT_FAIL, "module",
                           "install csign's provider, or name it: --module FILE", "%s", e.detail);
                return;
        }
        if (openssl_conf_text(path, "", &text, &e) < 0 || probe_conf(NULL, &text, &p, &e) < 0)
                doctor_say(d, RESULT_FAIL, "module", "install csign's provider anew", "%s: %s",
                           path, e.detail);
        else if (!p.csign)
                doctor_say(d, RESULT_FAIL, "module",
                           "ldd it: is a library missing, is it for this OpenSSL?",
                           "%s does not load: %s", path, p.why);
        else
                doctor_say(d, RESULT_OK, "module", NULL, "%s loads in %s", path,
                           OpenSSL_version(OPENSSL_VERSION_STRING));
}

/* ---- the environment ---- */

static int readable(const char *path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct stat st = {};
        int r = 0;

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
                r = -EISDIR;
        (void) close(fd);
        return r;
}

void doctor_openssl_find(Doctor *d) {
        const char *variable = getenv("OPENSSL_CONF");
        Error e = {};
        int r;

        if (variable) {
                r = readable(variable);
                if (r < 0) {
                        doctor_say(d, RESULT_FAIL, "OPENSSL_CONF",
                                   "correct the variable or the file's mode: OpenSSL says nothing, "
                                   "and goes on without any configuration",
                                   "it names '%s': %s", variable, strerror(-r));
                        return;
                }
        }
        openssl_conf_current(d->conf_path);
        if (conf_view_open(&d->conf, d->conf_path, &e) < 0) {
                doctor_say_error(d, "openssl.cnf", &e);
                conf_view_done(&d->conf);
        }
}

static const char *modules_folder(void) {
        const char *variable = getenv("OPENSSL_MODULES");

        return variable ? variable : OPENSSL_info(OPENSSL_INFO_MODULES_DIR);
}

static void check_modules_variable(Doctor *d) {
        const char *variable = getenv("OPENSSL_MODULES");
        const char *own = OPENSSL_info(OPENSSL_INFO_MODULES_DIR);
        char a[PATH_MAX], b[PATH_MAX];

        if (!variable || !own || (realpath(variable, a) && realpath(own, b) && strcmp(a, b) == 0))
                return;
        doctor_say(d, RESULT_WARN, "OPENSSL_MODULES",
                   "unset it, and name csign's module in openssl.cnf by its whole path",
                   "'%s' replaces %s: programs do not find the modules there (legacy, ...)",
                   variable, own);
}

/* sudo takes OPENSSL_CONF out of the environment, and the host's file does not know csign. */
static void check_sudo(Doctor *d) {
        const char *user = getenv("SUDO_USER"), *command = getenv("SUDO_COMMAND");

        if ((user || command) && !getenv("OPENSSL_CONF") && !d->conf.csign)
                doctor_say(d, RESULT_WARN, "sudo",
                           "sudo csign run -- COMMAND; or sudo OPENSSL_CONF=" MACHINE_FOLDER
                           "/openssl.cnf COMMAND; or csign setup openssl --apply",
                           "sudo has taken OPENSSL_CONF away, if %s had it", user ? user : "it");
}

/* ---- openssl.cnf ---- */

static void module_file(const Doctor *d, char ret[static PATH_MAX]) {
        const char *module = d->conf.module ? d->conf.module : "csign.so";
        const char *slash = strrchr(module, '/');

        (void) snprintf(ret, PATH_MAX, "%s%s%s%s", module[0] == '/' ? "" : modules_folder(),
                        module[0] == '/' ? "" : "/", module,
                        strchr(slash ? slash : module, '.') ? "" : ".so");
}

/* Why csign is not active though the file names it.  OpenSSL itself says nothing. */
static void say_inactive(Doctor *d, const Probe *p) {
        char file[PATH_MAX];

        module_file(d, file);
        if (access(file, R_OK) < 0)
                doctor_say(d, RESULT_FAIL, "openssl.cnf",
                           "install csign's module there, or write the lines anew: csign setup "
                           "openssl",
                           "%s names the module %s: %s; programs go on without csign", d->conf_path,
                           file, strerror(errno));
        else if (!NCONF_get_string(d->conf.conf, d->conf.csign, "activate"))
                doctor_say(d, RESULT_FAIL, "openssl.cnf", "put activate = 1 into that section",
                           "%s does not activate csign in [%s]", d->conf_path, d->conf.csign);
        else
                doctor_say(d, RESULT_FAIL, "openssl.cnf",
                           "ldd it: is a library missing, is it for this OpenSSL?",
                           "%s names a module that does not load: %s", d->conf_path,
                           p->why[0] ? p->why : file);
}

static void check_order(Doctor *d, const Probe *p) {
        static const char advice[] =
                "put default_properties = " CSIGN_PROPERTIES " into its alg_section: " SEE_CONF;
        const char *properties = d->conf.properties;

        if (properties && !p->found)
                doctor_say(d, RESULT_FAIL, "default_properties",
                           "ask for less, as in ?fips=yes," CSIGN_PROPERTIES ": " SEE_CONF,
                           "%s leaves csign out: no program finds its keys", properties);
        else if (!p->fallback && !p->fips)
                doctor_say(d, RESULT_FAIL, "default provider",
                           "activate default beside csign: " SEE_CONF,
                           "it is not active: reading files and certificates will fail");
        else if (properties && openssl_conf_prefers_csign(properties))
                doctor_say(d, RESULT_FAIL, "provider order", advice,
                           "default_properties = %s makes csign the first choice for every key of "
                           "a program",
                           properties);
        else if (!p->fallback_first && d->conf.csign_first)
                doctor_say(d, RESULT_FAIL, "provider order", advice,
                           "csign is listed before default, and comes first for every key of a "
                           "program");
        else if (!p->fallback_first)
                doctor_say(d, RESULT_FAIL, "provider order", advice,
                           "there is no default_properties: csign comes before default as soon as "
                           "OpenSSL sorts them by name");
        else
                doctor_say(d, RESULT_OK, "provider order", NULL, "the %s provider comes first",
                           p->fallback ? "default" : "fips");
}

static void check_conf(Doctor *d) {
        Probe p = {};
        Error e = {};

        if (!d->conf_path[0]) {
                if (!getenv("OPENSSL_CONF"))
                        doctor_say(d, RESULT_WARN, "openssl.cnf", sign_with,
                                   "there is none: programs do not know csign:// by themselves");
                return;
        }
        if (!d->conf.conf)
                return;
        if (probe_conf(d->conf_path, NULL, &p, &e) < 0)
                doctor_say(d, RESULT_FAIL, "openssl.cnf", SEE_CONF, "%s: %s", d->conf_path,
                           e.detail);
        else if (!p.loads)
                doctor_say(d, RESULT_FAIL, "openssl.cnf", SEE_CONF, "%s does not load: %s",
                           d->conf_path, p.why);
        else if (!d->conf.csign)
                doctor_say(d, RESULT_WARN, "openssl.cnf", sign_with,
                           "%s does not load csign: programs do not know csign:// by themselves",
                           d->conf_path);
        else if (!p.csign)
                say_inactive(d, &p);
        else {
                doctor_say(d, RESULT_OK, "openssl.cnf", NULL, "%s loads csign", d->conf_path);
                check_order(d, &p);
        }
}

/* OpenSSL tries "csign:path" as a file name first; "csign://path" never. */
static void check_shadow(Doctor *d) {
        glob_t found = {};

        if (glob("csign:*", GLOB_NOSORT, NULL, &found) == 0)
                doctor_say(d, RESULT_WARN, "shadow",
                           "remove it, or write csign:// with two slashes",
                           "the local file '%s' shadows a csign: URI", found.gl_pathv[0]);
        globfree(&found);
}

void doctor_openssl(Doctor *d, const char *module) {
        check_module(d, module);
        check_modules_variable(d);
        check_conf(d);
        check_sudo(d);
        check_shadow(d);
}
