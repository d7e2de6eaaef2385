/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing what all requests share. */

#include "service/service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CACHED_KEYS       4096
#define CACHED_PRINCIPALS 4096

int service_file(const Config *c, const char *name, char *buf, size_t size, Error *e) {
        if (snprintf(buf, size, "%s/%s", c->state_directory, name) >= (int) size)
                return error_set(e, -ENAMETOOLONG, "state-directory is too long");
        return 0;
}

static int open_all(Service *s, Error *e) {
        int r;

        s->key_cache = cache_new(CACHED_KEYS);
        s->principal_cache = cache_new(CACHED_PRINCIPALS);
        s->rates = rates_new(&s->config.rates);
        if (!s->key_cache || !s->principal_cache || !s->rates)
                return -ENOMEM;

        r = db_open(&s->db, s->config.state_directory, s->config.workers, e);
        if (r == -ENOENT)
                return error_set(e, r, "there is no database in %s: run csign-service init first",
                                 s->config.state_directory);
        if (r >= 0)
                r = audit_open(&s->audit, s->db, e);
        if (r >= 0)
                r = failures_new(&s->failures, s->audit, e);
        if (r >= 0)
                r = keystore_open(&s->keystore, s->config.keystore_socket, e);
        if (r >= 0)
                r = ready_new(&s->ready, s->db, s->keystore, s->audit, e);
        if (r >= 0)
                r = destroyer_start(&s->destroyer, s->db, s->audit, s->keystore, s->key_cache, e);
        if (r >= 0)
                r = last_used_start(&s->last_used, s->audit, e);
        if (r < 0)
                return r;

        s->keys = (KeyStorage){ .db = s->db, .cache = s->key_cache };
        s->authn = (Authn){ .db = s->db, .cache = s->principal_cache, .last_used = s->last_used };
        return 0;
}

int service_open(Service *s, Config *config, Error *e) {
        int r;

        *s = (Service){ .config = *config };
        *config = (Config){};
        r = open_all(s, e);
        if (r < 0)
                service_close(s);
        return r;
}

void service_close(Service *s) {
        last_used_stop(s->last_used);
        destroyer_stop(s->destroyer);
        ready_free(s->ready);
        keystore_close(s->keystore);
        failures_free(s->failures);
        audit_close(s->audit);
        db_close(s->db);
        rates_free(s->rates);
        cache_free(s->key_cache);
        cache_free(s->principal_cache);
        config_done(&s->config);
        *s = (Service){};
}
