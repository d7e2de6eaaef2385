/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who is calling, as the kernel tells it and never as the caller does: asked once per connection
 * (or per unique name on a bus), before the first call is looked at. */

#include <sys/types.h>

#include "lib/error.h"

#define CALLER_EXE_MAX  1024
#define CALLER_TEXT_MAX 1280

typedef struct Caller {
        unsigned n_ref; /* of the loop's thread alone; others only read */
        uid_t uid;
        gid_t gid; /* -1 if a bus does not tell */
        pid_t pid;
        gid_t *groups; /* supplementary */
        size_t n_groups;
        char exe[CALLER_EXE_MAX]; /* "" if it cannot be known; then exe_note says why */
        char exe_note[64];
        char unit[256]; /* systemd's, or "" */
        char *evidence; /* all of it as a JSON object, for the audit record */
} Caller;

/* The process at the other end of a Unix socket, as it was when it connected. */
int caller_from_socket(Caller **ret, int fd, Error *e);

/* What a bus says of a connection.  groups may be NULL: then they are read from /proc. */
int caller_from_ids(Caller **ret, uid_t uid, pid_t pid, const gid_t *groups, size_t n_groups,
                    Error *e);

Caller *caller_ref(Caller *c);
void caller_unref(Caller *c);
DEFINE_CLEANUP(Caller, caller_unref)

/* "uid 1000 (/usr/bin/openssl, pid 4711)". */
const char *caller_text(const Caller *c, char buf[static CALLER_TEXT_MAX]);
