/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions.  No database, no strings that came from outside but to choose words. */

#include "service/policy.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "service/clock.h"
#include "service/tsg.h"

static bool covers(const Principal *p, const TsgChain *tsg) {
        return tsg_chain_has(tsg, p->tsg);
}

/* ---- rights ---- */

/* What a binding gives is cut by the scope: where, if anywhere, the two meet. */
static bool binding_root(const Principal *p, const Binding *b, Root *ret) {
        if (tsg_chain_has(&b->tsg, p->tsg))
                *ret = (Root){ b->tsg.ids[b->tsg.n - 1], b->path };
        else if (tsg_chain_has(&p->above, b->tsg.ids[b->tsg.n - 1]))
                *ret = (Root){ p->tsg, p->tsg_path };
        else
                return false;
        return true;
}

static bool binding_gives(const Principal *p, const Binding *b, Right right) {
        return b->tsg.n > 0 && b->rights.on[RIGHT_PAGE(right)] >= RIGHT_ACCESS(right);
}

static bool has_role(const Principal *p, Right right) {
        Root root;

        for (size_t i = 0; i < p->n_bindings; i++)
                if (binding_gives(p, &p->bindings[i], right) &&
                    binding_root(p, &p->bindings[i], &root))
                        return true;
        return false;
}

bool policy_binding_counts(const Principal *p, const Binding *b, const TsgChain *tsg) {
        return covers(p, tsg) && b->tsg.n > 0 && b->rights.on[PAGE_KEYS] > ACCESS_NONE &&
               tsg_chain_has(tsg, b->tsg.ids[b->tsg.n - 1]);
}

void policy_rights_on(const Principal *p, const TsgChain *tsg, Rights *ret) {
        *ret = (Rights){};
        if (!covers(p, tsg) || !p->may_administer)
                return;
        for (size_t i = 0; i < p->n_bindings; i++) {
                const Binding *b = &p->bindings[i];

                if (b->tsg.n > 0 && tsg_chain_has(tsg, b->tsg.ids[b->tsg.n - 1]))
                        rights_add(ret, &b->rights);
        }
}

static int check_api_key(const Principal *p, Right right, Error *e) {
        bool sign = right == RIGHT_SIGN;

        if (sign ? p->may_sign : p->may_administer)
                return 0;
        return error_set_rule(e, -CSIGN_E_NOT_PERMITTED, "api-key",
                              "this API key of %s '%s' is not for %s", principal_type_name(p),
                              p->name, sign ? "signing" : "administration");
}

static int refuse_role(const Principal *p, Right right, const char *where, Error *e) {
        return error_set_rule(e, -CSIGN_E_NOT_PERMITTED, "role",
                              "%s '%s' has no role that gives %s:%s%s", principal_type_name(p),
                              p->name, page_name(RIGHT_PAGE(right)),
                              access_name(RIGHT_ACCESS(right)), where);
}

int policy_check_network(const char *account, const Networks *networks, const char *address,
                         Error *e) {
        if (networks_allow(networks, address))
                return 0;
        return error_set_rule(e, -CSIGN_E_NOT_PERMITTED, "account-network",
                              "account '%s' may not come from %s", account, address);
}

int policy_check_right(const Principal *p, Right right, Error *e) {
        int r;

        assert(p && right > RIGHT_NONE && right < RIGHTS_MAX_);

        if (right == RIGHT_SELF)
                return 0;
        r = check_api_key(p, right, e);
        if (r < 0 || right == RIGHT_SIGN)
                return r;
        if (has_role(p, right) || (RIGHT_PAGE(right) == PAGE_ACCOUNTS && p->owns_accounts))
                return 0;
        return refuse_role(p, right, "", e);
}

int policy_check_on(const Principal *p, Right right, const TsgChain *tsg, Error *e) {
        Rights rights;
        int r;

        if (!covers(p, tsg))
                return error_set_rule(e, -CSIGN_E_NOT_PERMITTED, "scope",
                                      "%s '%s' reaches only what is below TSG '%s'",
                                      principal_type_name(p), p->name, p->tsg_path);
        r = policy_check_right(p, right, e);
        if (r < 0 || right < RIGHT_PAGES_)
                return r;
        policy_rights_on(p, tsg, &rights);
        if (rights.on[RIGHT_PAGE(right)] >= RIGHT_ACCESS(right))
                return 0;
        return refuse_role(p, right, " there", e);
}

