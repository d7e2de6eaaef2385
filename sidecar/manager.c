/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/manager.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "lib/log.h"
#include "sidecar/bus.h"
#include "sidecar/clock.h"

#define LOOKUP_THREADS  2
#define LOOKUPS_MAX     1024
#define MESSAGE_THREADS 4
#define MESSAGES_MAX    64
#define LOOK_THREADS    2
#define LOOKS_MAX       256
#define SIGNATURES_MAX  8192 /* that wait, of all callers together */

/* ---- where things are ---- */

static int default_config_dir(Grant grant, char **ret) {
        const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
        int r;

        if (grant == GRANT_MACHINE)
                r = asprintf(ret, "/etc/csign");
        else if (config && *config == '/')
                r = asprintf(ret, "%s/csign", config);
        else if (home && *home == '/')
                r = asprintf(ret, "%s/.config/csign", home);
        else
                r = asprintf(ret, "/etc/csign"); /* in a container nobody has a home */
        return r < 0 ? -ENOMEM : 0;
}

static int default_socket(Grant grant, char **ret, Error *e) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        int r;

        if (grant == GRANT_MACHINE)
                r = asprintf(ret, "/run/csign/sidecar.sock");
        else if (runtime && *runtime == '/')
                r = asprintf(ret, "%s/csign/sidecar.sock", runtime);
        else
                return error_set(
                        e, -CSIGN_E_BAD_CONFIG,
                        "neither --socket nor XDG_RUNTIME_DIR says where the socket shall be");
        return r < 0 ? error_set(e, -ENOMEM, "out of memory") : 0;
}

static int default_state_dir(Grant grant, char **ret, Error *e) {
        const char *systemd = getenv("STATE_DIRECTORY"), *state = getenv("XDG_STATE_HOME");
        const char *home = getenv("HOME");
        int r;

        if (systemd && *systemd == '/')
                r = asprintf(ret, "%s", systemd);
        else if (grant == GRANT_MACHINE)
                r = asprintf(ret, "/var/lib/csign");
        else if (state && *state == '/')
                r = asprintf(ret, "%s/csign", state);
        else if (home && *home == '/')
                r = asprintf(ret, "%s/.local/state/csign", home);
        else
                return error_set(e, -ENOENT, "neither XDG_STATE_HOME nor HOME says where");
        return r < 0 ? error_set(e, -ENOMEM, "out of memory") : 0;
}

/* ---- starting ---- */

/* A sidecar in a container may have no place to write: it signs all the same. */
static void open_state(Manager *m) {
        const SidecarConfig *config = &m->setup->config;
        char *dir = NULL;
        Error e = {};
        int r = 0;

        if (config->state_directory && !*config->state_directory)
                return;
        if (!config->state_directory)
                r = default_state_dir(m->options.grant, &dir, &e);
        if (r >= 0)
                r = state_open(&m->state, dir ? dir : config->state_directory, config->journal_max,
                               &e);
        if (r < 0)
                log_failure(LOG_WARNING, "keeping no journal and no key for an outage", &e);
        free(dir);
}

static int open_socket(Manager *m, Error *e) {
        const char *given = m->options.socket ? m->options.socket : m->setup->config.socket;
        char *path = NULL;
        int r;

        r = bus_socket_inherit(&m->socket, m, e);
        if (r != 0)
                return r;
        if (given)
                return bus_socket_new(&m->socket, m, given, e);
        r = default_socket(m->options.grant, &path, e);
        if (r >= 0)
                r = bus_socket_new(&m->socket, m, path, e);
        free(path);
        return r;
}

/* A bus that was asked for must be there.  The grant's own is a convenience: in a container there
 * is none. */
static int open_name(Manager *m, Error *e) {
        Error why = {};
        int r;

        if (m->options.bus && strcmp(m->options.bus, "none") == 0)
                return 0;
        if (m->options.bus)
                return bus_name_new(&m->name, m, m->options.bus, e);

        r = bus_name_new(&m->name, m, m->options.grant == GRANT_MACHINE ? "system" : "user", &why);
        if (r < 0)
                log_failure(LOG_NOTICE, "serving the socket alone", &why);
        return 0;
}

/* ---- ending ---- */

