/* SPDX-License-Identifier: Apache-2.0 */
/* csign login: installs a grant (address, client id, key) where the sidecar reads it, and proves
 * it.  All or nothing: what does not prove itself is taken back. */

#include <errno.h>

#include "cli/cli.h"
#include "cli/grant.h"
#include "lib/id.h"

static const char *arg_client_id, *arg_key, *arg_key_provider, *arg_for, *arg_config;
static const char *arg_login_service, *arg_login_ca;

/* One grant that is being made, with the sidecar that is to prove it. */
typedef struct Login {
        Grant grant;
        SidecarClient *sidecar;
} Login;

static void logins_done(Login (*logins)[GRANTS_MAX]) {
        for (size_t i = 0; i < GRANTS_MAX; i++) {
                grant_done(&(*logins)[i].grant);
                sidecar_client_free((*logins)[i].sidecar);
        }
}

static int login_prepare(Login *l, const char *name, Error *e) {
        int r;

        r = grant_open(&l->grant, name, arg_config, e);
        if (r >= 0)
                r = grant_take_key(&l->grant, arg_key, arg_key_provider, e);
        if (r >= 0)
                r = grant_describe(&l->grant, arg_login_service, arg_client_id, arg_login_ca, e);
        return r < 0 ? r : grant_sidecar(&l->grant, &l->sidecar, e);
}

static void login_take_back(Login *l) {
        Error ignored = {};

        grant_take_back(&l->grant);
        (void) sidecar_client_reload(l->sidecar, &ignored); /* back to what it had */
}

/* All of them, or none: but without a sidecar to prove it a grant may be right, and stays. */
static int login_install(Login logins[], size_t n, Error *e) {
        for (size_t i = 0; i < n; i++) {
                int r;

                r = grant_write_all(&logins[i].grant, e);
                if (r >= 0)
                        r = grant_prove(&logins[i].grant, logins[i].sidecar, e);
                if (r == -CSIGN_E_SIDECAR_UNAVAILABLE)
                        return r;
                for (size_t done = i + 1; r < 0 && done-- > 0;)
                        login_take_back(&logins[done]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int check_arguments(int n, Error *e) {
        if (!id_is_valid(arg_client_id, "acc"))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "--client-id '%s' is no account's id (acc_...)", arg_client_id);
        return n > 1 ? grants_apart(arg_config, e) : 0;
}

static int login_run(char *args[], size_t n_args, Error *e) {
        _cleanup_(logins_done) Login logins[GRANTS_MAX] = {};
        const char *names[GRANTS_MAX];
        int n, r;

        n = grants_named(arg_for, names, e);
        if (n < 0)
                return n;
        r = check_arguments(n, e);
        for (int i = 0; i < n && r >= 0; i++)
                r = login_prepare(&logins[i], names[i], e);
        if (r >= 0)
                r = login_install(logins, (size_t) n, e);
        for (int i = 0; i < n && r >= 0; i++)
                r = grant_report(&logins[i].grant, logins[i].sidecar, arg_client_id, "Logged in to",
                                 e);
        return r;
}

static const Option login_options[] = {
        /* clang-format off */
        { "service", "URL", "the signing service", &arg_login_service, .required = true },
        { "client-id", "ID", "the account's id, acc_...", &arg_client_id, .required = true },
        { "key", "FILE", "the account's private key, PEM, mode 0600, or a provider's URI",
          &arg_key, .required = true },
        { "key-provider", "NAME", "OpenSSL's provider for that key, such as tpm2",
          &arg_key_provider },
        { "ca", "FILE", "the service's CA certificates (default: the system's)", &arg_login_ca },
        { "for", "WHICH", "user, machine or both (default: machine for root)", &arg_for },
        { "config", "DIR", "the sidecar's folder, if it has another", &arg_config },
        /* clang-format on */
};

const Verb verb_login = {
        .name = "login",
        .args = "--service URL ...",
        .help = "gives the sidecar an account, and proves it",
        .example = "csign login --service https://sign.example.com:8443 --ca ca.pem \\\n"
                   "      --client-id acc_... --key ci.key",
        OPTIONS(login_options),
        .flags = VERB_SIDECAR | VERB_JSON,
        .run = login_run,
};
