/* SPDX-License-Identifier: Apache-2.0 */
#include "service/policy.h"

#include "tests/unit/test.h"

static const uint8_t digest[32];

/* The tree: tsg_top has tsg_acme and tsg_other, tsg_acme has tsg_mobile and tsg_web, tsg_mobile has
 * tsg_ios. */
static const struct {
        const char *id, *path;
        TsgChain chain;
} tree[] = {
        { "tsg_top", "", { 1, { "tsg_top" }, true } },
        { "tsg_acme", "acme", { 2, { "tsg_top", "tsg_acme" }, true } },
        { "tsg_mobile", "acme/mobile", { 3, { "tsg_top", "tsg_acme", "tsg_mobile" }, true } },
        { "tsg_ios",
          "acme/mobile/ios",
          { 4, { "tsg_top", "tsg_acme", "tsg_mobile", "tsg_ios" }, true } },
        { "tsg_web", "acme/web", { 3, { "tsg_top", "tsg_acme", "tsg_web" }, true } },
        { "tsg_other", "other", { 2, { "tsg_top", "tsg_other" }, true } },
};

static size_t place(const char *tsg) {
        size_t i = 0;

        while (strcmp(tree[i].id, tsg) != 0)
                assert_true(++i < ELEMENTSOF(tree));
        return i;
}

static const TsgChain *chain_of(const char *tsg) {
        return &tree[place(tsg)].chain;
}

/* Somebody of a TSG, with no role. */
static Principal principal(PrincipalType type, const char *tsg) {
        Principal p = {
                .type = type,
                .id = "usr_x",
                .name = "someone",
                .may_sign = true,
                .may_administer = true,
                .above = *chain_of(tsg),
        };

        snprintf(p.home, sizeof(p.home), "%s", tsg);
        snprintf(p.tsg, sizeof(p.tsg), "%s", tsg);
        snprintf(p.tsg_path, sizeof(p.tsg_path), "%s", tree[place(tsg)].path);
        return p;
}

static Binding binding(const char *role, const char *tsg) {
        Binding b = { .id = "bind_x", .tsg = *chain_of(tsg), .rights = role_builtin(role)->rights };

        snprintf(b.role, sizeof(b.role), "%s", role);
        snprintf(b.path, sizeof(b.path), "%s", tree[place(tsg)].path);
        return b;
}

/* A P-256 key of tsg_mobile, which is below tsg_acme and tsg_top. */
static Key key(bool enabled, bool version_enabled) {
        return (Key){
                .id = "key_x",
                .tsg = "tsg_mobile",
                .path = "acme/mobile/release",
                .alg = key_alg_by_name("P-256"),
                .state = enabled ? KEY_ENABLED : KEY_DISABLED,
                .version_enabled = version_enabled,
                .above = *chain_of("tsg_mobile"),
        };
}

static SignRequest request(Scheme scheme, const char *hash, size_t len) {
        return (SignRequest){
                .key_id = "key_x",
                .version = 1,
                .scheme = scheme,
                .hash = hash_alg_by_name(hash),
                .digest = digest,
                .digest_len = len,
        };
}

static void who_has_no_role_signs_and_administers_nothing(void **state) {
        for (PrincipalType type = PRINCIPAL_ACCOUNT; type <= PRINCIPAL_USER; type++) {
                Principal p = principal(type, "tsg_top");

                assert_int_equal(policy_check_right(&p, RIGHT_SELF, NULL), 0);
                assert_int_equal(policy_check_right(&p, RIGHT_SIGN, NULL), 0);
                for (Right right = RIGHT_PAGES_; right < RIGHTS_MAX_; right++) {
                        Error e = {};

                        assert_refused(policy_check_right(&p, right, &e), -CSIGN_E_NOT_PERMITTED,
                                       &e);
                        assert_string_equal(e.rule, "role");
                }
        }
}

