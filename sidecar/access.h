/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The local policy: which caller may use which key through this sidecar (policy.conf(5)).  The
 * service's own scope and policy come after it and cannot be widened here. */

#include <stdbool.h>
#include <sys/types.h>

#include "lib/alg.h"
#include "lib/error.h"
#include "sidecar/caller.h"
#include "sidecar/config.h"

#define MACHINE_POLICY_DIR "/etc/csign"

typedef struct Access Access; /* any thread may ask; only what rates have used up changes in it */

/* Reads DIR/policy.conf; without one the grant's default holds: the sidecar's own user and root
 * (user grant), or root and group csign (machine grant).  machine_dir: where the machine's own
 * policy.conf is, which must allow as well if it is there, so that a user's can only narrow it;
 * NULL: DIR is the machine's.  -CSIGN_E_BAD_CONFIG names file and line. */
int access_load(Access **ret, const char *dir, const char *machine_dir, Grant grant, uid_t self,
                Error *e);
int access_parse(Access **ret, const char *name, const char *text, Error *e); /* tests, fuzz */
int access_default(Access **ret, Grant grant, uid_t self, Error *e);
void access_free(Access *a);
DEFINE_CLEANUP(Access, access_free)

/* Whether the caller may sign so with the key; this use counts.  In each policy the first rule that
 * fits decides, and none means no: -CSIGN_E_LOCAL_POLICY, or -CSIGN_E_RATE_LIMITED, with rule
 * "local-policy:NAME". */
int access_check_sign(Access *a, const Caller *c, const char *key_path, Scheme scheme, Error *e);

/* Whether the caller may look at the key: with some scheme it may be used. */
int access_check(const Access *a, const Caller *c, const char *key_path, Error *e);

/* Whether there is any key that the caller may use: asked before a call costs anything. */
int access_check_any(const Access *a, const Caller *c, Error *e);

/* For whom asks what would happen: the rule that decides ("ci in /etc/csign/policy.conf"), without
 * using anything up.  true: allowed. */
bool access_explain(const Access *a, const Caller *c, const char *key_path, Scheme scheme,
                    char rule[static 256]);
