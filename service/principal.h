/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who is calling: immutable, counted, and cached by authn.c. */

#include "lib/id.h"
#include "lib/key-uri.h"
#include "service/cache.h"
#include "service/digest.h"

typedef enum PrincipalType { PRINCIPAL_ACCOUNT, PRINCIPAL_USER } PrincipalType;

/* What a user may administer on its TSG and below. */
typedef enum Role { ROLE_NONE, ROLE_OWNER } Role;

typedef struct Principal {
        CacheObject object;
        PrincipalType type;
        Role role; /* users only */
        char id[ID_MAX];
        char name[PATH_MAX_LEN]; /* a user's name, an account's path */
        char tsg[ID_MAX];
        char tsg_path[PATH_MAX_LEN];
        uint8_t thumbprint[SHA256_SIZE]; /* accounts: of the TLS client key that the token is bound
                                            to */
        uint64_t expires;                /* of the token; 0: never */
} Principal;

static inline const char *principal_type_name(const Principal *p) {
        return p->type == PRINCIPAL_ACCOUNT ? "account" : "user";
}

static inline void principal_unref(Principal *p) {
        if (p)
                cache_object_unref(&p->object);
}
DEFINE_CLEANUP(Principal, principal_unref)
