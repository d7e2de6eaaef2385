/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How to ask a sidecar, over D-Bus: used by provider, pkcs11 and cli.  Runs inside foreign
 * programs: no thread, no handler, no lock held across a call; safe to use after fork and from many
 * threads.
 *
 * Addresses: "unix:path=…" (the sidecar's plain socket), "user" and "system" (its name on that
 * bus), "bus:ADDRESS" (its name on the bus at a D-Bus address).  NULL: CSIGN_BUS from the
 * environment, unless the process is setuid; else the user's socket
 * ($XDG_RUNTIME_DIR/csign/sidecar.sock), the user's bus, the machine's socket
 * (/run/csign/sidecar.sock) and the system bus, the first that has a sidecar.  An address that was
 * given is the only one: another sidecar would sign as another account. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/buf.h"
#include "lib/error.h"
#include "lib/id.h"
#include "lib/key-uri.h"
#include "lib/sign.h"

typedef struct SidecarClient SidecarClient;

/* Whose sidecar: the user's own, or the machine's. */
typedef enum SidecarGrant { SIDECAR_GRANT_USER, SIDECAR_GRANT_MACHINE } SidecarGrant;

/* Does not connect.  timeout_usec 0: 30 s for each call. */
int sidecar_client_new(SidecarClient **ret, const char *address, uint64_t timeout_usec, Error *e);
/* One grant's sidecar, at its usual places, whatever CSIGN_BUS says. */
int sidecar_client_new_grant(SidecarClient **ret, SidecarGrant grant, uint64_t timeout_usec,
                             Error *e);
void sidecar_client_free(SidecarClient *c);
DEFINE_CLEANUP(SidecarClient, sidecar_client_free)

/* Does now what else the first call does: it loads libsystemd.  For programs that will not find its
 * file any more, because they change their root.  A failure is the first call's to tell. */
void sidecar_client_prepare(void);

/* Closes the idle connections; the next call opens one again. */
void sidecar_client_drain(SidecarClient *c);

/* The address that the last call used, or "". */
const char *sidecar_client_address(SidecarClient *c);

#define CERTIFICATES_MAX 8

/* What the sidecar tells of one version of a key. */
typedef struct KeyInfo {
        char id[ID_MAX];
        char path[PATH_MAX_LEN];
        uint32_t version;
        const KeyAlg *alg;
        char state[24];                     /* "enabled", "disabled", ... */
        Buf spki;                           /* SubjectPublicKeyInfo, DER */
        Buf certificates[CERTIFICATES_MAX]; /* DER: the key's own first, then its chain */
        size_t n_certificates;
} KeyInfo;

void key_info_done(KeyInfo *k);

/* version 0: the primary.  Failures: every code that the sidecar names, and
 * -CSIGN_E_SIDECAR_UNAVAILABLE, -CSIGN_E_TIMEOUT, -CSIGN_E_BAD_ANSWER. */
int sidecar_client_get_key(SidecarClient *c, const char *path, uint32_t version, KeyInfo *ret,
                           Error *e);

/* Calls f for every key below a TSG's path ("" for all) that the caller may use, without
 * certificates; a negative result of f ends the listing and is returned. */
int sidecar_client_list_keys(SidecarClient *c, const char *prefix,
                             int (*f)(const KeyInfo *k, void *userdata), void *userdata, Error *e);

/* What the signature left behind in the service's log. */
typedef struct Receipt {
        char request_id[ID_MAX];
        uint64_t record; /* number of the audit record */
} Receipt;

/* *sig is replaced.  receipt may be NULL.  When the sidecar goes away during the call and another
 * comes within two seconds, that one is asked, with the same idempotency key. */
int sidecar_client_sign(SidecarClient *c, const SignRequest *req, Buf *sig, Receipt *receipt,
                        Error *e);

/* For schemes that hash for themselves (req->hash is hash_none): fd has the message, sealed as
 * lib/message.h says.  It stays the caller's. */
int sidecar_client_sign_message(SidecarClient *c, const SignRequest *req, int fd, Buf *sig,
                                Receipt *receipt, Error *e);

/* What the sidecar says of itself: name and value as text, in the order of docs/dbus.md. */
int sidecar_client_status(SidecarClient *c,
                          int (*f)(const char *name, const char *value, void *userdata),
                          void *userdata, Error *e);

/* Reads its configuration and credential again, and proves them by getting a token. */
/* What the sidecar's local policy would say; only its own user and root may ask.  scheme "": to
 * look at the key.  executable and unit may be NULL.  *ret_rule: malloc'ed, names the rule that
 * decides.
 */
int sidecar_client_test_policy(SidecarClient *c, const char *path, const char *scheme, uid_t uid,
                               const char *executable, const char *unit, bool *ret_allowed,
                               char **ret_rule, Error *e);

/* A signature that the sidecar remembers.  The texts are valid until f returns. */
typedef struct HistoryEntry {
        uint64_t number, time_usec, record;
        uint32_t version, uid;
        const char *request_id, *key, *scheme, *hash, *digest, *signature_sha256, *executable;
} HistoryEntry;

/* The newest first, at most max of them; f returns a negative code to stop. */
int sidecar_client_history(SidecarClient *c, unsigned max,
                           int (*f)(const HistoryEntry *entry, void *userdata), void *userdata,
                           Error *e);

int sidecar_client_reload(SidecarClient *c, Error *e);
