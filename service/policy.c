/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions.  No database, no strings that came from outside but to choose words. */

#include "service/policy.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "service/clock.h"
#include "service/tsg.h"

static bool has_right(const Principal *p, Right right) {
        bool administers = p->type == PRINCIPAL_USER && p->role == ROLE_OWNER;

        if (right == RIGHT_SELF)
                return true;
        return right == RIGHT_SIGN ? !administers : administers;
}

int policy_check_right(const Principal *p, Right right, Error *e) {
        assert(p && right > RIGHT_NONE && right < RIGHTS_MAX_);

        if (has_right(p, right))
                return 0;
        if (right == RIGHT_SIGN)
                return error_set_rule(e, -CSIGN_E_NOT_PERMITTED, "separation-of-duties",
                                      "user '%s' administers keys, and so may not sign with them",
                                      p->name);
        return error_set_rule(e, -CSIGN_E_NOT_PERMITTED, "role",
                              "%s '%s' has no role that permits this", principal_type_name(p),
                              p->name);
}

int policy_check_on(const Principal *p, Right right, const TsgChain *tsg, Error *e) {
        for (size_t i = 0; i < tsg->n; i++)
                if (strcmp(tsg->ids[i], p->tsg) == 0)
                        return policy_check_right(p, right, e);
        return error_set_rule(e, -CSIGN_E_NOT_PERMITTED, "scope",
                              "%s '%s' reaches only what is below TSG '%s'", principal_type_name(p),
                              p->name, p->tsg_path);
}

int policy_unreachable(const Principal *p, int not_found, const char *what, const char *path,
                       Error *e) {
        if (path && !path_is_below(path, p->tsg_path))
                return error_set_rule(e, -CSIGN_E_OUT_OF_SCOPE, "scope",
                                      "'%s' is not below TSG '%s', where %s '%s' is", path,
                                      p->tsg_path, principal_type_name(p), p->name);
        if (path)
                return error_set_rule(e, not_found, "scope", "there is no %s '%s'", what, path);
        return error_set_rule(e, not_found, "scope", "there is no such %s below TSG '%s'", what,
                              p->tsg_path);
}

int policy_check_key(const Principal *p, const Key *key, const char *asked_path, Error *e) {
        if (!key || !key_is_below(key, p->tsg))
                return policy_unreachable(p, -CSIGN_E_KEY_NOT_FOUND, "key", asked_path, e);
        return 0;
}

static int check_key_state(const Key *k, Error *e) {
        char when[CLOCK_TEXT_MAX];

        switch (k->state) {
        case KEY_ENABLED:
                return 0;
        case KEY_DISABLED:
                return error_set_rule(e, -CSIGN_E_KEY_DISABLED, "key-state", "key '%s' is disabled",
                                      k->path);
        case KEY_PENDING_DESTRUCTION:
                return error_set_rule(e, -CSIGN_E_KEY_DESTROYED, "key-state",
                                      "key '%s' will be destroyed at %s, and signs no more",
                                      k->path, clock_text_seconds(k->destroy_at, when));
        case KEY_DESTROYED:
                break;
        }
        return error_set_rule(e, -CSIGN_E_KEY_DESTROYED, "key-state",
                              "key '%s' was destroyed at %s", k->path,
                              clock_text_seconds(k->destroyed, when));
}

static int check_version_state(const Key *k, Error *e) {
        if (k->version_enabled)
                return 0;
        return error_set_rule(e, -CSIGN_E_KEY_DISABLED, "version-state",
                              "version %u of key '%s'%s is disabled", k->version, k->path,
                              k->version == k->primary_version ? ", its primary one," : "");
}

static int check_validity(const Key *k, uint64_t now, Error *e) {
        char when[CLOCK_TEXT_MAX];

        if (now < k->not_before)
                return error_set_rule(e, -CSIGN_E_KEY_EXPIRED, "key-validity",
                                      "key '%s' is not valid before %s", k->path,
                                      clock_text_seconds(k->not_before, when));
        if (k->not_after && now >= k->not_after)
                return error_set_rule(e, -CSIGN_E_KEY_EXPIRED, "key-validity",
                                      "key '%s' has expired at %s", k->path,
                                      clock_text_seconds(k->not_after, when));
        return 0;
}

int policy_check_sign(const Principal *p, const Key *key, const SignRequest *req,
                      const char **ret_rule, Error *e) {
        int r;

        assert(p && req && ret_rule);

        r = policy_check_right(p, RIGHT_SIGN, e);
        if (r < 0)
                return r;
        r = policy_check_key(p, key, NULL, e);
        if (r < 0)
                return r;
        r = check_key_state(key, e);
        if (r >= 0)
                r = check_version_state(key, e);
        if (r >= 0)
                r = check_validity(key, clock_now(), e);
        if (r >= 0)
                r = sign_request_check(req, key->alg, e);
        if (r >= 0)
                r = key_policy_check(&key->policy, req, key->path, e);
        if (r < 0)
                return r;

        *ret_rule = "scope";
        return 0;
}
