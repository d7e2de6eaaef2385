/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files: OpenSSL parses, tables say what may stand in them, and errors say the line.
 */

#include "lib/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/conf.h>
#include <openssl/err.h>

#include "lib/ossl.h"

#define SECTIONS_MAX 256

struct ConfigFile {
        char *path;
        Buf text;
        CONF *conf;
        const char *asked[SECTIONS_MAX]; /* sections that config_apply() was called for */
        size_t n_asked;
        char where[512];
};

void config_close(ConfigFile *f) {
        if (!f)
                return;
        NCONF_free(f->conf);
        for (size_t i = 0; i < f->n_asked; i++)
                free((char *) f->asked[i]);
        if (f->text.data)
                erase(f->text.data, f->text.len);
        buf_done(&f->text);
        free(f->path);
        free(f);
}

/* ---- where a name stands: OpenSSL's parser does not tell, so the text is looked through again
 * ---- */

static const char *skip_blanks(const char *p) {
        while (*p == ' ' || *p == '\t')
                p++;
        return p;
}

/* Whether the line is the head of the section: "[ name ]". */
static bool line_is_head(const char *line, const char *section) {
        size_t n = strlen(section);

        line = skip_blanks(line);
        if (*line != '[')
                return false;
        line = skip_blanks(line + 1);
        return strncmp(line, section, n) == 0 && *skip_blanks(line + n) == ']';
}

static bool line_sets(const char *line, const char *name) {
        size_t n = strlen(name);

        line = skip_blanks(line);
        return strncmp(line, name, n) == 0 && *skip_blanks(line + n) == '=';
}

static unsigned find_line(const char *text, const char *section, const char *name) {
        bool inside = !section || strcmp(section, "default") == 0;
        unsigned number = 1;

        for (const char *line = text; *line; number++) {
                const char *end = strchrnul(line, '\n');

                if (section && line_is_head(line, section)) {
                        if (!name)
                                return number;
                        inside = true;
                } else if (*skip_blanks(line) == '[')
                        inside = false;
                else if (inside && name && line_sets(line, name))
                        return number;
                line = *end ? end + 1 : end;
        }
        return 0;
}

const char *config_where(ConfigFile *f, const char *section, const char *name) {
        unsigned line = find_line(buf_str(&f->text), section, name);

        if (line > 0)
                snprintf(f->where, sizeof(f->where), "%s:%u", f->path, line);
        else
                snprintf(f->where, sizeof(f->where), "%s", f->path);
        return f->where;
}

/* ---- opening ---- */

static int parse(ConfigFile *f, Error *e) {
        _cleanup_(BIO_free_allp) BIO *bio = NULL;
        long line = -1;

        if (memchr(f->text.data, 0, f->text.len))
                return error_set(e, -CSIGN_E_BAD_CONFIG, "%s holds a NUL byte", f->path);

        bio = BIO_new_mem_buf(f->text.data, (int) f->text.len);
        f->conf = NCONF_new(NULL);
        if (!bio || !f->conf)
                return -ENOMEM;

        ERR_set_mark();
        if (NCONF_load_bio(f->conf, bio, &line) <= 0) {
                const char *data = "", *reason;
                unsigned long code;
                int flags = 0;

                code = ERR_peek_last_error_data(&data, &flags);
                reason = ERR_reason_error_string(code);
                error_set(e, -CSIGN_E_BAD_CONFIG, "%s:%ld: %s%s%s", f->path, line,
                          reason ? reason : "not in openssl.cnf's syntax",
                          flags & ERR_TXT_STRING && data[0] ? ": " : "",
                          flags & ERR_TXT_STRING ? data : "");
                ERR_pop_to_mark();
                return -CSIGN_E_BAD_CONFIG;
        }
        ERR_pop_to_mark();
        return 0;
}

static int new_file(ConfigFile **ret, const char *path) {
        ConfigFile *f;

        f = calloc(1, sizeof(*f));
        if (!f)
                return -ENOMEM;
        f->text = BUF_MAX(256 * 1024);
        f->path = strdup(path);
        if (!f->path) {
                free(f);
                return -ENOMEM;
        }
        *ret = f;
        return 0;
}

