/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the sidecar keeps from one run to the next, in a database of SQLite: descriptions of keys,
 * for the time when the service cannot be asked, and a journal of the signatures that were made
 * here.  No truth depends on it: one that is broken is put aside and begun anew, and what cannot be
 * written is said once and left out.
 *
 * Any thread may call; a State that is NULL keeps nothing. */

#include <stdint.h>
#include <sys/types.h>

#include "lib/error.h"
#include "lib/id.h"
#include "lib/key-uri.h"
#include "sidecar/keys.h"

#define OFFLINE_MAX_SEC ((uint64_t) 7 * 24 * 3600) /* for so long a description may be shown */

typedef struct State State;

/* dir is made (0700) if need be.  journal_max: signatures that are kept. */
int state_open(State **ret, const char *dir, uint64_t journal_max, Error *e);
void state_free(State *s); /* after what was noted is written */
DEFINE_CLEANUP(State, state_free)

/* ---- keys, as an account sees them ---- */

/* asked: the version that was asked for, maybe 0.  A listing (has_certificates false) leaves those
 * that are known. */
void state_keep_key(State *s, const char *account, const Key *k, uint32_t asked,
                    bool has_certificates);

/* -ENOENT: it is not known, or not lately. */
int state_find_key(State *s, const char *account, const char *path, uint32_t version, Key **ret);

/* Keys below the prefix ("": all) behind the path `after`, by path, at most limit; the reference
 * that fn gets is its own. */
int state_list_keys(State *s, const char *account, const char *prefix, const char *after,
                    uint32_t limit, int (*fn)(Key *k, void *userdata), void *userdata);

/* ---- the journal ---- */

typedef struct JournalEntry {
        uint64_t time_usec; /* since 1970 */
        char request_id[ID_MAX];
        uint64_t record; /* of the service's log */
        char key_path[PATH_MAX_LEN];
        uint32_t key_version;
        char scheme[24], hash[16];
        char digest[129];          /* in hex; "" for a whole message */
        char signature_sha256[65]; /* in hex */
        uid_t uid;
        char exe[256]; /* its end, if it is longer */
} JournalEntry;

/* Returns at once: a thread writes what has come together. */
void state_note(State *s, const JournalEntry *entry);

/* The newest first: numbers below `before` (0: all), of one user ((uid_t) -1: of all), at most
 * limit.  What was noted before is in it. */
int state_history(State *s, uint64_t before, uid_t uid, uint32_t limit,
                  int (*fn)(uint64_t number, const JournalEntry *entry, void *userdata),
                  void *userdata, Error *e);