/* One row a built-in role: what it gives on each page, in the order of the pages. */
static void builtin_roles_give_what_they_say(void **state) {
        static const struct {
                const char *role, *pages;
        } roles[] = {
                { "owner", "wwwwwwww" },           { "key-manager", "vwvvww--" },
                { "account-manager", "v-wv----" }, { "auditor", "vvvvvvvv" },
                { "viewer", "vvvvvv-v" },
        };

        for (size_t i = 0; i < ELEMENTSOF(roles); i++) {
                Binding b = binding(roles[i].role, "tsg_top");
                Principal p = principal(PRINCIPAL_USER, "tsg_top");

                p.bindings = &b;
                p.n_bindings = 1;
                for (AdminPage page = 0; page < PAGES_MAX_; page++)
                        for (Access access = ACCESS_VIEW; access <= ACCESS_WRITE; access++) {
                                char has = roles[i].pages[page];
                                bool expect = has == 'w' || (has == 'v' && access == ACCESS_VIEW);

                                assert_int_equal(
                                        policy_check_right(&p, RIGHT_OF(page, access), NULL) == 0,
                                        expect);
                        }
        }
        assert_null(role_builtin_at(ELEMENTSOF(roles)));
        assert_null(role_builtin("none"));
}

/* home: of the user; on: where the key-manager's role is; where: which key is to be changed. */
static void a_role_counts_on_its_tsg_and_below_within_the_scope(void **state) {
        static const struct {
                const char *home, *on, *where;
                const char *rule; /* NULL: allowed */
        } cases[] = {
                { "tsg_top", "tsg_acme", "tsg_acme", NULL },
                { "tsg_top", "tsg_acme", "tsg_ios", NULL },
                { "tsg_top", "tsg_acme", "tsg_other", "role" },
                { "tsg_top", "tsg_acme", "tsg_top", "role" },
                { "tsg_acme", "tsg_mobile", "tsg_web", "role" },
                { "tsg_acme", "tsg_mobile", "tsg_other", "scope" },
                /* A role above the scope gives no more than the scope. */
                { "tsg_mobile", "tsg_top", "tsg_ios", NULL },
                { "tsg_mobile", "tsg_top", "tsg_web", "scope" },
                { "tsg_mobile", "tsg_top", "tsg_top", "scope" },
                /* One beside it gives nothing, and then it is not even somewhere. */
                { "tsg_mobile", "tsg_other", "tsg_mobile", "role" },
                { "tsg_mobile", "tsg_other", "tsg_other", "scope" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Binding b = binding("key-manager", cases[i].on);
                Principal p = principal(PRINCIPAL_USER, cases[i].home);
                Error e = {};
                int r;

                p.bindings = &b;
                p.n_bindings = 1;
                r = policy_check_on(&p, RIGHT_WRITE(KEYS), chain_of(cases[i].where), &e);
                assert_int_equal(r, cases[i].rule ? -CSIGN_E_NOT_PERMITTED : 0);
                assert_string_equal(e.rule, cases[i].rule ?: "");
        }
}

static void several_roles_add_up(void **state) {
        Binding b[] = { binding("key-manager", "tsg_acme"),
                        binding("account-manager", "tsg_mobile") };
        Principal p = principal(PRINCIPAL_ACCOUNT, "tsg_acme");

        p.bindings = b;
        p.n_bindings = 2;
        assert_int_equal(policy_check_on(&p, RIGHT_WRITE(ACCOUNTS), chain_of("tsg_ios"), NULL), 0);
        assert_int_equal(policy_check_on(&p, RIGHT_WRITE(KEYS), chain_of("tsg_ios"), NULL), 0);
        assert_int_equal(policy_check_on(&p, RIGHT_WRITE(ACCOUNTS), chain_of("tsg_web"), NULL),
                         -CSIGN_E_NOT_PERMITTED);
}

static void an_api_key_can_be_for_one_thing_only(void **state) {
        Binding b = binding("owner", "tsg_top");
        Principal p = principal(PRINCIPAL_USER, "tsg_top");
        Roots roots;
        Error e = {};

        p.bindings = &b;
        p.n_bindings = 1;
        p.may_administer = false;
        assert_refused(policy_check_right(&p, RIGHT_VIEW(KEYS), &e), -CSIGN_E_NOT_PERMITTED, &e);
        assert_string_equal(e.rule, "api-key");
        policy_roots(&p, RIGHT_VIEW(KEYS), &roots);
        assert_int_equal(roots.n, 0);
        assert_int_equal(policy_check_right(&p, RIGHT_SIGN, &e), 0);

        p.may_administer = true;
        p.may_sign = false;
        assert_refused(policy_check_right(&p, RIGHT_SIGN, &e), -CSIGN_E_NOT_PERMITTED, &e);
        assert_string_equal(e.rule, "api-key");
}

static void nobody_gives_what_he_does_not_hold(void **state) {
        static const struct {
                const char *held, *on, *role, *where;
                bool allowed;
        } cases[] = {
                { "owner", "tsg_acme", "owner", "tsg_acme", true },
                { "owner", "tsg_acme", "owner", "tsg_ios", true },
                { "owner", "tsg_acme", "viewer", "tsg_top", false },
                { "owner", "tsg_acme", "viewer", "tsg_other", false },
                { "key-manager", "tsg_top", "key-manager", "tsg_web", true },
                { "key-manager", "tsg_top", "account-manager", "tsg_web", false },
                { "auditor", "tsg_top", "viewer", "tsg_web", true },
                { "viewer", "tsg_top", "auditor", "tsg_web", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Binding b = binding(cases[i].held, cases[i].on);
                Principal p = principal(PRINCIPAL_USER, "tsg_top");
                Error e = {};

                p.bindings = &b;
                p.n_bindings = 1;
                assert_int_equal(policy_check_grant(&p, &role_builtin(cases[i].role)->rights,
                                                    chain_of(cases[i].where), &e),
                                 cases[i].allowed ? 0 : -CSIGN_E_NOT_PERMITTED);
                assert_string_equal(e.rule, cases[i].allowed ? "" : "grant");
        }
}

static void roots_are_the_topmost_in_order(void **state) {
        static const struct {
                const char *home;
                const char *on[4];
                const char *expect; /* paths, each with a blank behind it */
        } cases[] = {
                { "tsg_top", { "tsg_top", "tsg_acme" }, " " },
                { "tsg_top",
                  { "tsg_other", "tsg_web", "tsg_mobile" },
                  "acme/mobile acme/web other " },
                { "tsg_top", { "tsg_ios", "tsg_acme", "tsg_web" }, "acme " },
                { "tsg_top", { "tsg_acme", "tsg_acme" }, "acme " },
                { "tsg_mobile", { "tsg_top", "tsg_acme" }, "acme/mobile " },
                { "tsg_mobile", { "tsg_web", "tsg_ios" }, "acme/mobile/ios " },
                { "tsg_mobile", { "tsg_other" }, "" },
                { "tsg_mobile", { NULL }, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Principal p = principal(PRINCIPAL_USER, cases[i].home);
                char found[128] = "";
                Binding b[4];
                Roots roots;

                p.bindings = b;
                for (; cases[i].on[p.n_bindings]; p.n_bindings++)
                        b[p.n_bindings] = binding("viewer", cases[i].on[p.n_bindings]);
                policy_roots(&p, RIGHT_VIEW(KEYS), &roots);
                for (size_t k = 0; k < roots.n; k++) {
                        strcat(found, roots.list[k].path);
                        strcat(found, " ");
                        assert_string_equal(tree[place(roots.list[k].id)].path, roots.list[k].path);
                }
                assert_string_equal(found, cases[i].expect);
                policy_roots(&p, RIGHT_WRITE(KEYS), &roots);
                assert_int_equal(roots.n, 0);
                policy_roots(&p, RIGHT_SIGN, &roots);
                assert_int_equal(roots.n, 1);
                assert_string_equal(roots.list[0].id, cases[i].home);
        }
}

static void certificates_that_ended_stop_signing(void **state) {
        static const struct {
                uint64_t expires; /* 0: there is no certificate */
                bool revoked, allow_expired, allow_revoked;
                int expect;
                const char *rule;
        } cases[] = {
                { 0, false, false, false, 0, "" },
                { UINT64_MAX, false, false, false, 0, "" },
                { 1, false, false, false, -CSIGN_E_CERTIFICATE_EXPIRED, "certificate-expired" },
                { 1, false, true, false, 0, "" },
                { 1, false, false, true, -CSIGN_E_CERTIFICATE_EXPIRED, "certificate-expired" },
                { UINT64_MAX, true, false, false, -CSIGN_E_CERTIFICATE_REVOKED,
                  "certificate-revoked" },
                { UINT64_MAX, true, true, false, -CSIGN_E_CERTIFICATE_REVOKED,
                  "certificate-revoked" },
                { UINT64_MAX, true, false, true, 0, "" },
                { 1, true, false, true, -CSIGN_E_CERTIFICATE_EXPIRED, "certificate-expired" },
                { 1, true, true, true, 0, "" },
        };
        Principal p = principal(PRINCIPAL_ACCOUNT, "tsg_acme");
        SignRequest req = request(SCHEME_ECDSA, "SHA256", 32);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *rule = NULL;
                Key k = key(true, true);
                Error e = {};

                k.certificate_expires = cases[i].expires;
                k.certificate_revoked = cases[i].revoked;
                k.policy.allow_expired_certificate = cases[i].allow_expired;
                k.policy.allow_revoked_certificate = cases[i].allow_revoked;
                assert_int_equal(policy_check_sign(&p, &k, &req, &rule, &e), cases[i].expect);
                assert_string_equal(e.rule, cases[i].rule);
        }
}

static void signing_is_decided_in_order(void **state) {
        static const struct {
                const char *tsg;
                bool enabled, version;
                Scheme scheme;
                size_t digest_len;
                int expect;
                const char *rule;
        } cases[] = {
                { "tsg_mobile", true, true, SCHEME_ECDSA, 32, 0, "" },
                { "tsg_acme", true, true, SCHEME_ECDSA, 32, 0, "" },
                { "tsg_top", true, true, SCHEME_ECDSA, 32, 0, "" },
                /* beside, below */
                { "tsg_web", true, true, SCHEME_ECDSA, 32, -CSIGN_E_KEY_NOT_FOUND, "scope" },
                { "tsg_ios", true, true, SCHEME_ECDSA, 32, -CSIGN_E_KEY_NOT_FOUND, "scope" },
                /* Who does not reach the key learns nothing of its state. */
                { "tsg_web", false, true, SCHEME_ECDSA, 32, -CSIGN_E_KEY_NOT_FOUND, "scope" },
                { "tsg_acme", false, true, SCHEME_ECDSA, 32, -CSIGN_E_KEY_DISABLED, "key-state" },
                { "tsg_acme", false, true, SCHEME_RSA_PSS, 32, -CSIGN_E_KEY_DISABLED, "key-state" },
                { "tsg_acme", true, false, SCHEME_ECDSA, 32, -CSIGN_E_KEY_DISABLED,
                  "version-state" },
                { "tsg_acme", false, false, SCHEME_ECDSA, 32, -CSIGN_E_KEY_DISABLED, "key-state" },
                { "tsg_web", true, false, SCHEME_ECDSA, 32, -CSIGN_E_KEY_NOT_FOUND, "scope" },
                { "tsg_acme", true, true, SCHEME_RSA_PSS, 32, -CSIGN_E_UNSUPPORTED_SCHEME,
                  "key-algorithm" },
                { "tsg_acme", true, true, SCHEME_ECDSA, 31, -CSIGN_E_BAD_DIGEST, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Principal p = principal(PRINCIPAL_ACCOUNT, cases[i].tsg);
                SignRequest req = request(cases[i].scheme, "SHA256", cases[i].digest_len);
                Key k = key(cases[i].enabled, cases[i].version);
                const char *rule = NULL;
                Error e = {};

                assert_int_equal(policy_check_sign(&p, &k, &req, &rule, &e), cases[i].expect);
                assert_string_equal(e.rule, cases[i].rule);
                if (cases[i].expect == 0)
                        assert_string_equal(rule, "scope");
                else
                        assert_null(rule);
        }
}

/* What stops a key besides being disabled, in the order in which it is looked for. */
static void a_key_signs_in_its_life_alone(void **state) {
        const uint64_t past = 1, future = (uint64_t) 253402300799 * 1000000;
        const struct {
                KeyState state;
                uint64_t not_before, not_after;
                KeyPolicy policy;
                int expect;
                const char *rule;
        } cases[] = {
                { KEY_ENABLED, past, future, {}, 0, "" },
                { KEY_ENABLED, future, 0, {}, -CSIGN_E_KEY_EXPIRED, "key-validity" },
                { KEY_ENABLED, 0, past, {}, -CSIGN_E_KEY_EXPIRED, "key-validity" },
                { KEY_DISABLED, 0, past, {}, -CSIGN_E_KEY_DISABLED, "key-state" },
                { KEY_PENDING_DESTRUCTION, 0, past, {}, -CSIGN_E_KEY_DESTROYED, "key-state" },
                { KEY_DESTROYED, 0, 0, {}, -CSIGN_E_KEY_DESTROYED, "key-state" },
                { KEY_ENABLED, 0, 0, { .schemes = SCHEME_BIT(SCHEME_ECDSA) }, 0, "" },
                { KEY_ENABLED,
                  0,
                  0,
                  { .hashes = HASH_BIT(hash_alg_by_name("SHA384")) },
                  -CSIGN_E_UNSUPPORTED_SCHEME,
                  "usage-scheme" },
        };
        Principal p = principal(PRINCIPAL_ACCOUNT, "tsg_acme");
        SignRequest req = request(SCHEME_ECDSA, "SHA256", 32);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Key k = key(true, true);
                const char *rule = NULL;
                Error e = {};

                k.state = cases[i].state;
                k.not_before = cases[i].not_before;
                k.not_after = cases[i].not_after;
                k.policy = cases[i].policy;
                assert_int_equal(policy_check_sign(&p, &k, &req, &rule, &e), cases[i].expect);
                assert_string_equal(e.rule, cases[i].rule);
        }
}

static void no_row_and_no_reach_are_the_same_words(void **state) {
        Principal p = principal(PRINCIPAL_ACCOUNT, "tsg_web");
        SignRequest req = request(SCHEME_ECDSA, "SHA256", 32);
        Error no_row = {}, no_reach = {};
        const char *rule = NULL;
        Key k = key(true, true);

        assert_int_equal(policy_check_sign(&p, NULL, &req, &rule, &no_row), -CSIGN_E_KEY_NOT_FOUND);
        assert_int_equal(policy_check_sign(&p, &k, &req, &rule, &no_reach), -CSIGN_E_KEY_NOT_FOUND);
        assert_string_equal(no_row.detail, no_reach.detail);
        assert_null(strstr(no_reach.detail, "mobile"));
}

/* on: where the role is; the key is in acme/mobile. */
static void who_may_change_a_tsg_does_not_sign_with_its_keys(void **state) {
        static const struct {
                const char *role, *on;
                bool separate, allowed;
        } cases[] = {
                { "owner", "tsg_top", true, false },
                { "key-manager", "tsg_mobile", true, false },
                { "account-manager", "tsg_acme", true, false },
                { "auditor", "tsg_top", true, true },
                { "viewer", "tsg_mobile", true, true },
                { "owner", "tsg_web", true, true },
                { "owner", "tsg_ios", true, true },
                { "owner", "tsg_top", false, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (PrincipalType type = PRINCIPAL_ACCOUNT; type <= PRINCIPAL_USER; type++) {
                        SignRequest req = request(SCHEME_ECDSA, "SHA256", 32);
                        Binding b = binding(cases[i].role, cases[i].on);
                        Principal p = principal(type, "tsg_top");
                        const char *rule = NULL;
                        Key k = key(true, true);
                        Error e = {};

                        p.bindings = &b;
                        p.n_bindings = 1;
                        k.above.separation_of_duties = cases[i].separate;
                        assert_int_equal(policy_check_sign(&p, &k, &req, &rule, &e),
                                         cases[i].allowed ? 0 : -CSIGN_E_NOT_PERMITTED);
                        assert_string_equal(e.rule, cases[i].allowed ? "" : "separation-of-duties");
                        /* An API key that is only for signing changes nothing of it. */
                        p.may_administer = false;
                        assert_int_equal(policy_check_sign(&p, &k, &req, &rule, NULL),
                                         cases[i].allowed ? 0 : -CSIGN_E_NOT_PERMITTED);
                }
}

static void an_api_key_for_administration_sees_what_its_roles_show(void **state) {
        Binding b = binding("viewer", "tsg_web");
        Principal p = principal(PRINCIPAL_USER, "tsg_acme");
        Key k = key(true, true);
        Error e = {};

        p.may_sign = false;
        p.bindings = &b;
        p.n_bindings = 1;
        assert_refused(policy_check_key(&p, &k, NULL, &e), -CSIGN_E_KEY_NOT_FOUND, &e);
        b = binding("viewer", "tsg_acme");
        assert_int_equal(policy_check_key(&p, &k, NULL, &e), 0);
}

static void words_depend_on_the_asked_path_alone(void **state) {
        static const struct {
                const char *path;
                int expect;
        } cases[] = {
                { "acme/mobile/x", -CSIGN_E_KEY_NOT_FOUND },
                { "acme/mobiles/x", -CSIGN_E_OUT_OF_SCOPE },
                { "acme", -CSIGN_E_OUT_OF_SCOPE },
                { "other/x", -CSIGN_E_OUT_OF_SCOPE },
                { NULL, -CSIGN_E_KEY_NOT_FOUND },
        };
        Principal p = principal(PRINCIPAL_ACCOUNT, "tsg_mobile");

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Error e = {};

                assert_refused(
                        policy_unreachable(&p, -CSIGN_E_KEY_NOT_FOUND, "key", cases[i].path, &e),
                        cases[i].expect, &e);
                assert_string_equal(e.rule, "scope");
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(who_has_no_role_signs_and_administers_nothing),
                cmocka_unit_test(builtin_roles_give_what_they_say),
                cmocka_unit_test(a_role_counts_on_its_tsg_and_below_within_the_scope),
                cmocka_unit_test(several_roles_add_up),
                cmocka_unit_test(an_api_key_can_be_for_one_thing_only),
                cmocka_unit_test(nobody_gives_what_he_does_not_hold),
                cmocka_unit_test(roots_are_the_topmost_in_order),
                cmocka_unit_test(signing_is_decided_in_order),
                cmocka_unit_test(a_key_signs_in_its_life_alone),
                cmocka_unit_test(certificates_that_ended_stop_signing),
                cmocka_unit_test(no_row_and_no_reach_are_the_same_words),
                cmocka_unit_test(who_may_change_a_tsg_does_not_sign_with_its_keys),
                cmocka_unit_test(an_api_key_for_administration_sees_what_its_roles_show),
                cmocka_unit_test(words_depend_on_the_asked_path_alone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
