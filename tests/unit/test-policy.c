/* SPDX-License-Identifier: Apache-2.0 */
#include "service/policy.h"

#include "tests/unit/test.h"

static const uint8_t digest[32];

static Principal principal(PrincipalType type, Role role, const char *tsg, const char *path) {
        Principal p = { .type = type, .role = role, .id = "acc_x", .name = "someone" };

        snprintf(p.tsg, sizeof(p.tsg), "%s", tsg);
        snprintf(p.tsg_path, sizeof(p.tsg_path), "%s", path);
        return p;
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
                .above = { .n = 3, .ids = { "tsg_top", "tsg_acme", "tsg_mobile" } },
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

static void rights_are_by_kind_and_role(void **state) {
        static const struct {
                PrincipalType type;
                Role role;
                const char *path;
                Right right;
                int expect;
                const char *rule;
        } cases[] = {
                { PRINCIPAL_ACCOUNT, ROLE_NONE, "acme", RIGHT_SELF, 0, "" },
                { PRINCIPAL_ACCOUNT, ROLE_NONE, "acme", RIGHT_SELF, 0, "" },
                { PRINCIPAL_ACCOUNT, ROLE_NONE, "acme", RIGHT_SIGN, 0, "" },
                { PRINCIPAL_ACCOUNT, ROLE_NONE, "acme", RIGHT_WRITE(KEYS), -CSIGN_E_NOT_PERMITTED,
                  "role" },
                { PRINCIPAL_ACCOUNT, ROLE_NONE, "", RIGHT_VIEW(AUDIT), -CSIGN_E_NOT_PERMITTED,
                  "role" },
                /* An account has no role, whatever the row says. */
                { PRINCIPAL_ACCOUNT, ROLE_OWNER, "", RIGHT_WRITE(KEYS), -CSIGN_E_NOT_PERMITTED,
                  "role" },
                { PRINCIPAL_USER, ROLE_NONE, "acme", RIGHT_SIGN, 0, "" },
                { PRINCIPAL_USER, ROLE_NONE, "acme", RIGHT_WRITE(KEYS), -CSIGN_E_NOT_PERMITTED,
                  "role" },
                { PRINCIPAL_USER, ROLE_OWNER, "acme", RIGHT_WRITE(KEYS), 0, "" },
                { PRINCIPAL_USER, ROLE_OWNER, "acme", RIGHT_SIGN, -CSIGN_E_NOT_PERMITTED,
                  "separation-of-duties" },
                { PRINCIPAL_USER, ROLE_OWNER, "", RIGHT_VIEW(AUDIT), 0, "" },
                { PRINCIPAL_USER, ROLE_OWNER, "acme", RIGHT_VIEW(AUDIT), 0, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Principal p = principal(cases[i].type, cases[i].role, "tsg_x", cases[i].path);
                Error e = {};

                assert_int_equal(policy_check_right(&p, cases[i].right, &e), cases[i].expect);
                assert_string_equal(e.rule, cases[i].rule);
        }
}

static void signing_is_decided_in_order(void **state) {
        static const struct {
                const char *tsg, *path;
                bool enabled, version;
                Scheme scheme;
                size_t digest_len;
                int expect;
                const char *rule;
        } cases[] = {
                { "tsg_mobile", "acme/mobile", true, true, SCHEME_ECDSA, 32, 0, "" },
                { "tsg_acme", "acme", true, true, SCHEME_ECDSA, 32, 0, "" },
                { "tsg_top", "", true, true, SCHEME_ECDSA, 32, 0, "" },
                /* beside, below */
                { "tsg_web", "acme/web", true, true, SCHEME_ECDSA, 32, -CSIGN_E_KEY_NOT_FOUND,
                  "scope" },
                { "tsg_ios", "acme/mobile/ios", true, true, SCHEME_ECDSA, 32,
                  -CSIGN_E_KEY_NOT_FOUND, "scope" },
                /* A name like another's is not another's row. */
                { "tsg_twin", "acme/mobile", true, true, SCHEME_ECDSA, 32, -CSIGN_E_KEY_NOT_FOUND,
                  "scope" },
                /* Who does not reach the key learns nothing of its state. */
                { "tsg_web", "acme/web", false, true, SCHEME_ECDSA, 32, -CSIGN_E_KEY_NOT_FOUND,
                  "scope" },
                { "tsg_acme", "acme", false, true, SCHEME_ECDSA, 32, -CSIGN_E_KEY_DISABLED,
                  "key-state" },
                { "tsg_acme", "acme", false, true, SCHEME_RSA_PSS, 32, -CSIGN_E_KEY_DISABLED,
                  "key-state" },
                { "tsg_acme", "acme", true, false, SCHEME_ECDSA, 32, -CSIGN_E_KEY_DISABLED,
                  "version-state" },
                { "tsg_acme", "acme", false, false, SCHEME_ECDSA, 32, -CSIGN_E_KEY_DISABLED,
                  "key-state" },
                { "tsg_web", "acme/web", true, false, SCHEME_ECDSA, 32, -CSIGN_E_KEY_NOT_FOUND,
                  "scope" },
                { "tsg_acme", "acme", true, true, SCHEME_RSA_PSS, 32, -CSIGN_E_UNSUPPORTED_SCHEME,
                  "key-algorithm" },
                { "tsg_acme", "acme", true, true, SCHEME_ECDSA, 31, -CSIGN_E_BAD_DIGEST, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Principal p = principal(PRINCIPAL_ACCOUNT, ROLE_NONE, cases[i].tsg, cases[i].path);
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
        Principal p = principal(PRINCIPAL_ACCOUNT, ROLE_NONE, "tsg_acme", "acme");
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
        Principal p = principal(PRINCIPAL_ACCOUNT, ROLE_NONE, "tsg_web", "acme/web");
        SignRequest req = request(SCHEME_ECDSA, "SHA256", 32);
        Error no_row = {}, no_reach = {};
        const char *rule = NULL;
        Key k = key(true, true);

        assert_int_equal(policy_check_sign(&p, NULL, &req, &rule, &no_row), -CSIGN_E_KEY_NOT_FOUND);
        assert_int_equal(policy_check_sign(&p, &k, &req, &rule, &no_reach), -CSIGN_E_KEY_NOT_FOUND);
        assert_string_equal(no_row.detail, no_reach.detail);
        assert_null(strstr(no_reach.detail, "mobile"));
}

static void an_administrator_signs_nothing(void **state) {
        Principal p = principal(PRINCIPAL_USER, ROLE_OWNER, "tsg_top", "");
        SignRequest req = request(SCHEME_ECDSA, "SHA256", 32);
        const char *rule = NULL;
        Key k = key(true, true);
        Error e = {};

        assert_int_equal(policy_check_sign(&p, &k, &req, &rule, &e), -CSIGN_E_NOT_PERMITTED);
        assert_string_equal(e.rule, "separation-of-duties");
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
        Principal p = principal(PRINCIPAL_ACCOUNT, ROLE_NONE, "tsg_mobile", "acme/mobile");

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
                cmocka_unit_test(rights_are_by_kind_and_role),
                cmocka_unit_test(signing_is_decided_in_order),
                cmocka_unit_test(a_key_signs_in_its_life_alone),
                cmocka_unit_test(no_row_and_no_reach_are_the_same_words),
                cmocka_unit_test(an_administrator_signs_nothing),
                cmocka_unit_test(words_depend_on_the_asked_path_alone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
