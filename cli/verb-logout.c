/* SPDX-License-Identifier: Apache-2.0 */
/* csign logout: takes a grant away from this machine, and tells its sidecar. */

#include <errno.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/confirm.h"
#include "cli/grant.h"
#include "cli/output.h"

static const char *arg_for, *arg_config;
static bool arg_yes;

static int ask(const Grant *grants, size_t n, Error *e) {
        char sentence[2 * PATH_MAX + 128];

        (void) snprintf(sentence, sizeof(sentence),
                        "This removes the credential and sidecar.conf of %s%s%s: nothing else has "
                        "this copy of the key.",
                        grants[0].folder, n > 1 ? " and " : "", n > 1 ? grants[1].folder : "");
        return confirm(sentence, arg_yes, e);
}

/* What it then says of itself is that it has no credential. */
static int tell_sidecar(const Grant *g, const char **ret, Error *e) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = NULL;
        int r;

        r = grant_sidecar(g, &c, e);
        if (r >= 0)
                r = sidecar_client_reload(c, e);
        if (r == -CSIGN_E_NO_CREDENTIAL) {
                *ret = "its sidecar has forgotten it";
        } else if (r == -CSIGN_E_SIDECAR_UNAVAILABLE) {
                *ret = "no sidecar runs that could know it";
        } else {
                Error why = *e;
                char text[ERROR_TEXT_MAX];

                return error_set(e, r < 0 ? r : -CSIGN_E_BAD_CONFIG,
                                 "the files in %s are gone, but the sidecar still has its account: "
                                 "%s",
                                 g->folder,
                                 r < 0 ? error_text(&why, text) : "it reads another folder");
        }
        *e = (Error){};
        return 0;
}

static int remove_one(const Grant *g, Error *e) {
        _cleanup_(json_decrefp) json_t *result = NULL;
        const char *told = NULL;
        int r;

        r = grant_remove(g, e);
        if (r >= 0)
                r = tell_sidecar(g, &told, e);
        if (r < 0)
                return r;
        result = json_pack("{s:s, s:s}", "removed", g->folder, "sidecar", told);
        output_result(result, "Logged out: the grant in %s is gone, and %s.", g->folder, told);
        return 0;
}

static int logout(const Grant *grants, size_t n, Error *e) {
        int r;

        r = ask(grants, n, e);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = remove_one(&grants[i], e);
        if (r >= 0)
                output_note("What stays: policy.conf, openssl.cnf and the journal on this machine, "
                            "and the account at the service (end it there: csign account).");
        return r;
}

static int logout_run(char *args[], size_t n_args, Error *e) {
        const char *names[GRANTS_MAX];
        Grant grants[GRANTS_MAX] = {};
        int n, r = 0;

        n = grants_named(arg_for, names, e);
        if (n < 0)
                return n;
        if (n > 1)
                r = grants_apart(arg_config, e);
        for (int i = 0; i < n && r >= 0; i++)
                r = grant_find(&grants[i], names[i], arg_config, e);
        if (r >= 0)
                r = logout(grants, (size_t) n, e);
        for (int i = 0; i < n; i++)
                grant_done(&grants[i]);
        return r;
}

static const Option logout_options[] = {
        { "for", "WHICH", "user, machine or both (default: machine for root)", &arg_for },
        { "config", "DIR", "the sidecar's folder, if it has another", &arg_config },
        { "yes", NULL, "do not ask", &arg_yes, OPTION_SWITCH },
};

const Verb verb_logout = {
        .name = "logout",
        .args = "[--for WHICH]",
        .help = "takes the sidecar's account away",
        .example = "csign logout --for machine --yes",
        OPTIONS(logout_options),
        .flags = VERB_SIDECAR | VERB_JSON,
        .run = logout_run,
};
