/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/access.h"

#include <assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config.h"
#include "lib/key-uri.h"

#define MACHINE_GROUP "csign"
#define RULES_MAX     128
#define ITEMS_MAX     256 /* of one list */

typedef enum Effect {
        EFFECT_NONE,
        EFFECT_ALLOW,
        EFFECT_DENY,
} Effect;

typedef struct IdList {
        id_t *ids;
        size_t n;
} IdList;

typedef struct PatternList {
        char **patterns;
        size_t n;
} PatternList;

/* Lists that are not there fit everybody; else one hit in any of users, uids and groups is enough.
 */
typedef struct Rule {
        char name[64];
        IdList uids; /* from users= and uids= */
        IdList gids;
        PatternList keys;
        Effect effect;
} Rule;

struct Access {
        char *where; /* "/etc/csign/policy.conf", or what the default says */
        Rule *rules;
        size_t n_rules;
};

/* ---- reading ---- */

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

/* A pattern that no key's path can ever fit is a slip: capitals, a leading '/', a URI. */
static int add_pattern(const char *item, void *userdata, Error *e) {
        PatternList *l = userdata;
        char **patterns;

        if (l->n >= ITEMS_MAX)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "more than %d items", ITEMS_MAX);
        if (item[strspn(item, "abcdefghijklmnopqrstuvwxyz0123456789._-/*?[]!")] || *item == '/' ||
            strlen(item) >= PATH_MAX_LEN)
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "'%s' fits no key: patterns look like acme/mobile/*", item);
        patterns = reallocarray(l->patterns, l->n + 1, sizeof(*patterns));
        if (!patterns)
                return error_set(e, -ENOMEM, "out of memory");
        l->patterns = patterns;
        l->patterns[l->n] = strdup(item);
        if (!l->patterns[l->n])
                return error_set(e, -ENOMEM, "out of memory");
        l->n++;
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
        return config_each(value, add_pattern, target, e);
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
        { "keys", parse_keys, offsetof(Rule, keys), CONFIG_REQUIRED },
        { "effect", parse_effect, offsetof(Rule, effect), CONFIG_REQUIRED },
};

static int access_add(Access *a, const char *name, Rule **ret, Error *e) {
        Rule *rules;

        if (a->n_rules >= RULES_MAX)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "more than %d rules", RULES_MAX);
        rules = reallocarray(a->rules, a->n_rules + 1, sizeof(*rules));
        if (!rules)
                return error_set(e, -ENOMEM, "out of memory");
        a->rules = rules;
        *ret = &rules[a->n_rules++];
        **ret = (Rule){};
        snprintf((*ret)->name, sizeof((*ret)->name), "%s", name);
        return 0;
}

static int access_new(Access **ret, const char *where) {
        _cleanup_(access_freep) Access *a = calloc(1, sizeof(*a));

        if (!a)
                return -ENOMEM;
        a->where = strdup(where);
        if (!a->where)
                return -ENOMEM;
        *ret = TAKE(a);
        return 0;
}

/* The names of `rules = a, b`, in the order in which they are asked. */
static int add_rule_name(const char *item, void *userdata, Error *e) {
        Access *a = userdata;
        Rule *rule;

        if (strlen(item) >= sizeof(rule->name))
                return error_set(e, -CSIGN_E_BAD_CONFIG, "the name '%.32s…' is too long", item);
        for (size_t i = 0; i < a->n_rules; i++)
                if (strcmp(a->rules[i].name, item) == 0)
                        return error_set(e, -CSIGN_E_BAD_CONFIG, "rule '%s' is named twice", item);
        return access_add(a, item, &rule, e);
}

static int parse_rule_names(const char *value, void *target, Error *e) {
        return config_each(value, add_rule_name, *(Access **) target, e);
}

static int access_read(Access *a, ConfigFile *file, Error *e) {
        static const ConfigItem items[] = {
                { "rules", parse_rule_names, 0, CONFIG_REQUIRED },
        };
        int r;

        r = config_apply(file, NULL, items, ELEMENTSOF(items), &a, e);
        for (size_t i = 0; r >= 0 && i < a->n_rules; i++) {
                Rule *rule = &a->rules[i];

                if (!config_has_section(file, rule->name))
                        return error_set(e, -CSIGN_E_BAD_CONFIG, "%s: there is no section [%s]",
                                         config_where(file, NULL, "rules"), rule->name);
                r = config_apply(file, rule->name, rule_items, ELEMENTSOF(rule_items), rule, e);
        }
        return r < 0 ? r : config_finish(file, e);
}

static int access_from_file(Access **ret, ConfigFile *file, const char *name, Error *e) {
        _cleanup_(access_freep) Access *a = NULL;
        int r;

        r = access_new(&a, name);
        if (r < 0)
                return error_set(e, r, "out of memory");
        r = access_read(a, file, e);
        if (r < 0)
                return r;
        *ret = TAKE(a);
        return 0;
}