/* From here on a second signal ends the process: nobody need wait for a service that hangs. */
static void unblock_signals(void) {
        sigset_t signals;

        (void) signal(SIGTERM, SIG_DFL);
        (void) signal(SIGINT, SIG_DFL);
        (void) sigemptyset(&signals);
        (void) sigaddset(&signals, SIGTERM);
        (void) sigaddset(&signals, SIGINT);
        (void) sigprocmask(SIG_UNBLOCK, &signals, NULL);
}

/* What is under way gets its answer: the threads end, and their results are sent. */
static void finish_calls(Manager *m) {
        worker_pool_free(TAKE(m->looks)); /* who waits for them has calls to make */
        if (m->done)
                done_queue_run(m->done);
        worker_pool_free(TAKE(m->lookups)); /* its jobs may still go to the signer */
        worker_pool_free(TAKE(m->messages));
        if (m->signer)
                signer_stop(m->signer);
        if (m->done)
                done_queue_run(m->done);
}

/* In the loop, while connections are still open: sd-bus closes them when the loop exits. */
static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Manager *m = userdata;

        log_line(LOG_NOTICE, "stopping", NULL);
        (void) sd_notify(false, "STOPPING=1");
        unblock_signals();
        finish_calls(m);
        return sd_event_exit(m->event, 0);
}

/* ---- reading the configuration again ---- */

int manager_prove_setup(const Manager *m, Setup **ret, WhoAmI *ret_who, Error *e) {
        _cleanup_(setup_unrefp) Setup *setup = NULL;
        Wish wish = {};
        int r;

        r = setup_load(&setup, m->config_dir, m->options.grant, m->key, e);
        if (r < 0)
                return r;
        r = setup_check(setup, e);
        if (r < 0) {
                if (!setup->config.service)
                        *ret = TAKE(setup);
                return r;
        }

        wish.since = now_usec();
        wish.deadline = wish.since + setup->config.timeout_usec;
        r = service_whoami(setup->api, &wish, ret_who, e);
        if (r < 0)
                return r;
        *ret = TAKE(setup);
        return 0;
}

/* SIGHUP's, which has nobody to answer to but the log. */
typedef struct Hangup {
        Done done;
        Manager *manager;
        Setup *setup;
        WhoAmI who;
        Error e;
        int r;
} Hangup;

static void hangup_done(void *arg) {
        Hangup *h = arg;

        h->manager->reloading = false;
        if (h->r < 0 && h->setup)
                manager_log_out(h->manager, TAKE(h->setup));
        else if (h->r < 0)
                log_failure(LOG_ERROR, "not reloaded: all stays as it was", &h->e);
        else
                manager_set_setup(h->manager, TAKE(h->setup), &h->who);
        free(h);
}

static void hangup_run(void *arg) {
        Hangup *h = arg;

        h->r = manager_prove_setup(h->manager, &h->setup, &h->who, &h->e);
        done_queue_post(h->manager->done, &h->done);
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Manager *m = userdata;
        Hangup *h = m->reloading ? NULL : calloc(1, sizeof(*h));

        if (!h)
                return 0;
        *h = (Hangup){ .done = { .fn = hangup_done, .arg = h }, .manager = m };
        m->reloading = worker_submit(m->lookups, hangup_run, h) >= 0;
        if (!m->reloading)
                free(h);
        return 0;
}

/* ---- the loop ---- */

static int on_done(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        done_queue_run(userdata);
        return 0;
}

static int set_up_loop(Manager *m, Error *e) {
        sigset_t signals;
        int r;

        (void) sigemptyset(&signals);
        (void) sigaddset(&signals, SIGTERM);
        (void) sigaddset(&signals, SIGINT);
        (void) sigaddset(&signals, SIGHUP);
        (void) sigprocmask(SIG_BLOCK, &signals, NULL);
        (void) signal(SIGPIPE, SIG_IGN);

        r = sd_event_new(&m->event);
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGTERM, on_signal, m);
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGINT, on_signal, m);
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGHUP, on_hangup, m);
        if (r >= 0)
                r = sd_event_set_watchdog(m->event, true);
        if (r < 0)
                return error_set(e, r, "cannot make an event loop: %s", strerror(-r));

        r = done_queue_new(&m->done, e);
        if (r < 0)
                return r;
        r = sd_event_add_io(m->event, NULL, done_queue_fd(m->done), EPOLLIN, on_done, m->done);
        return r < 0 ? error_set(e, r, "cannot watch for results: %s", strerror(-r)) : 0;
}

