/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar/process-text.h"
#include "tests/unit/test.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void arguments_become_one_line_without_secrets(void **state) {
        static const struct {
                const char *raw;
                size_t len;
                const char *text;
        } cases[] = {
                { "", 0, "" },
                { "make\0release", 12, "make release" },
                { "make\0release\0", 13, "make release" },
                { "a\0\0b\0", 5, "a  b" },
                { "curl\0--token=abc\0x\0", 19, "curl --token=*** x" },
                { "openssl\0-passin\0pass:abc\0-x\0", 28, "openssl -passin pass:*** -x" },
                { "openssl\0pass:abc\0", 17, "openssl pass:***" },
                { "x\0--password\0hunter2\0y\0", 23, "x --password *** y" },
                { "x\0--api-key\0hunter2\0", 20, "x --api-key ***" },
                { "x\0DB_PASSWORD=hunter2\0", 22, "x DB_PASSWORD=***" },
                { "x\0--password\0--verbose\0", 23, "x --password --verbose" },
                { "x\0--compass\0north\0", 18, "x --compass north" },
                { "x\0passwords.txt\0", 16, "x passwords.txt" },
                { "x\0--pin=1234\0", 13, "x --pin=***" },
        };
        char buf[COMMAND_LINE_MAX];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                command_line_text(cases[i].raw, cases[i].len, buf);
                assert_string_equal(buf, cases[i].text);
        }
}

static void a_long_command_line_is_cut(void **state) {
        char raw[2 * COMMAND_LINE_MAX], buf[COMMAND_LINE_MAX];

        for (size_t len = COMMAND_LINE_MAX - 10; len < sizeof(raw); len++) {
                memset(raw, 'x', sizeof(raw));
                command_line_text(raw, len, buf);
                assert_true(strlen(buf) < COMMAND_LINE_MAX);
                if (len >= COMMAND_LINE_MAX)
                        assert_string_equal(buf + strlen(buf) - strlen("…"), "…");
        }
}

static void containers_are_found_in_cgroups(void **state) {
        static const struct {
                const char *cgroup, *container;
        } cases[] = {
                { "", "" },
                { "/", "" },
                { "/user.slice/user-1000.slice/session-1.scope", "" },
                { "/system.slice/docker-" ID ".scope", ID },
                { "/docker/" ID, ID },
                { "/machine.slice/libpod-" ID ".scope/container", ID },
                { "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope", ID },
                { "/system.slice/docker-0123.scope", "" },
                { "/machine.slice/machine-build.scope", "build" },
                { "/machine.slice/systemd-nspawn@trixie.service/payload", "trixie" },
                { "/lxc/web/init.scope", "web" },
        };
        char buf[CONTAINER_MAX];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                container_of_cgroup(cases[i].cgroup, buf);
                assert_string_equal(buf, cases[i].container);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(arguments_become_one_line_without_secrets),
                cmocka_unit_test(a_long_command_line_is_cut),
                cmocka_unit_test(containers_are_found_in_cgroups),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
