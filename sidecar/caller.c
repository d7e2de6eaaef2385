/* SPDX-License-Identifier: Apache-2.0 */

/* The pid is pinned by a pidfd while /proc is read, so that a number that was given to another
 * process meanwhile is noticed. */

#include "sidecar/caller.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <systemd/sd-login.h>

#include "lib/json.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

#define GROUPS_MAX     1024
#define EVIDENCE_MAX   2048
#define GROUPS_SHOWN   32
#define PROC_FILE_SIZE (64 * 1024)
#define ENDED          "the process has ended"

static void closep(int *fd) {
        if (*fd >= 0)
                (void) close(*fd);
}

static void free_charp(char **p) {
        free(*p);
}

static int pidfd_open_of(pid_t pid) {
        int fd = (int) syscall(SYS_pidfd_open, pid, 0);

        return fd < 0 ? -errno : fd;
}

/* A pidfd becomes readable when its process has ended. */
static bool pidfd_is_alive(int pidfd) {
        struct pollfd p = { .fd = pidfd, .events = POLLIN };

        return poll(&p, 1, 0) == 0;
}

/* ---- /proc/PID ---- */

static int open_proc(pid_t pid) {
        char path[64];
        int fd;

        snprintf(path, sizeof(path), "/proc/%d", pid);
        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* Returns the length; buf ends with a NUL. */
static ssize_t read_proc(int dir, const char *name, char *buf, size_t size) {
        _cleanup_(closep) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
        size_t len = 0;
        ssize_t n;

        if (fd < 0)
                return -errno;
        while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) != 0) {
                if (n < 0 && errno != EINTR)
                        return -errno;
                len += n > 0 ? (size_t) n : 0;
        }
        buf[len] = 0;
        return (ssize_t) len;
}

static void note(Caller *c, const char *text) {
        c->exe[0] = 0;
        snprintf(c->exe_note, sizeof(c->exe_note), "%s", text);
}

static void read_exe(Caller *c, int dir) {
        ssize_t n;

        n = readlinkat(dir, "exe", c->exe, sizeof(c->exe));
        if (n < 0)
                note(c, errno == EACCES || errno == EPERM || errno == ENODATA
                                ? "not visible to the sidecar's user"
                                : "no executable");
        else if ((size_t) n >= sizeof(c->exe))
                note(c, "the path is too long");
        else {
                c->exe[n] = 0;
                c->exe_fd = openat(dir, "exe", O_PATH | O_CLOEXEC);
        }
}

static void read_command_line(Caller *c, int dir) {
        char raw[2 * COMMAND_LINE_MAX];
        ssize_t n;

        n = read_proc(dir, "cmdline", raw, sizeof(raw));
        if (n > 0)
                command_line_text(raw, (size_t) n, c->command_line);
}

/* The line "0::/user.slice/…" of the unified hierarchy. */
static void read_cgroup(Caller *c, int dir) {
        char raw[2048], *path;

        if (read_proc(dir, "cgroup", raw, sizeof(raw)) < 0)
                return;
        path = strstr(raw, "0::");
        if (!path || (path != raw && path[-1] != '\n'))
                return;
        path += strlen("0::");
        path[strcspn(path, "\n")] = '\0';
        snprintf(c->cgroup, sizeof(c->cgroup), "%s", path);
        container_of_cgroup(c->cgroup, c->container);
}

/* The line "Groups:\t4 24 1000 \n" of /proc/PID/status. */
static int parse_groups(Caller *c, const char *status) {
        char *p = strstr(status, "\nGroups:"), *end;

        if (!p)
                return 0;
        c->groups = calloc(GROUPS_MAX, sizeof(gid_t));
        if (!c->groups)
                return -ENOMEM;
        for (p += strlen("\nGroups:"); c->n_groups < GROUPS_MAX; p = end) {
                p += strspn(p, " \t");
                if (*p < '0' || *p > '9')
                        break;
                c->groups[c->n_groups++] = (gid_t) strtoul(p, &end, 10);
        }
        return 0;
}

/* The second number, which is the effective one, of a line like "Uid:\t0\t1000\t0\t0\n". */
static bool parse_effective(const char *status, const char *name, unsigned *ret) {
        const char *p = strstr(status, name);

        return p && sscanf(p + strlen(name), " %*u %u", ret) == 1;
}