static int start_threads(Manager *m, Error *e) {
        int r;

        r = worker_pool_new(&m->lookups, LOOKUP_THREADS, LOOKUPS_MAX, e);
        if (r >= 0)
                r = worker_pool_new(&m->messages, MESSAGE_THREADS, MESSAGES_MAX, e);
        if (r >= 0)
                r = worker_pool_new(&m->looks, LOOK_THREADS, LOOKS_MAX, e);
        if (r >= 0)
                r = executable_cache_new(&m->executables, e);
        return r < 0 ? r
                     : signer_new(&m->signer, m->done, m->setup->config.connections, SIGNATURES_MAX,
                                  e);
}

static int take_credential(Manager *m, Error *e) {
        int r;

        if (m->options.credential_fd < 0)
                return 0;
        r = credential_read_key(m->options.credential_fd, &m->key, e);
        (void) close(m->options.credential_fd);
        return r;
}

int manager_new(Manager **ret, const Options *options, Error *e) {
        _cleanup_(manager_freep) Manager *m = calloc(1, sizeof(*m));
        int r;

        assert(ret && options && e);

        if (!m)
                return error_set(e, -ENOMEM, "out of memory");
        m->options = *options;
        if (options->config_dir)
                r = (m->config_dir = strdup(options->config_dir)) ? 0 : -ENOMEM;
        else
                r = default_config_dir(options->grant, &m->config_dir);
        if (r >= 0)
                r = take_credential(m, e);
        if (r >= 0)
                r = set_up_loop(m, e);
        if (r >= 0)
                r = setup_load(&m->setup, m->config_dir, options->grant, m->key, e);
        if (r >= 0)
                r = start_threads(m, e);
        if (r >= 0)
                open_state(m);
        if (r >= 0)
                r = open_socket(m, e);
        if (r >= 0)
                r = open_name(m, e);
        if (r < 0)
                return r;
        *ret = TAKE(m);
        return 0;
}

/* ---- serving ---- */

static void say_ready(Manager *m) {
        static const char line[] = "READY\n";

        if (!m->setup->api)
                log_failure(LOG_WARNING, "nothing can be signed yet", &m->setup->why_not);
        log_line(LOG_NOTICE, "ready", "SOCKET", bus_socket_path(m->socket), "GRANT",
                 grant_name(m->options.grant), "BUS", m->name ? BUS_NAME : "", "SERVICE",
                 m->setup->config.service, NULL);
        (void) sd_notify(false, "READY=1");
        if (m->options.ready_fd < 0)
                return;
        (void) !write(m->options.ready_fd, line, sizeof(line) - 1);
        (void) close(m->options.ready_fd);
        m->options.ready_fd = -1;
}

int manager_run(Manager *m, Error *e) {
        int r;

        say_ready(m);
        r = sd_event_loop(m->event);
        if (r < 0)
                return error_set(e, r, "the event loop failed: %s", strerror(-r));
        return 0;
}

void manager_set_setup(Manager *m, Setup *setup, const WhoAmI *who) {
        setup_unref(m->setup);
        m->setup = setup;
        m->who = *who;
        m->who_known = true;
        *m->last_error = 0;
        log_line(LOG_NOTICE, "configuration loaded", "SERVICE", setup->config.service, "ACCOUNT",
                 who->name, NULL);
}

void manager_log_out(Manager *m, Setup *setup) {
        setup_unref(m->setup);
        m->setup = setup;
        m->who = (WhoAmI){};
        m->who_known = false;
        *m->last_error = 0;
        log_failure(LOG_NOTICE, "logged out", &setup->why_not);
}

void manager_free(Manager *m) {
        if (!m)
                return;
        finish_calls(m);
        bus_name_free(m->name);
        bus_socket_free(m->socket);
        signer_free(m->signer);
        done_queue_free(m->done);
        executable_cache_free(m->executables);
        state_free(m->state);
        setup_unref(m->setup);
        EVP_PKEY_free(m->key); /* wipes */
        sd_event_unref(m->event);
        free(m->config_dir);
        free(m);
}
