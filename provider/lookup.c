/* SPDX-License-Identifier: Apache-2.0 */

/* Looking keys up: see lookup.h.  The memory is one pointer that is exchanged: whoever takes it out
 * has it alone, so no thread waits for another, and a fork at any moment leaves the child a whole
 * one or none. */

#include "provider/lookup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REMEMBERED_USEC ((uint64_t) 2 * 1000 * 1000)

static uint64_t now_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

void lookup_free(Lookup *l) {
        if (!l)
                return;

        key_info_done(&l->key);
        free(l);
}

void lookup_done(Provider *p, Lookup *l) {
        if (l)
                lookup_free(atomic_exchange(&p->remembered, l));
}

void lookup_forget(Provider *p) {
        lookup_free(atomic_exchange(&p->remembered, NULL));
}

static Lookup *remembered(Provider *p, const KeyUri *uri) {
        _cleanup_(lookup_freep) Lookup *l = atomic_exchange(&p->remembered, NULL);

        if (!l || l->version != uri->version || strcmp(l->path, uri->path) != 0 ||
            now_usec() - l->usec > REMEMBERED_USEC)
                return NULL;
        return TAKE(l);
}

int lookup_get(Provider *p, const KeyUri *uri, Lookup **ret, Error *e) {
        _cleanup_(lookup_freep) Lookup *l = NULL;
        SidecarClient *client;
        int r;

        *ret = remembered(p, uri);
        if (*ret)
                return 0;

        client = provider_client(p, e);
        if (!client)
                return e->code;

        l = calloc(1, sizeof(*l));
        if (!l)
                return error_set(e, -ENOMEM, "out of memory");

        l->usec = now_usec();
        l->version = uri->version;
        memcpy(l->path, uri->path, sizeof(l->path));
        r = sidecar_client_get_key(client, l->path, l->version, &l->key, e);
        if (r < 0)
                return r;

        *ret = TAKE(l);
        return 0;
}
