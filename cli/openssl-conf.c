/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/openssl-conf.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/conf.h>

#define OURS "?provider!=csign"

/* What a base configuration says, as far as ours has to repeat it. */
typedef struct Base {
        CONF *conf;
        const char *init;       /* name of its init section */
        const char *providers;  /* name of its section of providers, or NULL */
        const char *properties; /* its default_properties, or NULL */
} Base;

void openssl_conf_current(char buf[static PATH_MAX]) {
        char *path = CONF_get1_default_config_file();

        if (!path || access(path, R_OK) < 0 || snprintf(buf, PATH_MAX, "%s", path) >= PATH_MAX)
                buf[0] = 0;
        OPENSSL_free(path);
}

static int base_open(Base *b, const char *path, Error *e) {
        const char *evp;
        long line = 0;

        b->init = "openssl_init";
        if (!path[0])
                return 0;
        if (path[0] != '/')
                return error_set(e, -CSIGN_E_BAD_CONFIG, "OPENSSL_CONF '%s' is no absolute path",
                                 path);

        b->conf = NCONF_new(NULL);
        if (!b->conf || NCONF_load(b->conf, path, &line) <= 0)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "%s:%ld: OpenSSL cannot read it", path,
                                 line);

        b->init = NCONF_get_string(b->conf, NULL, "openssl_conf");
        if (!b->init)
                b->init = "openssl_init";
        b->providers = NCONF_get_string(b->conf, b->init, "providers");
        evp = NCONF_get_string(b->conf, b->init, "alg_section");
        if (evp)
                b->properties = NCONF_get_string(b->conf, evp, "default_properties");
        return 0;
}

static void base_done(Base *b) {
        NCONF_free(b->conf);
}

static int other_providers(const Base *b, Buf *ret) {
        STACK_OF(CONF_VALUE) *rows = b->providers ? NCONF_get_section(b->conf, b->providers) : NULL;
        int r = 0;

        for (int i = 0; i < sk_CONF_VALUE_num(rows) && r >= 0; i++) {
                const CONF_VALUE *v = sk_CONF_VALUE_value(rows, i);

                if (strcmp(v->name, "default") != 0 && strcmp(v->name, "csign") != 0)
                        r = buf_printf(ret, "%s = %s\n", v->name, v->value);
        }
        return r;
}

static int properties_line(const Base *b, Buf *ret) {
        if (!b->properties || strstr(b->properties, OURS))
                return buf_printf(ret, "default_properties = %s\n",
                                  b->properties ? b->properties : OURS);
        return buf_printf(ret, "default_properties = %s,%s\n", b->properties, OURS);
}

static int conf_write(const char *module, const char *path, const Base *b, Buf *ret) {
        int r = 0;

        if (path[0])
                r = buf_printf(ret, ".include %s\n\n", path);
        if (r >= 0)
                r = buf_printf(ret,
                               "[default]\n"
                               "openssl_conf = %s\n\n"
                               "[%s]\n"
                               "providers = csign_providers\n"
                               "alg_section = csign_evp\n\n"
                               "[csign_providers]\n",
                               b->init, b->init);
        if (r >= 0)
                r = other_providers(b, ret);
        if (r >= 0)
                r = buf_printf(ret,
                               "default = csign_default\n"
                               "csign = csign_module\n\n"
                               "[csign_default]\n"
                               "activate = 1\n\n"
                               "[csign_module]\n"
                               "module = %s\n"
                               "activate = 1\n\n"
                               "[csign_evp]\n",
                               module);
        return r < 0 ? r : properties_line(b, ret);
}

/* .include takes no quotes, so that such a path cannot be written down at all. */
static int check_path(const char *path, Error *e) {
        for (const char *p = path; *p; p++)
                if ((unsigned char) *p < 0x20 || strchr("$#\"'\\`", *p))
                        return error_set(
                                e, -CSIGN_E_BAD_CONFIG,
                                "openssl.cnf cannot name the path '%s': it has a '%c' in it", path,
                                *p);
        return 0;
}

int openssl_conf_text(const char *module, const char *base, Buf *ret, Error *e) {
        _cleanup_(base_done) Base b = {};
        int r;

        r = check_path(module, e);
        if (r < 0)
                return r;
        r = check_path(base, e);
        if (r < 0)
                return r;
        r = base_open(&b, base, e);
        if (r < 0)
                return r;
        return conf_write(module, base, &b, ret);
}