int policy_check_grant(const Principal *p, const Rights *rights, const TsgChain *tsg, Error *e) {
        Rights held, missing = {};
        char text[RIGHTS_TEXT_MAX];

        policy_rights_on(p, tsg, &held);
        if (rights_cover(&held, rights))
                return 0;
        for (size_t i = 0; i < PAGES_MAX_; i++)
                if (rights->on[i] > held.on[i])
                        missing.on[i] = rights->on[i];
        return error_set_rule(e, -CSIGN_E_NOT_PERMITTED, "grant",
                              "%s '%s' does not hold %s there, and so can neither give nor take it",
                              principal_type_name(p), p->name, rights_text(&missing, text));
}

int policy_check_over(const Principal *p, const Principal *other, Error *e) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < other->n_bindings; i++)
                r = policy_check_grant(p, &other->bindings[i].rights, &other->bindings[i].tsg, e);
        return r;
}

int policy_check_api_key(const Principal *p, const TsgChain *tsg, bool may_sign,
                         bool may_administer, uint64_t expires, Error *e) {
        if (covers(p, tsg) && may_sign <= p->may_sign && may_administer <= p->may_administer &&
            (p->expires == 0 || (expires && expires <= p->expires)))
                return 0;
        return error_set_rule(e, -CSIGN_E_NOT_PERMITTED, "api-key",
                              "that API key is for more than the one that %s '%s' came with",
                              principal_type_name(p), p->name);
}

bool policy_is_member(const Principal *p, const char *team) {
        for (size_t i = 0; i < p->n_teams; i++)
                if (strcmp(p->teams[i], team) == 0)
                        return true;
        return false;
}

int policy_check_account(const Principal *p, Right right, const TsgChain *tsg, const char *team,
                         Error *e) {
        assert(RIGHT_PAGE(right) == PAGE_ACCOUNTS);

        if (team[0] && p->may_administer && covers(p, tsg) && policy_is_member(p, team))
                return 0;
        return policy_check_on(p, right, tsg, e);
}

int policy_check_principal(const Principal *p, const Principal *other, Error *e) {
        Right right = other->type == PRINCIPAL_ACCOUNT ? RIGHT_VIEW(ACCOUNTS) : RIGHT_VIEW(PEOPLE);

        if (!covers(p, &other->above))
                return policy_unreachable(p, -CSIGN_E_NOT_FOUND, principal_type_name(other), NULL,
                                          e);
        return policy_check_on(p, right, &other->above, e);
}

/* ---- roots ---- */

static int compare_roots(const void *a, const void *b) {
        return strcmp(((const Root *) a)->path, ((const Root *) b)->path);
}

/* By ids: whether what a is the root of lies below b's TSG, too. */
static bool is_below_another(const Principal *p, const Binding *b, Right right) {
        for (size_t i = 0; i < p->n_bindings; i++) {
                const Binding *other = &p->bindings[i];
                const char *tsg;

                if (other == b || !binding_gives(p, other, right))
                        continue;
                tsg = other->tsg.ids[other->tsg.n - 1];
                if (!tsg_chain_has(&b->tsg, tsg))
                        continue;
                /* Of two on the same TSG the first stays. */
                if (other->tsg.n < b->tsg.n || other < b)
                        return true;
        }
        return false;
}

void policy_roots(const Principal *p, Right right, Roots *ret) {
        ret->n = 0;
        if (right < RIGHT_PAGES_) {
                if (right == RIGHT_SELF || p->may_sign)
                        ret->list[ret->n++] = (Root){ p->tsg, p->tsg_path };
                return;
        }
        if (!p->may_administer)
                return;
        for (size_t i = 0; i < p->n_bindings; i++) {
                const Binding *b = &p->bindings[i];

                if (binding_gives(p, b, right) && !is_below_another(p, b, right) &&
                    binding_root(p, b, &ret->list[ret->n]))
                        ret->n++;
        }
        qsort(ret->list, ret->n, sizeof(*ret->list), compare_roots);
}

/* ---- keys ---- */

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

static int compare_ids(const void *a, const void *b) {
        return strcmp(a, b);
}

static bool is_signer(const Principal *p, const Key *key) {
        return key->project[0] == '\0' ||
               (p->n_projects > 0 && bsearch(key->project, p->projects, p->n_projects,
                                             sizeof(*p->projects), compare_ids));
}

