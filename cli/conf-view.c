/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/conf-view.h"

#include <errno.h>
#include <string.h>

#include <openssl/err.h>

#include "lib/ossl.h"

const char *conf_row_name(const CONF_VALUE *row) {
        const char *dot = strrchr(row->name, '.');

        return dot ? dot + 1 : row->name;
}

static const char *text_at(const ConfView *v, const char *section, const char *name) {
        return section ? NCONF_get_string(v->conf, section, name) : NULL;
}

static void read_providers(ConfView *v) {
        STACK_OF(CONF_VALUE) *rows = v->providers ? NCONF_get_section(v->conf, v->providers) : NULL;

        for (int i = 0; i < sk_CONF_VALUE_num(rows); i++) {
                const CONF_VALUE *row = sk_CONF_VALUE_value(rows, i);

                if (strcmp(conf_row_name(row), "default") == 0) {
                        v->fallback = row->value;
                } else if (strcmp(conf_row_name(row), "csign") == 0) {
                        v->csign = row->value;
                        v->csign_first = !v->fallback;
                }
        }
}

/* What is missing is no error here, but OpenSSL's queue of errors gets one each time. */
static void read_all(ConfView *v) {
        v->init = NCONF_get_string(v->conf, NULL, "openssl_conf");
        v->providers = text_at(v, v->init, "providers");
        v->algorithms = text_at(v, v->init, "alg_section");
        v->properties = text_at(v, v->algorithms, "default_properties");
        read_providers(v);
        v->module = text_at(v, v->csign, "module");
        v->address = text_at(v, v->csign, "sidecar-address");
        ERR_clear_error();
}

static int cannot_read(const char *path, long line, Error *e) {
        ERR_clear_error();
        return error_set(e, -CSIGN_E_BAD_CONFIG, "%s:%ld: OpenSSL cannot read it", path, line);
}

int conf_view_open(ConfView *v, const char *path, Error *e) {
        long line = 0;

        if (!path[0])
                return 0;
        v->conf = NCONF_new(NULL);
        if (!v->conf)
                return -ENOMEM;
        if (NCONF_load(v->conf, path, &line) <= 0)
                return cannot_read(path, line, e);
        read_all(v);
        return 0;
}

int conf_view_parse(ConfView *v, const char *path, const Buf *text, Error *e) {
        _cleanup_(BIO_free_allp) BIO *in = BIO_new_mem_buf(buf_str(text), (int) text->len);
        long line = 0;

        v->conf = NCONF_new(NULL);
        if (!in || !v->conf)
                return -ENOMEM;
        if (NCONF_load_bio(v->conf, in, &line) <= 0)
                return cannot_read(path, line, e);
        read_all(v);
        return 0;
}

void conf_view_done(ConfView *v) {
        NCONF_free(v->conf);
        *v = (ConfView){};
}

bool conf_view_has_provider(const ConfView *v, const char *name) {
        STACK_OF(CONF_VALUE) *rows = v->providers ? NCONF_get_section(v->conf, v->providers) : NULL;

        for (int i = 0; i < sk_CONF_VALUE_num(rows); i++)
                if (strcmp(conf_row_name(sk_CONF_VALUE_value(rows, i)), name) == 0)
                        return true;
        return false;
}
