/* SPDX-License-Identifier: Apache-2.0 */
/* policy.conf to rules.  A mistake refuses all of it. */

#include "sidecar/access-rule.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config.h"
#include "lib/key-uri.h"

#define RULES_MAX 128
#define ITEMS_MAX 256 /* of one list */

static int id_list_add(IdList *l, id_t id, Error *e) {
        id_t *ids;

        if (l->n >= ITEMS_MAX)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "more than %d items", ITEMS_MAX);
        ids = reallocarray(l->ids, l->n + 1, sizeof(*ids));
        if (!ids)
                return error_set(e, -ENOMEM, "out of memory");
        l->ids = ids;
        l->ids[l->n++] = id;
        return 0;
}

static int add_user(const char *item, void *userdata, Error *e) {
        const struct passwd *pw = getpwnam(item);

        if (!pw)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "there is no user '%s'", item);
        return id_list_add(userdata, pw->pw_uid, e);
}

static int add_group(const char *item, void *userdata, Error *e) {
        const struct group *gr = getgrnam(item);

        if (!gr)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "there is no group '%s'", item);
        return id_list_add(userdata, gr->gr_gid, e);
}

static int add_uid(const char *item, void *userdata, Error *e) {
        unsigned long long v;
        char *end;

        errno = 0;
        v = *item >= '0' && *item <= '9' ? strtoull(item, &end, 10) : UINT64_MAX;
        if (errno || v >= UINT32_MAX || *end)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "'%s' is not a user's number", item);
        return id_list_add(userdata, (id_t) v, e);
}

static int text_list_add(TextList *l, const char *item, Error *e) {
        char **items;

        if (l->n >= ITEMS_MAX)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "more than %d items", ITEMS_MAX);
        items = reallocarray(l->items, l->n + 1, sizeof(*items));
        if (!items)
                return error_set(e, -ENOMEM, "out of memory");
        l->items = items;
        l->items[l->n] = strdup(item);
        if (!l->items[l->n])
                return error_set(e, -ENOMEM, "out of memory");
        l->n++;
        return 0;
}

/* A pattern that no key's path can ever fit is a slip: capitals, a leading '/', a URI. */
static int add_key(const char *item, void *userdata, Error *e) {
        if (item[strspn(item, "abcdefghijklmnopqrstuvwxyz0123456789._-/*?[]!")] || *item == '/' ||
            strlen(item) >= PATH_MAX_LEN)
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "'%s' fits no key: patterns look like acme/mobile/*", item);
        return text_list_add(userdata, item, e);
}

static int add_executable(const char *item, void *userdata, Error *e) {
        if (*item != '/')
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "'%s' is not the path of an executable: it begins with '/'", item);
        return text_list_add(userdata, item, e);
}

static int add_hash(const char *item, void *userdata, Error *e) {
        if (strlen(item) != 64 || strspn(item, "0123456789abcdef") != 64)
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "'%.70s' is not a SHA-256 as sha256sum(1) prints it", item);
        return text_list_add(userdata, item, e);
}

static int add_unit(const char *item, void *userdata, Error *e) {
        if (!strchr(item, '.') && !strchr(item, '*'))
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "'%s' is not a unit: it ends with .service or .scope", item);
        return text_list_add(userdata, item, e);
}

static int add_scheme(const char *item, void *userdata, Error *e) {
        Scheme scheme = scheme_by_name(item);

        if (scheme == SCHEME_NONE)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "'%.40s' is not one of csign's schemes",
                                 item);
        *(unsigned *) userdata |= 1U << scheme;
        return 0;
}

static int parse_users(const char *value, void *target, Error *e) {
        return config_each(value, add_user, target, e);
}

static int parse_uids(const char *value, void *target, Error *e) {
        return config_each(value, add_uid, target, e);
}

static int parse_groups(const char *value, void *target, Error *e) {
        return config_each(value, add_group, target, e);
}

static int parse_keys(const char *value, void *target, Error *e) {
        return config_each(value, add_key, target, e);
}

static int parse_executables(const char *value, void *target, Error *e) {
        return config_each(value, add_executable, target, e);
}

static int parse_hashes(const char *value, void *target, Error *e) {
        return config_each(value, add_hash, target, e);
}

static int parse_units(const char *value, void *target, Error *e) {
        return config_each(value, add_unit, target, e);
}

static int parse_schemes(const char *value, void *target, Error *e) {
        return config_each(value, add_scheme, target, e);
}

static int parse_rate(const char *value, void *target, Error *e) {
        return rate_limit_parse(value, target, e);
}

static int parse_effect(const char *value, void *target, Error *e) {
        if (strcmp(value, "allow") == 0)
                *(Effect *) target = EFFECT_ALLOW;
        else if (strcmp(value, "deny") == 0)
                *(Effect *) target = EFFECT_DENY;
        else
                return error_set(e, -CSIGN_E_BAD_CONFIG, "'%s' is neither allow nor deny", value);
        return 0;
}