/* The groups that a bus did not tell.  -ESRCH: the pid is another process's by now, for it is not
 * who the bus says it is. */
static int read_ids(Caller *c, int dir) {
        _cleanup_(free_charp) char *status = malloc(PROC_FILE_SIZE);
        unsigned uid, gid;

        if (!status)
                return -ENOMEM;
        if (read_proc(dir, "status", status, PROC_FILE_SIZE) < 0 ||
            !parse_effective(status, "\nUid:", &uid) || !parse_effective(status, "\nGid:", &gid) ||
            uid != c->uid)
                return -ESRCH;

        c->gid = gid;
        return c->groups ? 0 : parse_groups(c, status);
}

static void read_unit(Caller *c) {
        char *unit = NULL;

        if (sd_pid_get_user_unit(c->pid, &unit) < 0 && sd_pid_get_unit(c->pid, &unit) < 0)
                return;
        snprintf(c->unit, sizeof(c->unit), "%s", unit);
        free(unit);
}

/* None of what was read is sure to be the caller's. */
static void forget_process(Caller *c, const char *why, bool with_ids) {
        note(c, why);
        closep(&c->exe_fd);
        c->exe_fd = -1;
        c->unit[0] = c->cgroup[0] = c->container[0] = c->command_line[0] = 0;
        if (with_ids) {
                c->gid = (gid_t) -1;
                c->n_groups = 0;
        }
}

/* Everything that only the process itself can tell; what it cannot tell is left empty, with a word.
 */
static int read_process(Caller *c, int pidfd, bool with_ids) {
        _cleanup_(closep) int dir = -1;
        int r = 0;

        dir = open_proc(c->pid);
        if (dir < 0 || pidfd < 0) {
                forget_process(c, ENDED, false);
                return 0;
        }
        read_exe(c, dir);
        read_command_line(c, dir);
        read_cgroup(c, dir);
        read_unit(c);
        if (with_ids)
                r = read_ids(c, dir);
        if (!pidfd_is_alive(pidfd))
                forget_process(c, ENDED, with_ids);
        else if (r == -ESRCH)
                forget_process(c, "the process is another user's by now", with_ids);
        return r == -ESRCH ? 0 : r;
}

/* ---- evidence ---- */

/* "4 24 1000": the record's evidence is flat. */
static void groups_json(const Caller *c, JsonOut *o) {
        char text[GROUPS_SHOWN * 12] = "";
        size_t used = 0;

        for (size_t i = 0; i < c->n_groups && i < GROUPS_SHOWN; i++)
                used += (size_t) snprintf(text + used, sizeof(text) - used, "%s%u", i ? " " : "",
                                          (unsigned) c->groups[i]);
        if (c->n_groups > 0)
                json_out_str(o, "groups", text);
}

static void executable_json(const Caller *c, JsonOut *o) {
        const Executable *x = &c->executable;

        json_out_str(o, "exe", c->exe);
        if (*c->exe_note)
                json_out_str(o, "exe_note", c->exe_note);
        if (*x->sha256)
                json_out_str(o, "exe_sha256", x->sha256);
        if (*x->note)
                json_out_str(o, "exe_sha256_note", x->note);
        if (*x->sha256 && !x->is_at_path)
                json_out_str(o, "exe_note", "the path is not this file's on the host");
}

static int evidence_json(const Caller *c, Buf *b) {
        JsonOut o = JSON_OUT(b);

        json_begin_object(&o, NULL);
        json_out_u64(&o, "uid", c->uid);
        if (c->gid != (gid_t) -1)
                json_out_u64(&o, "gid", c->gid);
        groups_json(c, &o);
        json_out_u64(&o, "pid", (uint64_t) c->pid);
        executable_json(c, &o);
        if (*c->unit)
                json_out_str(&o, "unit", c->unit);
        if (*c->container)
                json_out_str(&o, "container", c->container);
        if (*c->cgroup)
                json_out_str(&o, "cgroup", c->cgroup);
        if (*c->command_line)
                json_out_str(&o, "command_line", c->command_line);
        json_end_object(&o);
        return o.r;
}

