/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/access-rate.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/macro.h"
#include "sidecar/clock.h"

#define UIDS_MAX 256 /* beyond these, the one that was quiet for longest is forgotten */

/* full_at: when the bucket would be full again if nothing more were taken. */
typedef struct Bucket {
        uid_t uid;
        uint64_t full_at;
} Bucket;

struct RateLimit {
        char text[32];
        uint64_t usec; /* for one */
        uint64_t n;
        pthread_mutex_t mutex;
        Bucket buckets[UIDS_MAX];
        size_t n_buckets;
};

static const struct {
        const char *name;
        uint64_t usec;
} periods[] = {
        { "second", USEC_PER_SEC },
        { "minute", 60 * USEC_PER_SEC },
        { "hour", 3600 * USEC_PER_SEC },
        { "day", 86400 * USEC_PER_SEC },
};

static uint64_t period_by_name(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(periods); i++)
                if (strcmp(periods[i].name, name) == 0)
                        return periods[i].usec;
        return 0;
}

int rate_limit_parse(const char *text, RateLimit **ret, Error *e) {
        unsigned long n = 0;
        uint64_t period = 0;
        char *end = NULL;
        RateLimit *l;

        if (*text >= '1' && *text <= '9')
                n = strtoul(text, &end, 10);
        if (end && *end == '/')
                period = period_by_name(end + 1);
        if (period == 0 || n > 1000000)
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "'%.40s' is not a rate: 100/minute; second, hour, day; at most "
                                 "1000000",
                                 text);
        l = calloc(1, sizeof(*l));
        if (!l)
                return error_set(e, -ENOMEM, "out of memory");
        snprintf(l->text, sizeof(l->text), "%.31s", text);
        l->n = n;
        l->usec = period / n;
        (void) pthread_mutex_init(&l->mutex, NULL);
        *ret = l;
        return 0;
}

void rate_limit_free(RateLimit *l) {
        if (!l)
                return;
        (void) pthread_mutex_destroy(&l->mutex);
        free(l);
}

static Bucket *bucket_of(RateLimit *l, uid_t uid) {
        Bucket *oldest = &l->buckets[0];

        for (size_t i = 0; i < l->n_buckets; i++) {
                Bucket *b = &l->buckets[i];

                if (b->uid == uid)
                        return b;
                if (b->full_at < oldest->full_at)
                        oldest = b;
        }
        if (l->n_buckets < UIDS_MAX)
                oldest = &l->buckets[l->n_buckets++];
        *oldest = (Bucket){ .uid = uid };
        return oldest;
}

uint64_t rate_limit_take(RateLimit *l, uid_t uid, uint64_t now) {
        uint64_t wait = 0, full;
        Bucket *b;

        pthread_mutex_lock(&l->mutex);
        b = bucket_of(l, uid);
        full = (b->full_at > now ? b->full_at : now) + l->usec;
        if (full > now + l->n * l->usec)
                wait = full - (now + l->n * l->usec);
        else
                b->full_at = full;
        pthread_mutex_unlock(&l->mutex);
        return wait;
}

const char *rate_limit_text(const RateLimit *l) {
        return l->text;
}