static const ConfigItem rule_items[] = {
        { "users", parse_users, offsetof(Rule, uids), 0 },
        { "uids", parse_uids, offsetof(Rule, uids), 0 },
        { "groups", parse_groups, offsetof(Rule, gids), 0 },
        { "executables", parse_executables, offsetof(Rule, executables), 0 },
        { "executable-hashes", parse_hashes, offsetof(Rule, hashes), 0 },
        { "units", parse_units, offsetof(Rule, units), 0 },
        { "keys", parse_keys, offsetof(Rule, keys), CONFIG_REQUIRED },
        { "schemes", parse_schemes, offsetof(Rule, schemes), 0 },
        { "rate", parse_rate, offsetof(Rule, rate), 0 },
        { "effect", parse_effect, offsetof(Rule, effect), CONFIG_REQUIRED },
};

static int add_rule(Policy *p, const char *name, Rule **ret, Error *e) {
        Rule *rules;

        if (p->n_rules >= RULES_MAX)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "more than %d rules", RULES_MAX);
        rules = reallocarray(p->rules, p->n_rules + 1, sizeof(*rules));
        if (!rules)
                return error_set(e, -ENOMEM, "out of memory");
        p->rules = rules;
        *ret = &rules[p->n_rules++];
        **ret = (Rule){};
        snprintf((*ret)->name, sizeof((*ret)->name), "%s", name);
        return 0;
}

static int policy_new(Policy **ret, const char *where) {
        _cleanup_(policy_freep) Policy *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        p->where = strdup(where);
        if (!p->where)
                return -ENOMEM;
        *ret = TAKE(p);
        return 0;
}

/* The names of `rules = a, b`, in the order in which they are asked. */
static int add_rule_name(const char *item, void *userdata, Error *e) {
        Policy *p = userdata;
        Rule *rule;

        if (strlen(item) >= sizeof(rule->name))
                return error_set(e, -CSIGN_E_BAD_CONFIG, "the name '%.32s…' is too long", item);
        for (size_t i = 0; i < p->n_rules; i++)
                if (strcmp(p->rules[i].name, item) == 0)
                        return error_set(e, -CSIGN_E_BAD_CONFIG, "rule '%s' is named twice", item);
        return add_rule(p, item, &rule, e);
}

static int parse_rule_names(const char *value, void *target, Error *e) {
        return config_each(value, add_rule_name, *(Policy **) target, e);
}

static int read_rules(Policy *p, ConfigFile *file, Error *e) {
        static const ConfigItem items[] = {
                { "rules", parse_rule_names, 0, CONFIG_REQUIRED },
        };
        int r;

        r = config_apply(file, NULL, items, ELEMENTSOF(items), &p, e);
        for (size_t i = 0; r >= 0 && i < p->n_rules; i++) {
                Rule *rule = &p->rules[i];

                if (!config_has_section(file, rule->name))
                        return error_set(e, -CSIGN_E_BAD_CONFIG, "%s: there is no section [%s]",
                                         config_where(file, NULL, "rules"), rule->name);
                r = config_apply(file, rule->name, rule_items, ELEMENTSOF(rule_items), rule, e);
        }
        return r < 0 ? r : config_finish(file, e);
}

static int policy_from_file(Policy **ret, ConfigFile *file, const char *name, Error *e) {
        _cleanup_(policy_freep) Policy *p = NULL;
        int r;

        r = policy_new(&p, name);
        if (r < 0)
                return error_set(e, r, "out of memory");
        r = read_rules(p, file, e);
        if (r < 0)
                return r;
        *ret = TAKE(p);
        return 0;
}

int policy_read(Policy **ret, const char *path, Error *e) {
        _cleanup_(config_closep) ConfigFile *file = NULL;
        int r;

        r = config_open(&file, path, FILE_TRUSTED, e);
        return r < 0 ? r : policy_from_file(ret, file, path, e);
}

int policy_read_text(Policy **ret, const char *name, const char *text, Error *e) {
        _cleanup_(config_closep) ConfigFile *file = NULL;
        int r;

        r = config_open_text(&file, name, text, e);
        return r < 0 ? r : policy_from_file(ret, file, name, e);
}

int policy_new_default(Policy **ret, const char *where, const uid_t uids[], size_t n, gid_t gid,
                       Error *e) {
        _cleanup_(policy_freep) Policy *p = NULL;
        Rule *rule;
        int r;

        r = policy_new(&p, where);
        if (r < 0)
                return error_set(e, r, "out of memory");
        r = add_rule(p, "default", &rule, e);
        if (r < 0)
                return r;

        rule->effect = EFFECT_ALLOW;
        r = text_list_add(&rule->keys, "*", e);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = id_list_add(&rule->uids, uids[i], e);
        if (r >= 0 && gid != (gid_t) -1)
                r = id_list_add(&rule->gids, gid, e);
        if (r < 0)
                return r;

        *ret = TAKE(p);
        return 0;
}

static void text_list_done(TextList *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->items[i]);
        free(l->items);
}

static void rule_done(Rule *rule) {
        free(rule->uids.ids);
        free(rule->gids.ids);
        text_list_done(&rule->executables);
        text_list_done(&rule->hashes);
        text_list_done(&rule->units);
        text_list_done(&rule->keys);
        rate_limit_free(rule->rate);
}

void policy_free(Policy *p) {
        if (!p)
                return;
        for (size_t i = 0; i < p->n_rules; i++)
                rule_done(&p->rules[i]);
        free(p->rules);
        free(p->where);
        free(p);
}
