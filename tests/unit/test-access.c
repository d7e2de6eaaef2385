/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/access.h"
#include "tests/unit/test.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

static Caller caller(uid_t uid, gid_t gid, gid_t *groups, size_t n_groups) {
        return (Caller){
                .uid = uid,
                .gid = gid,
                .pid = 1,
                .groups = groups,
                .n_groups = n_groups,
                .exe = "/usr/bin/openssl",
        };
}

static Access *parse(const char *text) {
        Access *a = NULL;
        Error e = {};
        int r;

        r = access_parse(&a, "policy.conf", text, &e);
        if (r < 0)
                print_error("%s\n", e.detail);
        assert_int_equal(r, 0);
        return a;
}

/* root is the one user and group that is everywhere. */
static const char policy[] =
        "rules = by-user, by-uid, by-group, nobody-else, everybody\n"
        "[by-user]\nusers = root\nkeys = *\neffect = allow\n"
        "[by-uid]\nuids = 1000, 1001\nkeys = acme/mobile/release\neffect = allow\n"
        "[by-group]\ngroups = root\nkeys = acme/web/*, acme/site-?\neffect = allow\n"
        "[nobody-else]\nkeys = acme/mobile/*\neffect = deny\n"
        "[everybody]\nkeys = acme/mobile/test, acme/[a-c]-key\neffect = allow\n";

static void the_first_rule_that_fits_decides(void **state) {
        static const struct {
                uid_t uid;
                gid_t gid;
                const char *key;
                const char *rule; /* NULL: allowed */
        } cases[] = {
                { 0, 5, "acme/mobile/release", NULL },
                { 0, 5, "any/thing/at/all", NULL },
                { 1000, 5, "acme/mobile/release", NULL },
                { 1001, 5, "acme/mobile/release", NULL },
                { 1002, 5, "acme/mobile/release", "local-policy:nobody-else" },
                { 1000, 5, "acme/mobile/releases", "local-policy:nobody-else" },
                { 1000, 5, "acme/mobile/release/x", "local-policy:nobody-else" },
                { 1000, 0, "acme/web/site", NULL },
                { 1000, 0, "acme/web/deep/er", NULL }, /* a star fits slashes too */
                { 1000, 0, "acme/site-1", NULL },
                { 1000, 0, "acme/site-10", "local-policy:default" },
                { 1000, 5, "acme/web/site", "local-policy:default" },
                { 1000, 5, "acme/web", "local-policy:default" },
                { 2000, 5, "acme/mobile/test",
                  "local-policy:nobody-else" }, /* the deny stands before */
                { 2000, 5, "acme/b-key", NULL },
                { 2000, 5, "acme/d-key", "local-policy:default" },
                { 2000, 5, "ACME/b-key", "local-policy:default" },
                { 2000, 5, "", "local-policy:default" },
        };
        _cleanup_(access_freep) Access *a = parse(policy);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Caller c = caller(cases[i].uid, cases[i].gid, NULL, 0);
                Error e = {};
                int r;

                r = access_check(a, &c, cases[i].key, &e);
                if (cases[i].rule) {
                        assert_refused(r, -CSIGN_E_LOCAL_POLICY, &e);
                        assert_string_equal(e.rule, cases[i].rule);
                        assert_non_null(strstr(e.detail, "policy.conf"));
                        assert_non_null(strstr(e.detail, "/usr/bin/openssl"));
                } else
                        assert_int_equal(r, 0);
        }
}

static void supplementary_groups_count(void **state) {
        _cleanup_(access_freep) Access *a = parse(policy);
        gid_t groups[] = { 4, 24, 0 };
        Caller in = caller(1000, 1000, groups, 3), out = caller(1000, 1000, groups, 2);

        assert_int_equal(access_check(a, &in, "acme/web/site", NULL), 0);
        assert_int_equal(access_check(a, &out, "acme/web/site", NULL), -CSIGN_E_LOCAL_POLICY);
}

/* A bus may not tell the gid: then -1 must be in no group, not even in one with that number. */
static void an_unknown_group_is_no_group(void **state) {
        _cleanup_(access_freep) Access *a = parse(policy);
        Caller c = caller(1000, (gid_t) -1, NULL, 0);

        assert_int_equal(access_check(a, &c, "acme/web/site", NULL), -CSIGN_E_LOCAL_POLICY);
}

static void who_may_use_nothing_is_known_at_once(void **state) {
        _cleanup_(access_freep) Access *a = parse("rules = a, b\n"
                                                  "[a]\nuids = 1000\nkeys = x/*\neffect = allow\n"
                                                  "[b]\nkeys = *\neffect = deny\n");
        Caller some = caller(1000, 5, NULL, 0), none = caller(1001, 5, NULL, 0);
        Error e = {};

        assert_int_equal(access_check_any(a, &some, &e), 0);
        assert_refused(access_check_any(a, &none, &e), -CSIGN_E_LOCAL_POLICY, &e);
}