int config_open(ConfigFile **ret, const char *path, FileTrust trust, Error *e) {
        _cleanup_(config_closep) ConfigFile *f = NULL;
        int r;

        assert(ret && path);

        r = new_file(&f, path);
        if (r < 0)
                return r;
        r = file_read(path, trust, &f->text, e);
        if (r == -E2BIG || r == -ELOOP || r == -EACCES)
                r = error_set(e, -CSIGN_E_BAD_CONFIG, "%s", strdupa(e ? e->detail : ""));
        if (r < 0)
                return r;
        r = buf_reserve(&f->text, 0);
        if (r >= 0)
                r = parse(f, e);
        if (r < 0)
                return r;

        *ret = TAKE(f);
        return 0;
}

int config_open_text(ConfigFile **ret, const char *name, const char *text, Error *e) {
        _cleanup_(config_closep) ConfigFile *f = NULL;
        int r;

        r = new_file(&f, name);
        if (r >= 0)
                r = buf_append_str(&f->text, text);
        if (r >= 0)
                r = parse(f, e);
        if (r < 0)
                return r;

        *ret = TAKE(f);
        return 0;
}

/* ---- reading ---- */

static STACK_OF(CONF_VALUE) * section_values(const ConfigFile *f, const char *section) {
        STACK_OF(CONF_VALUE) * values;

        ERR_set_mark();
        values = NCONF_get_section(f->conf, section ? section : "default");
        ERR_pop_to_mark();
        return values;
}

bool config_has_section(const ConfigFile *f, const char *section) {
        return section_values(f, section) != NULL;
}

static const ConfigItem *find_item(const ConfigItem items[], size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(items[i].name, name) == 0)
                        return &items[i];
        return NULL;
}

static int apply_value(ConfigFile *f, const char *section, const CONF_VALUE *v,
                       const ConfigItem items[], size_t n, void *target, Error *e) {
        const ConfigItem *item = find_item(items, n, v->name);
        Error why = {};
        int r;

        if (!item)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "%s: unknown name '%s'%s%s%s",
                                 config_where(f, section, v->name), v->name,
                                 section ? " in section [" : "", section ? section : "",
                                 section ? "]" : "");

        r = item->parse(v->value ? v->value : "", (char *) target + item->offset, &why);
        if (r < 0)
                return error_set(e, r == -ENOMEM ? r : -CSIGN_E_BAD_CONFIG, "%s: %s: %s",
                                 config_where(f, section, v->name), v->name,
                                 why.detail[0] ? why.detail : strerror(-r));
        return 0;
}

static int remember_section(ConfigFile *f, const char *section, Error *e) {
        char *copy;

        if (f->n_asked >= SECTIONS_MAX)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "%s has more than %d sections", f->path,
                                 SECTIONS_MAX);
        copy = strdup(section ? section : "default");
        if (!copy)
                return -ENOMEM;
        f->asked[f->n_asked++] = copy;
        return 0;
}

int config_apply(ConfigFile *f, const char *section, const ConfigItem items[], size_t n,
                 void *target, Error *e) {
        STACK_OF(CONF_VALUE) *values = section_values(f, section);
        int r;

        r = remember_section(f, section, e);
        if (r < 0)
                return r;

        for (int i = 0; i < sk_CONF_VALUE_num(values); i++) {
                r = apply_value(f, section, sk_CONF_VALUE_value(values, i), items, n, target, e);
                if (r < 0)
                        return r;
        }

        for (size_t i = 0; i < n; i++) {
                bool set = false;

                if (!(items[i].flags & CONFIG_REQUIRED))
                        continue;
                for (int j = 0; !set && j < sk_CONF_VALUE_num(values); j++)
                        set = strcmp(sk_CONF_VALUE_value(values, j)->name, items[i].name) == 0;
                if (!set)
                        return error_set(e, -CSIGN_E_BAD_CONFIG, "%s: '%s' is missing%s%s%s",
                                         config_where(f, section, NULL), items[i].name,
                                         section ? " in section [" : "", section ? section : "",
                                         section ? "]" : "");
        }
        return 0;
}

static bool was_asked(const ConfigFile *f, const char *section) {
        for (size_t i = 0; i < f->n_asked; i++)
                if (strcmp(f->asked[i], section) == 0)
                        return true;
        return false;
}

