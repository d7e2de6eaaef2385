/* SPDX-License-Identifier: Apache-2.0 */
/* csign policy test: what policy.conf(5) would say, asked of the sidecar that has read it. */

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/ask-sidecar.h"
#include "cli/cli.h"
#include "cli/output.h"

static const char *arg_as, *arg_exe, *arg_unit, *arg_scheme;

static int find_user(uid_t *ret, Error *e) {
        const struct passwd *pw;
        unsigned long uid;
        char *end;

        *ret = getuid();
        if (!arg_as)
                return 0;
        pw = getpwnam(arg_as);
        if (pw) {
                *ret = pw->pw_uid;
                return 0;
        }
        errno = 0;
        uid = strtoul(arg_as, &end, 10);
        if (errno || *arg_as < '0' || *arg_as > '9' || *end || uid >= UINT32_MAX)
                return error_set(e, -CSIGN_E_NOT_FOUND, "there is no user '%s'", arg_as);
        *ret = (uid_t) uid;
        return 0;
}

static int test_run(char *args[], size_t n, Error *e) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = NULL;
        _cleanup_(json_decrefp) json_t *result = NULL;
        KeyUri uri = {};
        char *rule = NULL;
        bool allowed;
        uid_t uid;
        int r;

        r = key_uri_parse_loose(args[0], &uri, e);
        if (r >= 0)
                r = find_user(&uid, e);
        if (r >= 0)
                r = sidecar_open(&c, e);
        if (r >= 0)
                r = sidecar_client_test_policy(c, uri.path, arg_scheme ?: "", uid, arg_exe,
                                               arg_unit, &allowed, &rule, e);
        if (r < 0)
                return r;

        result = json_pack("{sb ss ss}", "allowed", allowed, "rule", rule, "key", uri.path);
        output_result(result, "%s: %s", allowed ? "allowed" : "denied", rule);
        free(rule);
        return allowed ? 0 : error_info(CSIGN_E_LOCAL_POLICY)->exit_status;
}

static const Option test_options[] = {
        { "as", "USER", "who signs (you)", &arg_as },
        { "exe", "PATH", "with this program", &arg_exe },
        { "unit", "NAME", "in this systemd unit", &arg_unit },
        { "scheme", "NAME", "by this scheme: ecdsa, rsa-pss, ... (only looks at the key)",
          &arg_scheme },
};

static const Verb verb_policy_test = {
        .name = "policy test",
        .args = "KEY",
        .help = "which rule of policy.conf would decide",
        .example = "csign policy test --as builder --exe /usr/bin/openssl --scheme ecdsa "
                   "acme/mobile/release",
        OPTIONS(test_options),
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_SIDECAR | VERB_JSON,
        .run = test_run,
};

static const Verb *const policy_verbs[] = { &verb_policy_test, NULL };

const Verb verb_policy = {
        .name = "policy",
        .args = "test",
        .help = "what the local policy would say",
        .verbs = policy_verbs,
};
