/* SPDX-License-Identifier: Apache-2.0 */
/* Looks every few seconds: a destruction that was due while the service was down is late, and no
 * more. */

#include "service/destroyer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/key-uri.h"
#include "lib/log.h"
#include "service/audit/entry.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/keys.h"
#include "service/revision.h"

#define LOOK_MS 2000

/* Once at the destruction and once at the look after it: by then the requests that had the sealed
 * key in their hands have ended. */
#define FORGET_TIMES 2

/* A key of which the key store may still hold something opened. */
typedef struct Forget {
        struct Forget *next;
        char id[ID_MAX];
        unsigned times;
} Forget;

struct Destroyer {
        Db *db;
        Audit *audit;
        Keystore *keystore;
        Cache *keys;
        int stop_fd;
        pthread_t thread;
        bool leftovers; /* of erased keys, in the database's log */
        Forget *forget;
};

typedef struct Due {
        char id[ID_MAX], path[PATH_MAX_LEN];
        uint64_t now;
} Due;

static int note_forget(Destroyer *d, const char *id) {
        Forget *f = malloc(sizeof(*f));

        if (!f)
                return -ENOMEM;
        *f = (Forget){ .next = d->forget, .times = FORGET_TIMES };
        memcpy(f->id, id, sizeof(f->id));
        d->forget = f;
        return 0;
}

/* A key store that does not answer is asked again at the next look; one that ended has forgotten
 * all. */
static void forget(Destroyer *d) {
        for (Forget **p = &d->forget, *f; (f = *p);) {
                if (keystore_forget(d->keystore, f->id, NULL) < 0)
                        return;
                if (--f->times > 0) {
                        p = &f->next;
                        continue;
                }
                *p = f->next;
                free(f);
        }
}

/* -ECANCELED: somebody kept it meanwhile. */
static int apply_destruction(DbConn *c, void *userdata, Error *e) {
        const Due *due = userdata;
        int r;

        r = revision_bump(c, SQL_KEY_TOUCH, "key", due->id, 0, e);
        if (r < 0)
                return r;
        r = key_destroy(c, due->id, due->now, e);
        return r == 0 ? error_set(e, -ECANCELED, "key '%s' is not due any more", due->path) : r;
}

static int destroy(Destroyer *d, Due *due, Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = { .kind = "key.destroy", .key_id = due->id, .rule = "destruction" };
        AuditJob job = {
                .change = apply_destruction,
                .userdata = due,
                .records = &rec,
                .n_records = 1,
                .e = e,
        };
        int r;

        r = audit_entry_change(&rec, &event, "key", due->id, "path", due->path, "state",
                               "destroyed", "state_before", "pending-destruction", NULL);
        if (r >= 0)
                r = audit_commit(d->audit, &job);
        if (r < 0)
                return r;
        cache_bump(d->keys);
        d->leftovers = true;
        if (note_forget(d, due->id) < 0)
                log_line(LOG_WARNING, "the key store may keep a destroyed key until it restarts",
                         "KEY", due->id, NULL);
        log_line(LOG_NOTICE, "key destroyed", "KEY", due->id, "PATH", due->path, NULL);
        return 0;
}

/* All that is due, and then what the log still has of it. */
static int look(Destroyer *d, Error *e) {
        Due due;
        int r;

        for (;;) {
                due = (Due){ .now = clock_now() };
                r = key_due(d->db, due.now, due.id, due.path, e);
                if (r <= 0)
                        break;
                r = destroy(d, &due, e);
                if (r < 0 && r != -ECANCELED)
                        break;
        }
        forget(d);
        if (!d->leftovers)
                return r;

        /* Who reads an old state of the database holds this up: then the next look does it. */
        if (db_purge(d->db, r < 0 ? NULL : e) >= 0)
                d->leftovers = false;
        return r;
}

static void *destroyer_main(void *arg) {
        struct pollfd stop = { .events = POLLIN };
        Destroyer *d = arg;
        bool failing = false;

        stop.fd = d->stop_fd;
        do {
                Error e = {};
                int r = look(d, &e);

                if (r < 0 && !failing)
                        log_failure(LOG_ERROR, "keys that are due cannot be destroyed", &e);
                failing = r < 0;
        } while (poll(&stop, 1, LOOK_MS) <= 0);
        return NULL;
}

static int start_thread(Destroyer *d) {
        sigset_t all, old;
        int r;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        r = -pthread_create(&d->thread, NULL, destroyer_main, d);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return r;
}

int destroyer_start(Destroyer **ret, Db *db, Audit *audit, Keystore *ks, Cache *keys, Error *e) {
        Destroyer *d = malloc(sizeof(*d));
        int r;

        if (!d)
                return -ENOMEM;
        /* What was destroyed before the last end may still be in the log. */
        *d = (Destroyer){
                .db = db, .audit = audit, .keystore = ks, .keys = keys, .leftovers = true
        };
        d->stop_fd = eventfd(0, EFD_CLOEXEC);
        r = d->stop_fd < 0 ? -errno : start_thread(d);
        if (r < 0) {
                if (d->stop_fd >= 0)
                        close(d->stop_fd);
                free(d);
                return error_set(e, r, "cannot start a thread: %s", strerror(-r));
        }
        *ret = d;
        return 0;
}

void destroyer_stop(Destroyer *d) {
        if (!d)
                return;
        (void) eventfd_write(d->stop_fd, 1);
        pthread_join(d->thread, NULL);
        close(d->stop_fd);
        for (Forget *f; (f = d->forget);) {
                d->forget = f->next;
                free(f);
        }
        free(d);
}
