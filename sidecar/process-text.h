/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What /proc tells of a process, made fit for a record: pure functions on text that the process
 * itself could choose. */

#include <stddef.h>

#define COMMAND_LINE_MAX 512
#define CONTAINER_MAX    80

/* The arguments of /proc/PID/cmdline (len bytes, a NUL after each) in one line, cut at the end with
 * "…".  What looks like a password is "***": "pass:x", "--token=x", "--password x". */
void command_line_text(const char *raw, size_t len, char buf[static COMMAND_LINE_MAX]);

/* The container that a path of /proc/PID/cgroup ("/system.slice/docker-<id>.scope") is of: its id
 * of 64 hex digits, or the name of a machine (systemd-nspawn, LXC).  "": none that is known. */
void container_of_cgroup(const char *cgroup, char buf[static CONTAINER_MAX]);
