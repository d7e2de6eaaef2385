/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The daemon's state: one event loop that takes and answers calls, two kinds of threads that wait
 * for the service.  Everything here belongs to the loop's thread, but for what its own header says.
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "lib/error.h"
#include "lib/worker.h"
#include "sidecar/executable.h"
#include "sidecar/setup.h"
#include "sidecar/signer.h"
#include "sidecar/state.h"

typedef struct BusName BusName;
typedef struct BusSocket BusSocket;

typedef struct Options {
        Grant grant;
        const char *config_dir; /* NULL: the grant's default */
        const char *socket;     /* NULL: the configuration's, or the grant's default */
        const char
                *bus; /* "user", "system", "none", an address; NULL: the grant's, if it is there */
        int ready_fd; /* -1: none */
        int credential_fd; /* -1: the configuration says where the credential is */
} Options;

typedef struct Manager {
        Options options;
        char *config_dir;
        sd_event *event;
        DoneQueue *done;
        WorkerPool *lookups;  /* all that asks the service, but for signatures */
        WorkerPool *messages; /* signatures of whole messages */
        WorkerPool *looks;    /* at the executables of who calls */
        ExecutableCache *executables;
        State *state; /* NULL: nothing is kept */
        Signer *signer;
        EVP_PKEY *key; /* of credential_fd; NULL: none */
        Setup *setup;
        BusSocket *socket;
        BusName *name;

        /* For Status(). */
        bool reloading;
        bool who_known;
        WhoAmI who;
        uint64_t n_calls, n_signatures;
        char last_error[ERROR_TEXT_MAX];
} Manager;

int manager_new(Manager **ret, const Options *options, Error *e);
void manager_free(Manager *m);
DEFINE_CLEANUP(Manager, manager_free)

/* Serves until SIGTERM or SIGINT. */
int manager_run(Manager *m, Error *e);

/* Reads all of the configuration anew and proves it by asking the service who we are.  On any
 * thread; nothing of it holds before manager_set_setup().  -CSIGN_E_NO_CREDENTIAL with a *ret:
 * there is no sidecar.conf any more; for manager_log_out(). */
int manager_prove_setup(const Manager *m, Setup **ret, WhoAmI *ret_who, Error *e);

/* Swaps in what Reload() has proved; who: what the service said. */
void manager_set_setup(Manager *m, Setup *setup, const WhoAmI *who);

/* Swaps in a setup that has no account: from now on nothing is signed. */
void manager_log_out(Manager *m, Setup *setup);