static int write_evidence(Caller *c) {
        _cleanup_(buf_done) Buf b = BUF_MAX(EVIDENCE_MAX);
        int r;

        r = evidence_json(c, &b);
        if (r ==
            -E2BIG) { /* long, or full of characters that need escapes: the caller's own choice */
                c->cgroup[0] = c->command_line[0] = 0;
                buf_clear(&b);
                r = evidence_json(c, &b);
        }
        if (r == -E2BIG) {
                note(c, "the path is too long");
                buf_clear(&b);
                r = evidence_json(c, &b);
        }
        if (r < 0)
                return r;
        free(c->evidence);
        c->evidence = strdup(buf_str(&b));
        return c->evidence ? 0 : -ENOMEM;
}

/* ---- making ---- */

static int caller_new(Caller **ret, uid_t uid, gid_t gid, pid_t pid) {
        Caller *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        *c = (Caller){ .n_ref = 1, .uid = uid, .gid = gid, .pid = pid, .exe_fd = -1 };
        *ret = c;
        return 0;
}

static int caller_fill(Caller *c, int pidfd, bool with_ids, Error *e) {
        int r;

        r = read_process(c, pidfd, with_ids);
        if (r >= 0)
                r = write_evidence(c);
        return r < 0 ? error_set(e, r, "cannot describe the caller") : 0;
}

static int peer_groups(Caller *c, int fd) {
        socklen_t len = GROUPS_MAX * sizeof(gid_t);

        c->groups = calloc(GROUPS_MAX, sizeof(gid_t));
        if (!c->groups)
                return -ENOMEM;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, c->groups, &len) < 0)
                return -errno;
        c->n_groups = len / sizeof(gid_t);
        return 0;
}

int caller_from_socket(Caller **ret, int fd, Error *e) {
        _cleanup_(caller_unrefp) Caller *c = NULL;
        _cleanup_(closep) int pidfd = -1;
        struct ucred cred = {};
        socklen_t len = sizeof(cred), fd_len = sizeof(pidfd);
        int r;

        assert(ret);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.uid == (uid_t) -1)
                return error_set(e, -EPERM, "the kernel does not say who is calling");
        r = caller_new(&c, cred.uid, cred.gid, cred.pid);
        if (r < 0)
                return r;
        r = peer_groups(c, fd);
        if (r < 0)
                return error_set(e, r, "the kernel does not say the caller's groups");

        /* A kernel that knows the option and refuses says that the peer is gone: its number may be
         * another's. */
        if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &fd_len) < 0)
                pidfd = errno == ENOPROTOOPT ? pidfd_open_of(cred.pid) : -errno;
        r = caller_fill(c, pidfd, false, e);
        if (r < 0)
                return r;

        *ret = TAKE(c);
        return 0;
}

int caller_from_ids(Caller **ret, uid_t uid, pid_t pid, const gid_t *groups, size_t n_groups,
                    Error *e) {
        _cleanup_(caller_unrefp) Caller *c = NULL;
        _cleanup_(closep) int pidfd = -1;
        int r;

        assert(ret);

        r = caller_new(&c, uid, (gid_t) -1, pid);
        if (r < 0)
                return r;
        if (groups) {
                c->groups = calloc(n_groups + 1, sizeof(gid_t));
                if (!c->groups)
                        return -ENOMEM;
                memcpy(c->groups, groups, n_groups * sizeof(gid_t));
                c->n_groups = n_groups;
        }

        pidfd = pidfd_open_of(pid);
        r = caller_fill(c, pidfd, true, e);
        if (r < 0)
                return r;

        *ret = TAKE(c);
        return 0;
}

int caller_new_subject(Caller **ret, uid_t uid, Error *e) {
        int r;

        r = caller_new(ret, uid, (gid_t) -1, 0);
        return r < 0 ? error_set(e, r, "out of memory") : 0;
}

int caller_set_executable(Caller *c, const Executable *executable) {
        c->executable = *executable;
        closep(&c->exe_fd);
        c->exe_fd = -1;
        return write_evidence(c);
}

Caller *caller_ref(Caller *c) {
        c->n_ref++;
        return c;
}

void caller_unref(Caller *c) {
        if (!c || --c->n_ref > 0)
                return;
        closep(&c->exe_fd);
        free(c->groups);
        free(c->evidence);
        free(c);
}

const char *caller_text(const Caller *c, char buf[static CALLER_TEXT_MAX]) {
        snprintf(buf, CALLER_TEXT_MAX, "uid %u (%s, pid %d)", (unsigned) c->uid,
                 *c->exe ? c->exe : c->exe_note, c->pid);
        return buf;
}