int access_load(Access **ret, const char *dir, Grant grant, uid_t self, Error *e) {
        _cleanup_(config_closep) ConfigFile *file = NULL;
        char path[4096];
        Error why = {};
        int r;

        assert(ret && dir);

        snprintf(path, sizeof(path), "%s/policy.conf", dir);
        r = config_open(&file, path, FILE_TRUSTED, &why);
        if (r == -ENOENT)
                return access_default(ret, grant, self, e);
        if (r < 0)
                return error_set(e, r, "%s", why.detail);
        return access_from_file(ret, file, path, e);
}

int access_parse(Access **ret, const char *name, const char *text, Error *e) {
        _cleanup_(config_closep) ConfigFile *file = NULL;
        int r;

        r = config_open_text(&file, name, text, e);
        return r < 0 ? r : access_from_file(ret, file, name, e);
}

int access_default(Access **ret, Grant grant, uid_t self, Error *e) {
        _cleanup_(access_freep) Access *a = NULL;
        const struct group *gr;
        Rule *rule;
        int r;

        r = access_new(&a, grant == GRANT_MACHINE
                                   ? "the default for a machine (root and group csign)"
                                   : "the default for a user (that user and root)");
        if (r < 0)
                return error_set(e, r, "out of memory");
        r = access_add(a, "default", &rule, e);
        if (r < 0)
                return r;

        rule->effect = EFFECT_ALLOW;
        r = add_pattern("*", &rule->keys, e);
        if (r >= 0)
                r = id_list_add(&rule->uids, 0, e);
        if (r >= 0 && grant == GRANT_USER)
                r = id_list_add(&rule->uids, self, e);
        if (r >= 0 && grant == GRANT_MACHINE && (gr = getgrnam(MACHINE_GROUP)))
                r = id_list_add(&rule->gids, gr->gr_gid, e);
        if (r < 0)
                return r;

        *ret = TAKE(a);
        return 0;
}

static void rule_done(Rule *rule) {
        free(rule->uids.ids);
        free(rule->gids.ids);
        for (size_t i = 0; i < rule->keys.n; i++)
                free(rule->keys.patterns[i]);
        free(rule->keys.patterns);
}

void access_free(Access *a) {
        if (!a)
                return;
        for (size_t i = 0; i < a->n_rules; i++)
                rule_done(&a->rules[i]);
        free(a->rules);
        free(a->where);
        free(a);
}

/* ---- deciding ---- */

static bool id_list_has(const IdList *l, id_t id) {
        for (size_t i = 0; i < l->n; i++)
                if (l->ids[i] == id)
                        return true;
        return false;
}

static bool rule_fits_caller(const Rule *rule, const Caller *c) {
        if (rule->uids.n == 0 && rule->gids.n == 0)
                return true;
        if (id_list_has(&rule->uids, c->uid))
                return true;
        if (c->gid != (gid_t) -1 && id_list_has(&rule->gids, c->gid))
                return true;
        for (size_t i = 0; i < c->n_groups; i++)
                if (id_list_has(&rule->gids, c->groups[i]))
                        return true;
        return false;
}

static bool rule_fits_key(const Rule *rule, const char *path) {
        for (size_t i = 0; i < rule->keys.n; i++)
                if (fnmatch(rule->keys.patterns[i], path, 0) == 0)
                        return true;
        return false;
}

static int denied(const Access *a, const Rule *rule, const Caller *c, const char *what, Error *e) {
        char name[96], who[CALLER_TEXT_MAX];

        snprintf(name, sizeof(name), "local-policy:%s", rule ? rule->name : "default");
        return error_set_rule(e, -CSIGN_E_LOCAL_POLICY, name, "%s may not use %s: %s %s",
                              caller_text(c, who), what,
                              rule ? "a rule denies it in" : "nothing allows it in", a->where);
}

int access_check(const Access *a, const Caller *c, const char *key_path, Error *e) {
        char what[PATH_MAX_LEN + 16];

        assert(a && c && key_path);

        snprintf(what, sizeof(what), "key %s", key_path);
        for (size_t i = 0; i < a->n_rules; i++) {
                const Rule *rule = &a->rules[i];

                if (!rule_fits_caller(rule, c) || !rule_fits_key(rule, key_path))
                        continue;
                return rule->effect == EFFECT_ALLOW ? 0 : denied(a, rule, c, what, e);
        }
        return denied(a, NULL, c, what, e);
}

int access_check_any(const Access *a, const Caller *c, Error *e) {
        assert(a && c);

        for (size_t i = 0; i < a->n_rules; i++)
                if (a->rules[i].effect == EFFECT_ALLOW && rule_fits_caller(&a->rules[i], c))
                        return 0;
        return denied(a, NULL, c, "any key", e);
}