static void defaults_are_the_grants(void **state) {
        static const struct {
                Grant grant;
                uid_t uid;
                bool allowed;
        } cases[] = {
                { GRANT_USER, 1000, true },     { GRANT_USER, 0, true },
                { GRANT_USER, 1001, false },    { GRANT_USER, 65534, false },
                { GRANT_MACHINE, 0, true },     { GRANT_MACHINE, 1000, false },
                { GRANT_MACHINE, 1001, false }, { GRANT_MACHINE, 65534, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(access_freep) Access *a = NULL;
                Caller c = caller(cases[i].uid, 100, NULL, 0);
                Error e = {};

                assert_int_equal(access_default(&a, cases[i].grant, 1000, &e), 0);
                if (cases[i].allowed) {
                        assert_int_equal(access_check(a, &c, "acme/mobile/release", &e), 0);
                        continue;
                }
                assert_refused(access_check(a, &c, "acme/mobile/release", &e),
                               -CSIGN_E_LOCAL_POLICY, &e);
                assert_string_equal(e.rule, "local-policy:default");
        }
}

static void group_csign_is_the_machines(void **state) {
        const struct group *gr = getgrnam("csign");
        _cleanup_(access_freep) Access *a = NULL;
        Caller c;

        if (!gr)
                return; /* not on this machine: the default has root alone, see above */
        c = caller(1000, gr->gr_gid, NULL, 0);
        assert_int_equal(access_default(&a, GRANT_MACHINE, 1, NULL), 0);
        assert_int_equal(access_check(a, &c, "acme/mobile/release", NULL), 0);
}

static void mistakes_say_their_line(void **state) {
        static const struct {
                const char *text, *where, *what;
        } cases[] = {
                { "", "policy.conf", "rules" },
                { "rules =\n", "policy.conf:1", "rules" },
                { "rules = a\n", "policy.conf:1", "[a]" },
                { "rules = a, a\n[a]\nkeys = *\neffect = allow\n", "policy.conf:1", "twice" },
                { "rules = a,\n[a]\nkeys = *\neffect = allow\n", "policy.conf:1", "empty" },
                { "rules = a\n[a]\nkeys = *\n", "policy.conf:2", "effect" },
                { "rules = a\n[a]\neffect = allow\n", "policy.conf:2", "keys" },
                { "rules = a\n[a]\nkeys = *\neffect = maybe\n", "policy.conf:4", "allow nor deny" },
                { "rules = a\n[a]\nkeys = *\neffect = allow\nuser = x\n", "policy.conf:5", "user" },
                { "rules = a\n[a]\nkeys = *\neffect = allow\nusers = no-such-user-here\n",
                  "policy.conf:5", "no-such-user-here" },
                { "rules = a\n[a]\nkeys = *\neffect = allow\ngroups = no-such-group-here\n",
                  "policy.conf:5", "no-such-group-here" },
                { "rules = a\n[a]\nkeys = *\neffect = allow\nuids = -1\n", "policy.conf:5", "-1" },
                { "rules = a\n[a]\nkeys = *\neffect = allow\nuids = 4294967295\n", "policy.conf:5",
                  "4294967295" },
                { "rules = a\n[a]\nkeys = *\neffect = allow\nuids = root\n", "policy.conf:5",
                  "root" },
                { "rules = a\n[a]\nkeys = Acme/*\neffect = allow\n", "policy.conf:3", "Acme" },
                { "rules = a\n[a]\nkeys = /acme/*\neffect = allow\n", "policy.conf:3", "/acme" },
                { "rules = a\n[a]\nkeys = csign://acme\neffect = allow\n", "policy.conf:3",
                  "csign" },
                { "rules = a\n[a]\nkeys = *\neffect = allow\n[b]\nkeys = *\neffect = deny\n",
                  "policy.conf:5", "[b]" },
                { "rules = a\nrule = b\n[a]\nkeys = *\neffect = allow\n", "policy.conf:2", "rule" },
                { "rules = a\n[a\nkeys = *\n", "policy.conf:2", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Access *a = NULL;
                Error e = {};

                assert_refused(access_parse(&a, "policy.conf", cases[i].text, &e),
                               -CSIGN_E_BAD_CONFIG, &e);
                assert_null(a);
                if (!strstr(e.detail, cases[i].where) || !strstr(e.detail, cases[i].what))
                        fail_msg("case %zu: %s", i, e.detail);
        }
}

static void a_file_that_others_can_write_is_refused(void **state) {
        char dir[] = "/tmp/csign-access-XXXXXX", path[64];
        Access *a = NULL;
        Error e = {};
        FILE *f;

        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/policy.conf", dir);
        assert_int_equal(access_load(&a, dir, GRANT_USER, 1000, &e), 0); /* no file: the default */
        access_free(TAKE(a));

        f = fopen(path, "w");
        assert_non_null(f);
        fputs(policy, f);
        fclose(f);
        assert_int_equal(chmod(path, 0644), 0);
        assert_int_equal(access_load(&a, dir, GRANT_USER, 1000, &e), 0);
        access_free(TAKE(a));

        assert_int_equal(chmod(path, 0666), 0);
        assert_refused(access_load(&a, dir, GRANT_USER, 1000, &e), -CSIGN_E_BAD_CONFIG, &e);
        assert_null(a);
        unlink(path);
        rmdir(dir);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_first_rule_that_fits_decides),
                cmocka_unit_test(supplementary_groups_count),
                cmocka_unit_test(an_unknown_group_is_no_group),
                cmocka_unit_test(who_may_use_nothing_is_known_at_once),
                cmocka_unit_test(defaults_are_the_grants),
                cmocka_unit_test(group_csign_is_the_machines),
                cmocka_unit_test(mistakes_say_their_line),
                cmocka_unit_test(a_file_that_others_can_write_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