int config_finish(ConfigFile *f, Error *e) {
        STACK_OF(OPENSSL_CSTRING) * names;
        int r = 0;

        names = NCONF_get_section_names(f->conf);
        if (!names)
                return -ENOMEM;

        for (int i = 0; i < sk_OPENSSL_CSTRING_num(names) && r >= 0; i++) {
                const char *name = sk_OPENSSL_CSTRING_value(names, i);

                /* The first section is there even when the file has nothing in it. */
                if (was_asked(f, name) || (strcmp(name, "default") == 0 &&
                                           sk_CONF_VALUE_num(section_values(f, NULL)) == 0))
                        continue;
                r = error_set(e, -CSIGN_E_BAD_CONFIG, "%s: unknown section [%s]",
                              config_where(f, name, NULL), name);
        }
        sk_OPENSSL_CSTRING_free(names);
        return r;
}

/* ---- parsers ---- */

int config_string(const char *value, void *target, Error *e) {
        char **s = target, *copy;

        if (value[0] == '\0')
                return error_set(e, -CSIGN_E_BAD_CONFIG, "the value is empty");
        copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        free(*s);
        *s = copy;
        return 0;
}

int config_path(const char *value, void *target, Error *e) {
        if (value[0] != '/')
                return error_set(e, -CSIGN_E_BAD_CONFIG, "'%s' is not an absolute path", value);
        return config_string(value, target, e);
}

int config_seconds(const char *value, void *target, Error *e) {
        char *end;
        double s;

        errno = 0;
        s = isdigit((unsigned char) value[0]) ? strtod(value, &end) : -1;
        if (s < 0.001 || s > 86400 || errno != 0 || *end != '\0' ||
            value[strspn(value, "0123456789.")] != '\0') /* strtod() takes 0x10 and 1e3 */
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "'%s' is not a number of seconds from 0.001 to 86400", value);
        *(uint64_t *) target = (uint64_t) (s * 1e6 + 0.5);
        return 0;
}

int config_unsigned(const char *value, void *target, Error *e) {
        unsigned long v;
        char *end;

        errno = 0;
        v = isdigit((unsigned char) value[0]) ? strtoul(value, &end, 10) : ULONG_MAX;
        if (v > 1000000 || errno != 0 || *end != '\0')
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "'%s' is not a whole number from 0 to 1000000", value);
        *(unsigned *) target = (unsigned) v;
        return 0;
}

int config_bytes(const char *value, void *target, Error *e) {
        const size_t max = (size_t) 1024 * 1024 * 1024;
        size_t unit = 1;
        unsigned long v;
        char *end;

        errno = 0;
        v = isdigit((unsigned char) value[0]) ? strtoul(value, &end, 10) : 0;
        if (v > 0 && (*end == 'K' || *end == 'M'))
                unit = *end++ == 'K' ? 1024 : (size_t) 1024 * 1024;
        if (v == 0 || errno != 0 || *end != '\0' || v > max / unit)
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "'%s' is not a size from 1 to 1024M, as in 64M", value);
        *(size_t *) target = (size_t) v * unit;
        return 0;
}

int config_bool(const char *value, void *target, Error *e) {
        static const struct {
                const char *name;
                bool value;
        } words[] = {
                { "yes", true }, { "true", true },   { "on", true },   { "1", true },
                { "no", false }, { "false", false }, { "off", false }, { "0", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcasecmp(words[i].name, value) == 0) {
                        *(bool *) target = words[i].value;
                        return 0;
                }
        return error_set(e, -CSIGN_E_BAD_CONFIG, "'%s' is neither yes nor no", value);
}

int config_each(const char *list, int (*f)(const char *item, void *userdata, Error *e),
                void *userdata, Error *e) {
        for (const char *p = list;;) {
                size_t n = strcspn(p, ",");
                const char *start = p, *end = p + n;
                char item[512];
                int r;

                while (start < end && isspace((unsigned char) *start))
                        start++;
                while (end > start && isspace((unsigned char) end[-1]))
                        end--;
                if (start == end || (size_t) (end - start) >= sizeof(item))
                        return error_set(e, -CSIGN_E_BAD_CONFIG,
                                         "an item of the list is empty or too long");
                memcpy(item, start, (size_t) (end - start));
                item[end - start] = '\0';

                r = f(item, userdata, e);
                if (r < 0)
                        return r;
                if (p[n] == '\0')
                        return 0;
                p += n + 1;
        }
}
