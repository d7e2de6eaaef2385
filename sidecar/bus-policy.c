/* SPDX-License-Identifier: Apache-2.0 */

/* TestPolicy(): what the local policy would say to somebody, who does not call. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/key-uri.h"
#include "sidecar/bus-call.h"
#include "sidecar/bus.h"

#define GROUPS_MAX 1024

typedef struct TestPolicyCall {
        BusCall call;
        Caller *subject;
        char path[PATH_MAX_LEN];
        Scheme scheme;
        bool allowed;
        char rule[256];
} TestPolicyCall;

/* ---- who is asked about ---- */

static int read_text(sd_bus_message *m, const char *name, char *buf, size_t size, Error *e) {
        const char *text;

        if (sd_bus_message_read(m, "v", "s", &text) < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "option %s is not of type s", name);
        if (strlen(text) >= size)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "option %s is too long", name);
        snprintf(buf, size, "%s", text);
        return 0;
}

static int read_about(sd_bus_message *m, Caller *c, Error *e) {
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return error_set(e, r, "cannot read an option's name");
        if (strcmp(name, "uid") == 0)
                return sd_bus_message_read(m, "v", "u", &c->uid) >= 0
                               ? 0
                               : error_set(e, -CSIGN_E_BAD_REQUEST, "option uid is not of type u");
        if (strcmp(name, "executable") == 0)
                return read_text(m, name, c->exe, sizeof(c->exe), e);
        if (strcmp(name, "unit") == 0)
                return read_text(m, name, c->unit, sizeof(c->unit), e);
        return error_set(e, -CSIGN_E_BAD_REQUEST, "unknown option '%.64s'", name);
}

static int read_subject(sd_bus_message *m, Caller *c, Error *e) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                int q = read_about(m, c, e);

                if (q < 0)
                        return q;
                r = sd_bus_message_exit_container(m);
        }
        return r < 0 ? error_set(e, r, "cannot read the options") : 0;
}

static int read_arguments(TestPolicyCall *c, Error *e) {
        const char *path, *scheme;
        int r;

        r = sd_bus_message_read(c->call.m, "ss", &path, &scheme);
        if (r < 0)
                return error_set(e, r, "cannot read the arguments");
        r = path_normalize(path, c->path, e);
        if (r < 0)
                return r;
        c->scheme = *scheme ? scheme_by_name(scheme) : SCHEME_NONE;
        if (*scheme && c->scheme == SCHEME_NONE)
                return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME,
                                 "scheme '%.32s' is not one of csign's", scheme);
        return read_subject(c->call.m, c->subject, e);
}

/* ---- on a thread: users and executables are looked up ---- */

static int find_groups(Caller *c, Error *e) {
        struct passwd pw, *found = NULL;
        char text[16 * 1024];
        int n = GROUPS_MAX;

        if (getpwuid_r(c->uid, &pw, text, sizeof(text), &found) != 0 || !found)
                return error_set(e, -CSIGN_E_NOT_FOUND, "there is no user with the number %u",
                                 (unsigned) c->uid);
        c->groups = calloc(GROUPS_MAX, sizeof(gid_t));
        if (!c->groups)
                return -ENOMEM;
        c->gid = pw.pw_gid;
        c->n_groups = getgrouplist(pw.pw_name, pw.pw_gid, c->groups, &n) >= 0 ? (size_t) n : 0;
        return 0;
}

static int find_executable(Caller *c, ExecutableCache *cache, Error *e) {
        int fd;

        if (!*c->exe)
                return 0;
        fd = open(c->exe, O_PATH | O_CLOEXEC);
        if (fd < 0)
                return error_set(e, -CSIGN_E_NOT_FOUND, "%.200s: %s", c->exe, strerror(errno));
        executable_look(cache, fd, c->exe, &c->executable);
        (void) close(fd);
        return 0;
}

static int run(BusCall *call) {
        TestPolicyCall *c = container_of(call, TestPolicyCall, call);
        int r;

        r = find_groups(c->subject, &call->e);
        if (r >= 0)
                r = find_executable(c->subject, call->peer->manager->executables, &call->e);
        if (r < 0)
                return r;
        c->allowed = access_explain(call->setup->access, c->subject, c->path, c->scheme, c->rule);
        return 0;
}

static int reply(BusCall *call, sd_bus_message *m) {
        const TestPolicyCall *c = container_of(call, TestPolicyCall, call);

        return sd_bus_message_append(m, "bs", c->allowed, c->rule);
}

static void done(BusCall *call) {
        caller_unref(container_of(call, TestPolicyCall, call)->subject);
}

static const BusCallOps ops = {
        .method = "TestPolicy",
        .size = sizeof(TestPolicyCall),
        .run = run,
        .reply = reply,
        .done = done,
};

int method_test_policy(sd_bus_message *m, Peer *p) {
        TestPolicyCall *c;
        BusCall *call;
        int r;

        r = bus_call_new(&ops, m, p, &call);
        if (r < 0)
                return r;
        c = container_of(call, TestPolicyCall, call);
        r = bus_check_owner(call, "test the policy", &call->e);
        if (r >= 0)
                r = caller_new_subject(&c->subject, call->caller->uid, &call->e);
        if (r >= 0)
                r = read_arguments(c, &call->e);
        if (r >= 0)
                r = bus_call_submit(call);
        return r < 0 ? bus_call_end(call, r) : 1;
}
