/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions by the local policies. */

#include "sidecar/access.h"

#include <assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/file.h"
#include "lib/key-uri.h"
#include "sidecar/access-rule.h"
#include "sidecar/clock.h"

#define MACHINE_GROUP "csign"

struct Access {
        Policy *policies[2]; /* the machine's, and the user's own; each must allow */
        size_t n;
};

/* ---- which policies there are ---- */

static int access_new(Access **ret, Policy *policy, Error *e) {
        Access *a = calloc(1, sizeof(*a));

        if (!a) {
                policy_free(policy);
                return error_set(e, -ENOMEM, "out of memory");
        }
        a->policies[a->n++] = policy;
        *ret = a;
        return 0;
}

static int default_policy(Policy **ret, Grant grant, uid_t self, Error *e) {
        const struct group *gr = grant == GRANT_MACHINE ? getgrnam(MACHINE_GROUP) : NULL;
        bool machine = grant == GRANT_MACHINE;

        return policy_new_default(ret,
                                  machine ? "the default for a machine (root and group csign)"
                                          : "the default for a user (that user and root)",
                                  (uid_t[]){ 0, self }, machine ? 1 : 2,
                                  gr ? gr->gr_gid : (gid_t) -1, e);
}

/* -ENOENT: there is none; in a folder where somebody else may have taken it away, nobody knows. */
static int policy_in(Policy **ret, const char *dir, Error *e) {
        char path[4096];
        Error why = {};
        int r;

        snprintf(path, sizeof(path), "%s/policy.conf", dir);
        r = dir_check(dir, &why);
        if (r >= 0)
                r = policy_read(ret, path, &why);
        return r < 0 ? error_set(e, r, "%s", why.detail) : 0;
}

int access_load(Access **ret, const char *dir, const char *machine_dir, Grant grant, uid_t self,
                Error *e) {
        _cleanup_(access_freep) Access *a = NULL;
        Policy *policy = NULL;
        int r;

        assert(ret && dir);

        r = policy_in(&policy, dir, e);
        if (r == -ENOENT)
                r = default_policy(&policy, grant, self, e);
        if (r >= 0)
                r = access_new(&a, policy, e);
        if (r >= 0 && machine_dir) {
                r = policy_in(&a->policies[1], machine_dir, e);
                a->n += r >= 0;
        }
        if (r < 0 && r != -ENOENT)
                return r;
        *ret = TAKE(a);
        return 0;
}

int access_parse(Access **ret, const char *name, const char *text, Error *e) {
        Policy *policy;
        int r;

        r = policy_read_text(&policy, name, text, e);
        return r < 0 ? r : access_new(ret, policy, e);
}

int access_default(Access **ret, Grant grant, uid_t self, Error *e) {
        Policy *policy;
        int r;

        r = default_policy(&policy, grant, self, e);
        return r < 0 ? r : access_new(ret, policy, e);
}

void access_free(Access *a) {
        if (!a)
                return;
        for (size_t i = 0; i < a->n; i++)
                policy_free(a->policies[i]);
        free(a);
}

/* ---- one rule ---- */

static bool id_list_has(const IdList *l, id_t id) {
        for (size_t i = 0; i < l->n; i++)
                if (l->ids[i] == id)
                        return true;
        return false;
}

