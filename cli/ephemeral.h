/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A sidecar for the life of one command, and nothing of it afterwards, however csign ends: a guard,
 * a child of csign's in a session of its own, holds one end of a pipe.  When csign's end is gone,
 * the guard ends the sidecar, and removes the folder.  Should somebody kill the guard, the kernel
 * ends the sidecar. */

#include <sys/types.h>

#include "cli/temp-folder.h"
#include "lib/error.h"

typedef struct EphemeralAccount {
        const char *service, *client_id;
        const char *ca;         /* NULL: the system's */
        const char *credential; /* a file; NULL: credential_fd has it */
        int credential_fd;      /* closed here */
} EphemeralAccount;

/* Zero-initialise. */
typedef struct Ephemeral {
        TempFolder folder; /* 0700 */
        char address[TEMP_PATH_MAX + 16];
        int alive; /* csign's end of the guard's pipe */
        pid_t guard;
} Ephemeral;

/* Returns 0 when the sidecar has proved the credential by getting a token; or an exit status,
 * positive, after the sidecar has told why it cannot start. */
int ephemeral_start(Ephemeral *eph, const EphemeralAccount *account, Error *e);
void ephemeral_done(Ephemeral *eph);
