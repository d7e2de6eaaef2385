/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who is calling, as the kernel tells it and never as the caller does: asked once per connection
 * (or per unique name on a bus), before the first call is looked at.  On a foreign uid the kernel
 * shows the executable only to who has CAP_SYS_PTRACE; without it, a word in the evidence says so.
 */

#include <sys/types.h>

#include "lib/error.h"
#include "sidecar/executable.h"
#include "sidecar/process-text.h"

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
        int exe_fd;            /* O_PATH, until caller_set_executable(); -1: none */
        Executable executable; /* its content; known after caller_set_executable() */
        char unit[256];        /* systemd's, or "" */
        char cgroup[512];
        char container[CONTAINER_MAX]; /* "": none that is known */
        char command_line[COMMAND_LINE_MAX];
        char *evidence; /* all of it as a JSON object, for the audit record */
} Caller;

/* The process at the other end of a Unix socket, as it was when it connected. */
int caller_from_socket(Caller **ret, int fd, Error *e);

/* What a bus says of a connection.  groups may be NULL: then they are read from /proc. */
int caller_from_ids(Caller **ret, uid_t uid, pid_t pid, const gid_t *groups, size_t n_groups,
                    Error *e);

/* Nobody who calls, but whom somebody asks about: uid, and nothing else yet. */
int caller_new_subject(Caller **ret, uid_t uid, Error *e);

/* What executable_look() found; the evidence has it from now on. */
int caller_set_executable(Caller *c, const Executable *executable);

Caller *caller_ref(Caller *c);
void caller_unref(Caller *c);
DEFINE_CLEANUP(Caller, caller_unref)

/* "uid 1000 (/usr/bin/openssl, pid 4711)". */
const char *caller_text(const Caller *c, char buf[static CALLER_TEXT_MAX]);