static bool fits_who(const Rule *rule, const Caller *c) {
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

static bool fits_pattern(const TextList *l, const char *text, int flags) {
        for (size_t i = 0; i < l->n; i++)
                if (fnmatch(l->items[i], text, flags) == 0)
                        return true;
        return false;
}

static bool has_text(const TextList *l, const char *text) {
        for (size_t i = 0; i < l->n; i++)
                if (strcmp(l->items[i], text) == 0)
                        return true;
        return false;
}

/* What cannot be known of a caller allows it nothing, and does not save it from a deny. */
static bool fits_program(const Rule *rule, const Caller *c) {
        const Executable *x = &c->executable;
        bool unknown = rule->effect == EFFECT_DENY;

        if (rule->executables.n > 0 &&
            !(*c->exe && x->is_at_path ? fits_pattern(&rule->executables, c->exe, FNM_PATHNAME)
                                       : unknown))
                return false;
        if (rule->hashes.n > 0 && !(*x->sha256 ? has_text(&rule->hashes, x->sha256) : unknown))
                return false;
        return rule->units.n == 0 || (*c->unit ? fits_pattern(&rule->units, c->unit, 0) : unknown);
}

/* Without a scheme nobody signs yet: an allow fits for the schemes that it has, a deny only if it
 * has none. */
static bool fits_scheme(const Rule *rule, Scheme scheme) {
        if (rule->schemes == 0)
                return true;
        return scheme == SCHEME_NONE ? rule->effect == EFFECT_ALLOW
                                     : (rule->schemes >> scheme & 1) != 0;
}

static bool fits_caller(const Rule *rule, const Caller *c) {
        return fits_who(rule, c) && fits_program(rule, c);
}

/* ---- deciding ---- */

/* NULL: no rule fits. */
static const Rule *decide(const Policy *p, const Caller *c, const char *key, Scheme scheme) {
        for (size_t i = 0; i < p->n_rules; i++) {
                const Rule *rule = &p->rules[i];

                if (fits_caller(rule, c) && fits_pattern(&rule->keys, key, 0) &&
                    fits_scheme(rule, scheme))
                        return rule;
        }
        return NULL;
}

static bool allows(const Rule *rule) {
        return rule && rule->effect == EFFECT_ALLOW;
}

#define RULE_NAME_MAX 96

static const char *rule_name(const Rule *rule, char buf[static RULE_NAME_MAX]) {
        snprintf(buf, RULE_NAME_MAX, "local-policy:%s", rule ? rule->name : "default");
        return buf;
}

static int denied(const Policy *p, const Rule *rule, const Caller *c, const char *what, Error *e) {
        char name[RULE_NAME_MAX], who[CALLER_TEXT_MAX];

        return error_set_rule(e, -CSIGN_E_LOCAL_POLICY, rule_name(rule, name),
                              "%s may not use %s: %s %s", caller_text(c, who), what,
                              rule ? "a rule denies it in" : "nothing allows it in", p->where);
}

static int check(const Access *a, const Caller *c, const char *key, Scheme scheme,
                 const Rule *ret_rules[static 2], Error *e) {
        char what[PATH_MAX_LEN + 64];

        assert(a && c && key);

        for (size_t i = 0; i < a->n; i++) {
                ret_rules[i] = decide(a->policies[i], c, key, scheme);
                if (allows(ret_rules[i]))
                        continue;
                snprintf(what, sizeof(what), "key %s%s%s", key, scheme ? " for " : "",
                         scheme ? scheme_name(scheme) : "");
                return denied(a->policies[i], ret_rules[i], c, what, e);
        }
        return 0;
}

int access_check(const Access *a, const Caller *c, const char *key_path, Error *e) {
        const Rule *rules[2];

        return check(a, c, key_path, SCHEME_NONE, rules, e);
}

static int take_one(const Policy *p, const Rule *rule, const Caller *c, Error *e) {
        char name[RULE_NAME_MAX];
        uint64_t wait;

        wait = rule->rate ? rate_limit_take(rule->rate, c->uid, now_usec()) : 0;
        if (wait == 0)
                return 0;
        return error_set_rule(e, -CSIGN_E_RATE_LIMITED, rule_name(rule, name),
                              "uid %u has used up the %s that %s allows; the next one is in %.1f s",
                              (unsigned) c->uid, rate_limit_text(rule->rate), p->where,
                              (double) wait / USEC_PER_SEC);
}

int access_check_sign(Access *a, const Caller *c, const char *key_path, Scheme scheme, Error *e) {
        const Rule *rules[2];
        int r;

        r = check(a, c, key_path, scheme, rules, e);
        for (size_t i = 0; r >= 0 && i < a->n; i++)
                r = take_one(a->policies[i], rules[i], c, e);
        return r;
}

static bool allows_something(const Policy *p, const Caller *c) {
        for (size_t i = 0; i < p->n_rules; i++)
                if (allows(&p->rules[i]) && fits_caller(&p->rules[i], c))
                        return true;
        return false;
}

int access_check_any(const Access *a, const Caller *c, Error *e) {
        assert(a && c);

        for (size_t i = 0; i < a->n; i++)
                if (!allows_something(a->policies[i], c))
                        return denied(a->policies[i], NULL, c, "any key", e);
        return 0;
}

bool access_explain(const Access *a, const Caller *c, const char *key_path, Scheme scheme,
                    char rule[static 256]) {
        const Policy *p = NULL;
        const Rule *decides = NULL;

        for (size_t i = 0; i < a->n; i++) {
                p = a->policies[i];
                decides = decide(p, c, key_path, scheme);
                if (!allows(decides))
                        break;
        }
        if (decides)
                snprintf(rule, 256, "[%s] in %.180s", decides->name, p->where);
        else
                snprintf(rule, 256, "no rule fits in %.180s, and so it is denied", p->where);
        return allows(decides);
}
