/* SPDX-License-Identifier: Apache-2.0 */
/* The openssl.cnf that csign makes: read back by OpenSSL's own parser. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/conf.h>

#include "cli/openssl-conf.h"
#include "lib/file.h"
#include "tests/unit/test.h"

#define MODULE "/opt/ossl-modules/csign.so"

/* The generated file as OpenSSL understands it, over a base with this text (NULL: no base). */
static CONF *made_over(const char *base_text) {
        char folder[] = "/tmp/csign-test.XXXXXX", base[64] = "", path[64];
        _cleanup_(buf_done) Buf text = {};
        CONF *conf = NCONF_new(NULL);
        Error e = {};
        long line = 0;

        assert_non_null(mkdtemp(folder));
        (void) snprintf(path, sizeof(path), "%s/made.cnf", folder);
        if (base_text) {
                (void) snprintf(base, sizeof(base), "%s/base.cnf", folder);
                assert_int_equal(file_create(base, base_text, strlen(base_text), 0600, &e), 0);
        }
        assert_int_equal(openssl_conf_text(MODULE, base, &text, &e), 0);
        assert_int_equal(file_create(path, text.data, text.len, 0600, &e), 0);
        assert_true(NCONF_load(conf, path, &line) > 0);

        (void) unlink(path);
        (void) unlink(base);
        (void) rmdir(folder);
        return conf;
}

/* providers section -> the named provider's section -> value */
static const char *provider_value(const CONF *conf, const char *provider, const char *name) {
        const char *init = NCONF_get_string(conf, NULL, "openssl_conf");
        const char *providers = NCONF_get_string(conf, init, "providers");
        const char *section = NCONF_get_string(conf, providers, provider);

        return section ? NCONF_get_string(conf, section, name) : NULL;
}

static const char *properties(const CONF *conf) {
        const char *init = NCONF_get_string(conf, NULL, "openssl_conf");

        return NCONF_get_string(conf, NCONF_get_string(conf, init, "alg_section"),
                                "default_properties");
}

static void assert_both_active(const CONF *conf) {
        assert_string_equal(provider_value(conf, "csign", "module"), MODULE);
        assert_string_equal(provider_value(conf, "csign", "activate"), "1");
        assert_string_equal(provider_value(conf, "default", "activate"), "1");
}

static void stands_alone(void **state) {
        CONF *conf = made_over(NULL);

        assert_both_active(conf);
        assert_string_equal(properties(conf), "?provider!=csign");
        NCONF_free(conf);
}

/* As Debian ships it: the default provider is named, and not active. */
static void activates_what_debian_leaves_out(void **state) {
        CONF *conf = made_over(
                "openssl_conf = openssl_init\n[openssl_init]\nproviders = provider_sect\n"
                "ssl_conf = ssl_sect\n[provider_sect]\ndefault = default_sect\n"
                "[default_sect]\n[ssl_sect]\nsystem_default = s\n[s]\nCipherString = DEFAULT\n");

        assert_both_active(conf);
        assert_string_equal(NCONF_get_string(conf, "openssl_init", "ssl_conf"), "ssl_sect");
        NCONF_free(conf);
}

static void keeps_other_providers_and_properties(void **state) {
        CONF *conf = made_over(
                "openssl_conf = mine\n[mine]\nproviders = p\nalg_section = a\n"
                "[p]\nlegacy = l\ncsign = old\n[l]\nactivate = 1\n[old]\nmodule = /old.so\n"
                "[a]\ndefault_properties = ?fips=yes\n");

        assert_both_active(conf);
        assert_string_equal(provider_value(conf, "legacy", "activate"), "1");
        assert_string_equal(properties(conf), "?fips=yes,?provider!=csign");
        NCONF_free(conf);
}

static void broken_base_is_named(void **state) {
        _cleanup_(buf_done) Buf text = {};
        Error e = {};

        assert_int_equal(openssl_conf_text(MODULE, "/nonexistent/base.cnf", &text, &e),
                         -CSIGN_E_BAD_CONFIG);
        assert_non_null(strstr(e.detail, "/nonexistent/base.cnf"));
        assert_int_equal(openssl_conf_text(MODULE, "relative.cnf", &text, &e), -CSIGN_E_BAD_CONFIG);
        assert_null(text.data);
}

static void odd_paths_are_refused(void **state) {
        static const char *const odd[] = { "/a$b/csign.so", "/a#b", "/a\nb", "/a\"b", "/a\\b" };

        for (size_t i = 0; i < ELEMENTSOF(odd); i++) {
                _cleanup_(buf_done) Buf text = {};
                Error e = {};

                assert_refused(openssl_conf_text(odd[i], "", &text, &e), -CSIGN_E_BAD_CONFIG, &e);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(stands_alone),
                cmocka_unit_test(activates_what_debian_leaves_out),
                cmocka_unit_test(keeps_other_providers_and_properties),
                cmocka_unit_test(broken_base_is_named),
                cmocka_unit_test(odd_paths_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