/* Who may use it sees it, and so does who administers it. */
static bool sees_key(const Principal *p, const Key *key) {
        return key && covers(p, &key->above) &&
               ((p->may_sign && is_signer(p, key)) ||
                policy_check_on(p, RIGHT_VIEW(KEYS), &key->above, NULL) >= 0);
}

int policy_check_key(const Principal *p, const Key *key, const char *asked_path, Error *e) {
        if (!sees_key(p, key))
                return policy_unreachable(p, -CSIGN_E_KEY_NOT_FOUND, "key", asked_path, e);
        return 0;
}

/* By all roles of its, whatever its API key is for. */
static int check_duties(const Principal *p, const Key *key, Error *e) {
        if (!key->above.separation_of_duties)
                return 0;
        for (size_t i = 0; i < p->n_bindings; i++) {
                const Binding *b = &p->bindings[i];

                if (b->tsg.n == 0 || !rights_write(&b->rights) ||
                    !tsg_chain_has(&key->above, b->tsg.ids[b->tsg.n - 1]))
                        continue;
                return error_set_rule(
                        e, -CSIGN_E_NOT_PERMITTED, "separation-of-duties",
                        "%s '%s' administers TSG '%s' (%s), and so may not sign with its keys",
                        principal_type_name(p), p->name, b->path, b->id);
        }
        return 0;
}

static int check_project(const Principal *p, const Key *key, Error *e) {
        if (is_signer(p, key))
                return 0;
        return error_set_rule(e, -CSIGN_E_NOT_PERMITTED, "project",
                              "key '%s' is in project '%s', of which %s '%s' is no authorized "
                              "signer",
                              key->path, key->project, principal_type_name(p), p->name);
}

static int check_use(const Principal *p, const Key *key, const char **ret_rule, Error *e) {
        int r;

        r = check_project(p, key, e);
        if (r >= 0)
                r = check_duties(p, key, e);
        if (r < 0)
                return r;
        *ret_rule = key->project[0] ? "project" : "scope";
        return 0;
}

int policy_check_use(const Principal *p, const Key *key, const char **ret_rule, Error *e) {
        int r;

        r = policy_check_right(p, RIGHT_SIGN, e);
        if (r >= 0)
                r = policy_check_key(p, key, NULL, e);
        return r < 0 ? r : check_use(p, key, ret_rule, e);
}

int policy_explain_use(const Principal *p, const Key *key, const char **ret_rule, Error *e) {
        int r;

        if (p->ended)
                return error_set_rule(e, -CSIGN_E_NOT_PERMITTED, "principal-state",
                                      "%s '%s' is disabled or has expired", principal_type_name(p),
                                      p->name);
        r = policy_check_right(p, RIGHT_SIGN, e);
        if (r >= 0 && !covers(p, &key->above))
                return policy_unreachable(p, -CSIGN_E_KEY_NOT_FOUND, "key", key->path, e);
        return r < 0 ? r : check_use(p, key, ret_rule, e);
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

static int check_certificate(const Key *key, uint64_t now, Error *e) {
        char end[CLOCK_TEXT_MAX];

        if (key->certificate_revoked && !key->policy.allow_revoked_certificate)
                return error_set_rule(e, -CSIGN_E_CERTIFICATE_REVOKED, "certificate-revoked",
                                      "the certificate of version %u of key '%s' was revoked",
                                      key->version, key->path);
        if (key->certificate_expires != 0 && key->certificate_expires <= now &&
            !key->policy.allow_expired_certificate)
                return error_set_rule(e, -CSIGN_E_CERTIFICATE_EXPIRED, "certificate-expired",
                                      "the certificate of version %u of key '%s' expired at %s",
                                      key->version, key->path,
                                      clock_text_seconds(key->certificate_expires, end));
        return 0;
}

int policy_check_sign(const Principal *p, const Key *key, const SignRequest *req,
                      const char **ret_rule, Error *e) {
        uint64_t now = clock_now();
        const char *rule;
        int r;

        assert(p && req && ret_rule);

        r = policy_check_use(p, key, &rule, e);
        if (r >= 0)
                r = check_key_state(key, e);
        if (r >= 0)
                r = check_version_state(key, e);
        if (r >= 0)
                r = check_validity(key, now, e);
        if (r >= 0)
                r = check_certificate(key, now, e);
        if (r >= 0)
                r = sign_request_check(req, key->alg, e);
        if (r >= 0)
                r = key_policy_check(&key->policy, req, key->path, e);
        if (r < 0)
                return r;

        *ret_rule = rule;
        return 0;
}
