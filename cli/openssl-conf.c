/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/openssl-conf.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/conf.h>

#include "cli/conf-view.h"

void openssl_conf_current(char buf[static PATH_MAX]) {
        char *path = CONF_get1_default_config_file();

        if (!path || access(path, R_OK) < 0 || snprintf(buf, PATH_MAX, "%s", path) >= PATH_MAX)
                buf[0] = 0;
        OPENSSL_free(path);
}

static int other_providers(const ConfView *v, Buf *ret) {
        STACK_OF(CONF_VALUE) *rows = v->providers ? NCONF_get_section(v->conf, v->providers) : NULL;
        int r = 0;

        for (int i = 0; i < sk_CONF_VALUE_num(rows) && r >= 0; i++) {
                const CONF_VALUE *row = sk_CONF_VALUE_value(rows, i);
                const char *name = conf_row_name(row);

                if (strcmp(name, "default") != 0 && strcmp(name, "csign") != 0)
                        r = buf_printf(ret, "%s = %s\n", row->name, row->value);
        }
        return r;
}

static int properties_line(const ConfView *v, Buf *ret) {
        if (!v->properties || strstr(v->properties, CSIGN_PROPERTIES))
                return buf_printf(ret, "default_properties = %s\n",
                                  v->properties ? v->properties : CSIGN_PROPERTIES);
        return buf_printf(ret, "default_properties = %s," CSIGN_PROPERTIES "\n", v->properties);
}

static int conf_write(const char *module, const char *path, const ConfView *v, Buf *ret) {
        const char *init = v->init ? v->init : "openssl_init";
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
                               init, init);
        if (r >= 0)
                r = other_providers(v, ret);
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
        return r < 0 ? r : properties_line(v, ret);
}

/* .include takes no quotes, so that such a path cannot be written down at all. */
int openssl_conf_check_path(const char *path, Error *e) {
        for (const char *p = path; *p; p++)
                if ((unsigned char) *p < 0x20 || strchr("$#\"'\\`", *p))
                        return error_set(
                                e, -CSIGN_E_BAD_CONFIG,
                                "openssl.cnf cannot name the path '%s': it has a '%c' in it", path,
                                *p);
        return 0;
}

bool openssl_conf_prefers_csign(const char *properties) {
        const char *p = strstr(properties, "provider=csign");

        return p && (p[14] == 0 || strchr(", \t", p[14]));
}

int openssl_conf_text(const char *module, const char *base, Buf *ret, Error *e) {
        _cleanup_(conf_view_done) ConfView v = {};
        int r;

        r = openssl_conf_check_path(module, e);
        if (r < 0)
                return r;
        r = openssl_conf_check_path(base, e);
        if (r < 0)
                return r;
        if (base[0] && base[0] != '/')
                return error_set(e, -CSIGN_E_BAD_CONFIG, "OPENSSL_CONF '%s' is no absolute path",
                                 base);
        r = conf_view_open(&v, base, e);
        return r < 0 ? r : conf_write(module, base, &v, ret);
}
