/* SPDX-License-Identifier: Apache-2.0 */
/* csign login: installs a grant (address, client id, key) where the sidecar reads it, and proves
 * it.  All or nothing: what does not prove itself is taken back. */

#include <errno.h>

#include "cli/ask-sidecar.h"
#include "cli/cli.h"
#include "cli/grant.h"
#include "lib/id.h"

static const char *arg_client_id, *arg_key, *arg_grant, *arg_config;
static const char *arg_login_service, *arg_login_ca;

static int login_install(Grant *g, SidecarClient *c, Error *e) {
        Error ignored = {};
        int r;

        r = grant_write_all(g, e);
        if (r >= 0)
                r = grant_prove(g, c, e);
        if (r >= 0 || r == -CSIGN_E_SIDECAR_UNAVAILABLE)
                return r;

        grant_take_back(g);
        (void) sidecar_client_reload(c, &ignored); /* back to what it had */
        return r;
}

static int login_run(char *args[], size_t n, Error *e) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = NULL;
        _cleanup_(grant_done) Grant g = {};
        int r;

        if (!id_is_valid(arg_client_id, "acc"))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "--client-id '%s' is no account's id (acc_...)", arg_client_id);
        r = grant_open(&g, arg_grant, arg_config, e);
        if (r >= 0)
                r = grant_take_key(&g, arg_key, e);
        if (r >= 0)
                r = grant_describe(&g, arg_login_service, arg_client_id, arg_login_ca, e);
        if (r >= 0)
                r = sidecar_open(&c, e);
        if (r >= 0)
                r = login_install(&g, c, e);
        return r < 0 ? r : grant_report(&g, c, arg_client_id, "Logged in to", e);
}

static const Option login_options[] = {
        /* clang-format off */
        { "service", "URL", "the signing service", &arg_login_service, .required = true },
        { "client-id", "ID", "the account's id, acc_...", &arg_client_id, .required = true },
        { "key", "FILE", "the account's private key, PEM, mode 0600", &arg_key, .required = true },
        { "ca", "FILE", "the service's CA certificates (default: the system's)", &arg_login_ca },
        { "grant", "WHICH", "user or machine (default: machine for root)", &arg_grant },
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
