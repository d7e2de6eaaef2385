/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What policy.conf becomes: shared by who reads it and who decides by it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/alg.h"
#include "lib/error.h"
#include "sidecar/access-rate.h"

typedef enum Effect {
        EFFECT_NONE,
        EFFECT_ALLOW,
        EFFECT_DENY,
} Effect;

typedef struct IdList {
        id_t *ids;
        size_t n;
} IdList;

typedef struct TextList {
        char **items;
        size_t n;
} TextList;

/* A list that is not there fits everybody.  Of users, uids and groups one hit is enough; what else
 * is given must fit as well. */
typedef struct Rule {
        char name[64];
        IdList uids; /* from users= and uids= */
        IdList gids;
        TextList executables; /* patterns of paths */
        TextList hashes;      /* SHA-256 in hex, of executables */
        TextList units;       /* patterns */
        TextList keys;        /* patterns */
        unsigned schemes;     /* of 1 << Scheme; 0: all */
        RateLimit *rate;      /* NULL: none */
        Effect effect;
} Rule;

/* One policy.conf. */
typedef struct Policy {
        char *where; /* "/etc/csign/policy.conf", or what the default says */
        Rule *rules;
        size_t n_rules;
} Policy;

int policy_read(Policy **ret, const char *path, Error *e); /* -ENOENT */
int policy_read_text(Policy **ret, const char *name, const char *text, Error *e);

/* One rule "default": these uids and this group (-1: none), all keys. */
int policy_new_default(Policy **ret, const char *where, const uid_t uids[], size_t n, gid_t gid,
                       Error *e);

void policy_free(Policy *p);
DEFINE_CLEANUP(Policy, policy_free)
