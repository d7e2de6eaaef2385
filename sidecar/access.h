/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The local policy: which caller may use which key through this sidecar (policy.conf(5)).  The
 * service's own scope and policy come after it and cannot be widened here. */

#include <stdbool.h>
#include <sys/types.h>

#include "lib/error.h"
#include "sidecar/caller.h"
#include "sidecar/config.h"

typedef struct Access Access; /* does not change: any thread may ask */

/* Reads DIR/policy.conf; without one the grant's default holds: the sidecar's own user and root
 * (user grant), or root and group csign (machine grant).  -CSIGN_E_BAD_CONFIG names file and line.
 */
int access_load(Access **ret, const char *dir, Grant grant, uid_t self, Error *e);
int access_parse(Access **ret, const char *name, const char *text, Error *e); /* tests, fuzz */
int access_default(Access **ret, Grant grant, uid_t self, Error *e);
void access_free(Access *a);
DEFINE_CLEANUP(Access, access_free)

/* The first rule that fits both decides; none means no: -CSIGN_E_LOCAL_POLICY with the rule's name.
 */
int access_check(const Access *a, const Caller *c, const char *key_path, Error *e);

/* Whether there is any key that the caller may use: asked before a call costs anything. */
int access_check_any(const Access *a, const Caller *c, Error *e);
