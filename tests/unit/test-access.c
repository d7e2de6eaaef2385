/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/access-rate.h"
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

/* A caller whose program is known: its path is this file's on the host, too. */
static Caller program(const char *exe, const char *sha256, const char *unit) {
        Caller c = caller(1000, 1000, NULL, 0);

        snprintf(c.exe, sizeof(c.exe), "%s", exe);
        snprintf(c.unit, sizeof(c.unit), "%s", unit);
        snprintf(c.executable.sha256, sizeof(c.executable.sha256), "%s", sha256);
        c.executable.is_at_path = true;
        return c;
}

#define HASH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void programs_and_units_narrow_a_rule(void **state) {
        static const char text[] =
                "rules = a, b, c, d\n"
                "[a]\nexecutables = /usr/bin/openssl, /opt/*/sign\nkeys = by-path\neffect = allow\n"
                "[b]\nexecutable-hashes = " HASH_A "\nkeys = by-hash\neffect = allow\n"
                "[c]\nunits = release-*.service\nkeys = by-unit\neffect = allow\n"
                "[d]\nexecutables = /usr/bin/openssl\nexecutable-hashes = " HASH_A
                "\nunits = ci.service\nkeys = by-all\neffect = allow\n";
        static const struct {
                const char *exe, *sha256, *unit, *key;
                bool allowed;
        } cases[] = {
                { "/usr/bin/openssl", HASH_B, "", "by-path", true },
                { "/opt/x/sign", HASH_B, "", "by-path", true },
                { "/opt/x/y/sign", HASH_B, "", "by-path", false }, /* here a star ends at a slash */
                { "/x/usr/bin/openssl", HASH_B, "", "by-path", false },
                { "/usr/bin/openssl (deleted)", HASH_B, "", "by-path", false },
                { "", HASH_B, "", "by-path", false },
                { "/any/thing", HASH_A, "", "by-hash", true },
                { "/any/thing", HASH_B, "", "by-hash", false },
                { "/any/thing", "", "", "by-hash", false },
                { "/x", HASH_B, "release-1.service", "by-unit", true },
                { "/x", HASH_B, "release.service", "by-unit", false },
                { "/x", HASH_B, "", "by-unit", false },
                { "/usr/bin/openssl", HASH_A, "ci.service", "by-all", true },
                { "/usr/bin/openssl", HASH_B, "ci.service", "by-all", false },
                { "/usr/bin/openssl", HASH_A, "cj.service", "by-all", false },
                { "/usr/bin/gpg", HASH_A, "ci.service", "by-all", false },
        };
        _cleanup_(access_freep) Access *a = parse(text);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Caller c = program(cases[i].exe, cases[i].sha256, cases[i].unit);
                int r;

                r = access_check(a, &c, cases[i].key, NULL);
                if (r != (cases[i].allowed ? 0 : -CSIGN_E_LOCAL_POLICY))
                        fail_msg("case %zu: %d", i, r);
        }
}

/* Another file system may have another file of that name: then the path says nothing. */
static void a_path_that_is_not_the_hosts_is_no_path(void **state) {
        _cleanup_(access_freep) Access *a =
                parse("rules = a\n[a]\nexecutables = /usr/bin/openssl\nkeys = *\neffect = allow\n");
        Caller c = program("/usr/bin/openssl", HASH_A, "");

        assert_int_equal(access_check(a, &c, "x/y", NULL), 0);
        c.executable.is_at_path = false;
        assert_int_equal(access_check(a, &c, "x/y", NULL), -CSIGN_E_LOCAL_POLICY);
}

static void what_is_not_known_escapes_no_deny(void **state) {
        static const char *const denies[] = {
                "executables = /usr/bin/evil",
                "executable-hashes = " HASH_A,
                "units = evil.service",
        };

        for (size_t i = 0; i < ELEMENTSOF(denies); i++) {
                _cleanup_(access_freep) Access *a = NULL;
                Caller unknown = program("", "", ""), good = program("/x", HASH_B, "x.service");
                char text[512];

                snprintf(text, sizeof(text),
                         "rules = no, all\n[no]\n%s\nkeys = *\neffect = deny\n"
                         "[all]\nkeys = *\neffect = allow\n",
                         denies[i]);
                a = parse(text);
                assert_int_equal(access_check(a, &good, "x/y", NULL), 0);
                assert_int_equal(access_check(a, &unknown, "x/y", NULL), -CSIGN_E_LOCAL_POLICY);
        }
}

static void schemes_are_of_who_signs(void **state) {
        _cleanup_(access_freep) Access *a =
                parse("rules = no, yes\n[no]\nschemes = rsa-pkcs1\nkeys = *\neffect = deny\n"
                      "[yes]\nschemes = rsa-pkcs1, rsa-pss\nkeys = *\neffect = allow\n");
        Caller c = program("/x", HASH_A, "");

        assert_int_equal(access_check(a, &c, "x/y", NULL), 0);
        assert_int_equal(access_check_sign(a, &c, "x/y", SCHEME_RSA_PSS, NULL), 0);
        assert_int_equal(access_check_sign(a, &c, "x/y", SCHEME_RSA_PKCS1, NULL),
                         -CSIGN_E_LOCAL_POLICY);
        assert_int_equal(access_check_sign(a, &c, "x/y", SCHEME_ECDSA, NULL),
                         -CSIGN_E_LOCAL_POLICY);
}

