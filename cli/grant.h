/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A grant: the files from which a sidecar has its account, for one user or for the machine.  They
 * are written, proved by the sidecar, and taken back if they do not prove themselves. */

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "cli/folders.h"
#include "lib/buf.h"
#include "lib/error.h"
#include "lib/sidecar-client.h"

/* In the order in which they are written: sidecar.conf, which names the others, last. */
typedef enum GrantPart { GRANT_KEY, GRANT_CA, GRANT_CONF, GRANT_PARTS } GrantPart;

typedef struct GrantFile {
        char path[PATH_MAX];
        mode_t mode;
        uid_t owner;
        gid_t group;
        Buf before, after;
        bool was_there, written;
} GrantFile;

typedef struct Grant {
        Folder which;
        char folder[PATH_MAX];
        const char *key_uri, *key_provider; /* of a key that a provider keeps; else NULL */
        GrantFile files[GRANT_PARTS];
} Grant;

#define GRANTS_MAX 2

/* The grants that --for names: "user", "machine" or "both"; NULL: the machine's for root, else the
 * user's.  How many there are. */
int grants_named(const char *value, const char *names[static GRANTS_MAX], Error *e);

/* Several grants have folders and sidecars of their own: neither --config, --bus nor CSIGN_BUS can
 * be for both. */
int grants_apart(const char *config, Error *e);

/* name: "user", "machine", or NULL for the caller's own; config: another folder, or NULL. */
int grant_open(Grant *g, const char *name, const char *config, Error *e);
void grant_done(Grant *g); /* wipes */

/* Appends a line to a sidecar.conf, so that the value means itself. */
int grant_conf_line(Buf *b, const char *name, const char *value);

/* Without making its folder.  -CSIGN_E_NOT_FOUND: there is no such grant. */
int grant_find(Grant *g, const char *name, const char *config, Error *e);

/* That is to read this grant: the one at --bus or CSIGN_BUS, else the grant's own. */
int grant_sidecar(const Grant *g, SidecarClient **ret, Error *e);

/* What is to be written: the key of a file, or what the caller puts into files[GRANT_KEY].after;
 * and the rest.  provider: OpenSSL's name of who alone can use the key, a file or a URI; or NULL.
 * ca_path may be NULL. */
int grant_take_key(Grant *g, const char *key, const char *provider, Error *e);
int grant_describe(Grant *g, const char *service, const char *client_id, const char *ca_path,
                   Error *e);

int grant_write(Grant *g, GrantPart part, Error *e);
int grant_write_all(Grant *g, Error *e);
void grant_take_back(Grant *g);
int grant_remove(const Grant *g, Error *e);

/* The sidecar reads what was written, and gets a token with it.  -CSIGN_E_SIDECAR_UNAVAILABLE:
 * there is none; the grant may be right. */
int grant_prove(const Grant *g, SidecarClient *c, Error *e);

/* "WHAT service as account (client id).": once the sidecar says that it uses this grant. */
int grant_report(const Grant *g, SidecarClient *c, const char *client_id, const char *what,
                 Error *e);
