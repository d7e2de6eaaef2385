/* SPDX-License-Identifier: Apache-2.0 */
/* csign doctor: what leads to the sidecar, and what the sidecar has. */

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/doctor.h"
#include "cli/output.h"

#define DAY           ((time_t) 24 * 60 * 60)
#define KEY_OLD       (365 * DAY)
#define KEY_ENDS_SOON (14 * DAY)

/* ---- the environment ---- */

static void check_folder(Doctor *d, const char *name) {
        const char *value = getenv(name);

        if (value && value[0] && access(value, F_OK) < 0)
                doctor_say(d, RESULT_WARN, "environment", "unset it, or make the folder",
                           "%s is %s, which is not there", name, value);
}

/* "unix:path=/run/...", maybe with more behind a comma. */
static void check_address(Doctor *d, const char *name, Result result, const char *advice) {
        static const char prefix[] = "unix:path=";
        const char *value = getenv(name);
        char path[PATH_MAX];
        size_t n;

        if (!value || strncmp(value, prefix, strlen(prefix)) != 0)
                return;
        value += strlen(prefix);
        n = strcspn(value, ",;");
        if (n >= sizeof(path))
                return;
        memcpy(path, value, n);
        path[n] = 0;
        if (access(path, F_OK) < 0)
                doctor_say(d, result, "environment", advice, "%s leads to %s, which is not there",
                           name, path);
}

/* What containers and sudo keep of another place. */
void doctor_environment(Doctor *d) {
        if (!arg_bus)
                check_address(d, "CSIGN_BUS", RESULT_FAIL,
                              "unset it, or start the sidecar that has this socket; in a "
                              "container, mount the socket, or use csign run --ephemeral");
        check_address(d, "DBUS_SESSION_BUS_ADDRESS", RESULT_WARN,
                      "unset it: without a bus the sidecar is asked by its socket");
        check_folder(d, "XDG_RUNTIME_DIR");
}

/* ---- the credential ---- */

static void check_end(Doctor *d) {
        const char *expires = json_text_at(d->status, "credential-expires");
        struct tm tm = {};
        time_t left;

        if (!strptime(expires, "%Y-%m-%dT%H:%M:%S", &tm))
                return;
        left = timegm(&tm) - time(NULL);
        if (left < KEY_ENDS_SOON)
                doctor_say(d, RESULT_WARN, "credential-expiry", "csign account rotate",
                           "the account's key ends in %lld days, at %s", (long long) (left / DAY),
                           expires);
        else
                doctor_say(d, RESULT_OK, "credential-expiry", NULL, "%s", expires);
}

/* False: it has said what is wrong. */
static bool check_file(Doctor *d, const char *path) {
        struct stat st;

        if (!path[0] || stat(path, &st) < 0)
                return true; /* handed over, or another user's to look at */
        if (st.st_mode & 0077) {
                doctor_say(d, RESULT_FAIL, "credential",
                           "chmod 600 it, and replace it: others may have read it",
                           "%s has mode %04o", path, st.st_mode & 07777);
                return false;
        }
        if (time(NULL) - st.st_mtime > KEY_OLD) {
                doctor_say(d, RESULT_WARN, "credential", "csign account rotate",
                           "%s is %lld days old", path,
                           (long long) ((time(NULL) - st.st_mtime) / DAY));
                return false;
        }
        return true;
}

void doctor_credential(Doctor *d) {
        const char *path = json_text_at(d->status, "credential");

        if (!d->sidecar)
                return;
        if (!json_text_at(d->status, "client-id")[0]) {
                doctor_say(d, RESULT_FAIL, "credential", error_info(CSIGN_E_NO_CREDENTIAL)->advice,
                           "the sidecar has no account");
                return;
        }
        if (check_file(d, path))
                doctor_say(d, RESULT_OK, "credential", NULL, "%s (%s)",
                           json_text_at(d->status, "client-id"),
                           path[0] ? path : "from a descriptor");
        check_end(d);
}

/* ---- the clock ---- */

void doctor_clock(Doctor *d) {
        const char *text = json_text_at(d->status, "clock-offset");
        long offset = strtol(text, NULL, 10);

        if (!text[0])
                return;
        if (offset != 0)
                doctor_say(d, RESULT_WARN, "clock", "set the clock that is wrong",
                           "the service's clock is %ld s %s this machine's", labs(offset),
                           offset > 0 ? "ahead of" : "behind");
        else
                doctor_say(d, RESULT_OK, "clock", NULL, "as the service's");
}