static void a_rate_is_each_users_own(void **state) {
        _cleanup_(access_freep) Access *a =
                parse("rules = a\n[a]\nrate = 3/day\nkeys = *\neffect = allow\n");
        Caller one = caller(1000, 1, NULL, 0), other = caller(1001, 1, NULL, 0);
        Error e = {};

        for (int i = 0; i < 3; i++)
                assert_int_equal(access_check_sign(a, &one, "x/y", SCHEME_ECDSA, &e), 0);
        assert_int_equal(access_check_sign(a, &one, "x/y", SCHEME_ECDSA, &e),
                         -CSIGN_E_RATE_LIMITED);
        assert_string_equal(e.rule, "local-policy:a");
        assert_non_null(strstr(e.detail, "3/day"));
        assert_int_equal(access_check(a, &one, "x/y", NULL), 0); /* to look costs nothing */
        assert_int_equal(access_check_sign(a, &other, "x/y", SCHEME_ECDSA, &e), 0);
}

static void a_rate_comes_back_one_by_one(void **state) {
        RateLimit *l = NULL;
        uint64_t now = 1000000000;

        assert_int_equal(rate_limit_parse("60/minute", &l, NULL), 0);
        for (int i = 0; i < 60; i++)
                assert_int_equal(rate_limit_take(l, 1, now), 0);
        assert_int_equal(rate_limit_take(l, 1, now), 1000000);
        assert_int_equal(rate_limit_take(l, 1, now + 999999), 1);
        assert_int_equal(rate_limit_take(l, 1, now + 1000000), 0);
        assert_int_not_equal(rate_limit_take(l, 1, now + 1000000), 0);
        assert_int_equal(rate_limit_take(l, 1, now + 100 * 1000000ULL), 0);
        rate_limit_free(l);
}

static void a_user_narrows_what_the_machine_allows(void **state) {
        char dir[] = "/tmp/csign-access-XXXXXX", own[64], machine[64], path[128], rule[256];
        _cleanup_(access_freep) Access *a = NULL;
        Caller c = caller(1000, 1, NULL, 0);
        Error e = {};
        FILE *f;

        assert_non_null(mkdtemp(dir));
        snprintf(own, sizeof(own), "%s/own", dir);
        snprintf(machine, sizeof(machine), "%s/machine", dir);
        assert_int_equal(mkdir(own, 0755), 0);
        assert_int_equal(mkdir(machine, 0755), 0);
        snprintf(path, sizeof(path), "%s/policy.conf", machine);
        f = fopen(path, "w");
        fputs("rules = m\n[m]\nkeys = acme/*\neffect = allow\n", f);
        fclose(f);
        snprintf(path, sizeof(path), "%s/policy.conf", own);
        f = fopen(path, "w");
        fputs("rules = u\n[u]\nkeys = */release, other/*\neffect = allow\n", f);
        fclose(f);

        assert_int_equal(access_load(&a, own, machine, GRANT_USER, 1000, &e), 0);
        assert_int_equal(access_check(a, &c, "acme/release", NULL), 0);
        assert_refused(access_check(a, &c, "acme/test", &e), -CSIGN_E_LOCAL_POLICY, &e);
        assert_non_null(strstr(e.detail, "/own/policy.conf"));
        assert_refused(access_check(a, &c, "other/x", &e), -CSIGN_E_LOCAL_POLICY, &e);
        assert_non_null(strstr(e.detail, "/machine/policy.conf"));
        assert_true(access_explain(a, &c, "acme/release", SCHEME_NONE, rule));
        assert_non_null(strstr(rule, "[m] in "));
        assert_false(access_explain(a, &c, "acme/test", SCHEME_NONE, rule));
        assert_non_null(strstr(rule, "/own/policy.conf"));

        unlink(path);
        snprintf(path, sizeof(path), "%s/policy.conf", machine);
        unlink(path);
        rmdir(own);
        rmdir(machine);
        rmdir(dir);
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
                { "rules = a\n[a]\nkeys = *\neffect = allow\nrate = 0/day\n", "policy.conf:5",
                  "0/day" },
                { "rules = a\n[a]\nkeys = *\neffect = allow\nrate = 5/week\n", "policy.conf:5",
                  "5/week" },
                { "rules = a\n[a]\nkeys = *\neffect = allow\nexecutables = openssl\n",
                  "policy.conf:5", "openssl" },
                { "rules = a\n[a]\nkeys = *\neffect = allow\nexecutable-hashes = abc\n",
                  "policy.conf:5", "abc" },
                { "rules = a\n[a]\nkeys = *\neffect = allow\nschemes = dsa\n", "policy.conf:5",
                  "dsa" },
                { "rules = a\n[a]\nkeys = *\neffect = allow\nunits = ssh\n", "policy.conf:5",
                  "ssh" },
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
        assert_int_equal(access_load(&a, dir, NULL, GRANT_USER, 1000, &e),
                         0); /* no file: the default */
        access_free(TAKE(a));

        f = fopen(path, "w");
        assert_non_null(f);
        fputs(policy, f);
        fclose(f);
        assert_int_equal(chmod(path, 0644), 0);
        assert_int_equal(access_load(&a, dir, NULL, GRANT_USER, 1000, &e), 0);
        access_free(TAKE(a));

        assert_int_equal(chmod(path, 0666), 0);
        assert_refused(access_load(&a, dir, NULL, GRANT_USER, 1000, &e), -CSIGN_E_BAD_CONFIG, &e);
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
                cmocka_unit_test(programs_and_units_narrow_a_rule),
                cmocka_unit_test(a_path_that_is_not_the_hosts_is_no_path),
                cmocka_unit_test(what_is_not_known_escapes_no_deny),
                cmocka_unit_test(schemes_are_of_who_signs),
                cmocka_unit_test(a_rate_is_each_users_own),
                cmocka_unit_test(a_rate_comes_back_one_by_one),
                cmocka_unit_test(a_user_narrows_what_the_machine_allows),
                cmocka_unit_test(group_csign_is_the_machines),
                cmocka_unit_test(mistakes_say_their_line),
                cmocka_unit_test(a_file_that_others_can_write_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
