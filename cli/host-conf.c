/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/host-conf.h"

#include <stdio.h>
#include <string.h>

#include "cli/conf-view.h"
#include "cli/openssl-conf.h"

#define BEGIN         "# ---- begin of csign"
#define BEGIN_REST    ": csign setup openssl --undo takes these lines out ----\n"
#define BEGIN_JOINED  ", behind a line without an end"
#define BEGIN_CREATED ", a new file"
#define END           "# ---- end of csign ----\n"

/* ---- taking it out ---- */

/* The next line that starts with the mark, from `at` on; NULL: none. */
static const char *find_line(const char *text, const char *at, const char *mark) {
        for (const char *p = at; (p = strstr(p, mark)); p++)
                if (p == text || p[-1] == '\n')
                        return p;
        return NULL;
}

/* The empty line before the block is part of it, and so is the newline that the line before that
 * had not; but then something must not stand behind the block now. */
static const char *block_start(const char *text, const char *begin, bool is_last) {
        bool joined = strncmp(begin, BEGIN BEGIN_JOINED, strlen(BEGIN BEGIN_JOINED)) == 0;

        if (begin - text >= 1 && (begin - text == 1 || begin[-2] == '\n'))
                begin--;
        if (joined && is_last && begin > text)
                begin--;
        return begin;
}

int host_conf_strip(const char *path, const Buf *text, Buf *ret, bool *ret_found, bool *ret_created,
                    Error *e) {
        const char *all = buf_str(text), *begin, *end, *start;
        int r;

        begin = find_line(all, all, BEGIN);
        end = find_line(all, begin ? begin : all, END);
        *ret_found = begin;
        *ret_created =
                begin && strncmp(begin, BEGIN BEGIN_CREATED, strlen(BEGIN BEGIN_CREATED)) == 0;
        if (!begin && !end)
                return buf_append(ret, text->data, text->len);
        if (!begin || !end || find_line(all, begin + 1, BEGIN) || find_line(all, end + 1, END))
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "%s: the lines that begin and end csign's part are not one pair; "
                                 "take them out by hand",
                                 path);

        end += strlen(END);
        start = block_start(all, begin, !*end);
        r = buf_append(ret, all, (size_t) (start - all));
        return r < 0 ? r : buf_append(ret, end, text->len - (size_t) (end - all));
}

/* ---- adding it ---- */

static bool is_activated(const ConfView *v, const char *section) {
        const char *value = section ? NCONF_get_string(v->conf, section, "activate") : NULL;

        return value && (strcmp(value, "1") == 0 || strcmp(value, "yes") == 0 ||
                         strcmp(value, "true") == 0 || strcmp(value, "on") == 0);
}

static int add_sections(const ConfView *v, Buf *ret) {
        const char *init = v->init ? v->init : "csign_init";
        int r = 0;

        if (!v->init)
                r = buf_printf(ret, "[default]\nopenssl_conf = %s\n\n", init);
        if (r >= 0 && (!v->providers || !v->algorithms))
                r = buf_printf(ret, "[%s]\n%s%s\n", init,
                               v->providers ? "" : "providers = csign_providers\n",
                               v->algorithms ? "" : "alg_section = csign_evp\n");
        return r;
}

static int add_providers(const ConfView *v, const char *module, Buf *ret) {
        int r;

        r = buf_printf(ret,
                       "[%s]\n"
                       "%s"
                       "csign = csign_module\n\n",
                       v->providers ? v->providers : "csign_providers",
                       v->fallback ? "" : "default = csign_default\n");
        if (r >= 0 && !is_activated(v, v->fallback))
                r = buf_printf(ret, "[%s]\nactivate = 1\n\n",
                               v->fallback ? v->fallback : "csign_default");
        return r < 0 ? r
                     : buf_printf(ret,
                                  "[csign_module]\n"
                                  "module = %s\n"
                                  "activate = 1\n\n",
                                  module);
}

static int add_properties(const ConfView *v, Buf *ret) {
        return buf_printf(ret,
                          "# OpenSSL sorts providers by name: without this, csign would come "
                          "before default.\n"
                          "[%s]\n"
                          "default_properties = %s%s" CSIGN_PROPERTIES "\n",
                          v->algorithms ? v->algorithms : "csign_evp",
                          v->properties ? v->properties : "", v->properties ? "," : "");
}

static int check_base(const ConfView *v, const char *path, Error *e) {
        if (v->csign)
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "%s: [%s] names csign already, by lines that csign did not write",
                                 path, v->providers);
        if (v->properties && openssl_conf_prefers_csign(v->properties))
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "%s: default_properties = %s makes csign the first choice for "
                                 "every key; take that out",
                                 path, v->properties);
        if (v->properties && strpbrk(v->properties, "$#\"'\\`"))
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "%s: default_properties = %s cannot be repeated", path,
                                 v->properties);
        return 0;
}

int host_conf_add(const char *path, const Buf *text, bool is_new, const char *module, Buf *ret,
                  Error *e) {
        bool joined = text->len > 0 && text->data[text->len - 1] != '\n';
        _cleanup_(conf_view_done) ConfView v = {};
        int r;

        r = openssl_conf_check_path(module, e);
        if (r >= 0)
                r = conf_view_parse(&v, path, text, e);
        if (r >= 0)
                r = check_base(&v, path, e);
        if (r < 0)
                return r;

        r = buf_append(ret, text->data, text->len);
        if (r >= 0)
                r = buf_printf(ret, "%s%s" BEGIN "%s" BEGIN_REST, joined ? "\n" : "",
                               text->len > 0 ? "\n" : "",
                               is_new   ? BEGIN_CREATED
                               : joined ? BEGIN_JOINED
                                        : "");
        if (r >= 0)
                r = add_sections(&v, ret);
        if (r >= 0)
                r = add_providers(&v, module, ret);
        if (r >= 0)
                r = add_properties(&v, ret);
        return r < 0 ? r : buf_append_str(ret, END);
}
