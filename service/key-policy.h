/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a key may be used for, and how often: set by a key manager, decided on with each signature.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/alg.h"
#include "lib/error.h"
#include "lib/json.h"
#include "lib/sign.h"

#define HASH_BIT(h) ((uint64_t) 1 << (h)->id)

/* 0 stands for no restriction. */
typedef struct KeyPolicy {
        uint32_t schemes; /* mask of SCHEME_BIT() */
        uint64_t hashes;  /* mask of HASH_BIT() */
        uint32_t per_hour, per_day;
        bool allow_expired_certificate, allow_revoked_certificate; /* 0: neither signs */
} KeyPolicy;

/* The schemes that the policy leaves of those that the key was made for, as a mask. */
static inline uint32_t key_policy_schemes(const KeyPolicy *p, uint32_t made) {
        return p->schemes ?: made;
}

/* Reads {"schemes": […], "hashes": […], "signatures_per_hour": N, "signatures_per_day": N,
 * "allow_expired_certificate": B, "allow_revoked_certificate": B} into *p;
 * what is not there stays, null takes the restriction away.  made: the schemes that the key was
 * made for.  -CSIGN_E_BAD_REQUEST, -CSIGN_E_UNSUPPORTED_SCHEME. */
int key_policy_read(KeyPolicy *p, const json_t *json, const KeyAlg *alg, uint32_t made, Error *e);

/* The same form, with all schemes and hashes that may be used. */
void key_policy_write(JsonOut *o, const char *name, const KeyPolicy *p, const KeyAlg *alg,
                      uint32_t made);
void key_policy_write_schemes(JsonOut *o, const char *name, uint32_t schemes);

/* Whether the policy lets the key sign that way; how often is audit/usage.h's.
 * -CSIGN_E_UNSUPPORTED_SCHEME (rule "usage-scheme"). */
int key_policy_check(const KeyPolicy *p, const SignRequest *req, const char *path, Error *e);
