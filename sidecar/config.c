/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/config.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config.h"
#include "lib/id.h"
#include "lib/message.h"
#include "sidecar/clock.h"

/* Below the 30 s that clients wait, so that they see our reason and not their own deadline. */
#define TIMEOUT_DEFAULT     (25 * USEC_PER_SEC)
#define CONNECTIONS_DEFAULT 4
#define CONNECTIONS_MAX     64
#define JOURNAL_DEFAULT     10000

const char *grant_name(Grant g) {
        return g == GRANT_MACHINE ? "machine" : "user";
}

/* The token's audience is this text, so it has one form only. */
static int parse_service(const char *value, void *target, Error *e) {
        size_t len = strlen(value);
        char url[512];

        while (len > 0 && value[len - 1] == '/')
                len--;
        if (len >= sizeof(url) || strncmp(value, "https://", 8) != 0 || len <= 8 ||
            memchr(value + 8, '/', len - 8))
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "'%s' is not an address of the form https://host:port", value);
        memcpy(url, value, len);
        url[len] = 0;
        return config_string(url, target, e);
}

static int parse_client_id(const char *value, void *target, Error *e) {
        if (!id_is_valid(value, "acc"))
                return error_set(e, -CSIGN_E_BAD_CONFIG, "'%s' is not an account's id (acc_…)",
                                 value);
        return config_string(value, target, e);
}

static int parse_connections(const char *value, void *target, Error *e) {
        unsigned n;
        int r;

        r = config_unsigned(value, &n, e);
        if (r < 0)
                return r;
        if (n < 1 || n > CONNECTIONS_MAX)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "'%s' is not a number from 1 to %d", value,
                                 CONNECTIONS_MAX);
        *(unsigned *) target = n;
        return 0;
}

static int parse_state_directory(const char *value, void *target, Error *e) {
        return strcmp(value, "none") == 0 ? config_string("", target, e)
                                          : config_path(value, target, e);
}

static int parse_journal_max(const char *value, void *target, Error *e) {
        int r;

        r = config_unsigned(value, target, e);
        return r >= 0 && *(unsigned *) target == 0
                       ? error_set(e, -CSIGN_E_BAD_CONFIG, "'%s' is not a number from 1", value)
                       : r;
}

static const ConfigItem items[] = {
        { "service", parse_service, offsetof(SidecarConfig, service), CONFIG_REQUIRED },
        { "client-id", parse_client_id, offsetof(SidecarConfig, client_id), CONFIG_REQUIRED },
        { "credential", config_path, offsetof(SidecarConfig, credential), 0 },
        { "service-ca", config_path, offsetof(SidecarConfig, service_ca), 0 },
        { "socket", config_path, offsetof(SidecarConfig, socket), 0 },
        { "timeout", config_seconds, offsetof(SidecarConfig, timeout_usec), 0 },
        { "connections", parse_connections, offsetof(SidecarConfig, connections), 0 },
        { "message-max", config_bytes, offsetof(SidecarConfig, message_max), 0 },
        { "state-directory", parse_state_directory, offsetof(SidecarConfig, state_directory), 0 },
        { "journal-max", parse_journal_max, offsetof(SidecarConfig, journal_max), 0 },
};

void sidecar_config_init(SidecarConfig *c) {
        *c = (SidecarConfig){
                .timeout_usec = TIMEOUT_DEFAULT,
                .connections = CONNECTIONS_DEFAULT,
                .message_max = MESSAGE_MAX_DEFAULT,
                .journal_max = JOURNAL_DEFAULT,
        };
}

void sidecar_config_done(SidecarConfig *c) {
        free(c->service);
        free(c->client_id);
        free(c->credential);
        free(c->service_ca);
        free(c->socket);
        free(c->state_directory);
        sidecar_config_init(c);
}

/* What systemd handed over is preferred to a file beside the configuration. */
static int default_credential(const char *dir, char **credential) {
        char path[PATH_MAX];

        if (*credential)
                return 0;
        if (!file_handed_over("csign.credential", path))
                snprintf(path, sizeof(path), "%s/credential.key", dir);
        *credential = strdup(path);
        return *credential ? 0 : -ENOMEM;
}

int sidecar_config_load(SidecarConfig *ret, const char *dir, Error *e) {
        _cleanup_(sidecar_config_done) SidecarConfig c;
        _cleanup_(config_closep) ConfigFile *file = NULL;
        char path[4096];
        int r;

        assert(ret && dir);
        sidecar_config_init(&c);

        snprintf(path, sizeof(path), "%s/sidecar.conf", dir);
        r = config_open(&file, path, FILE_TRUSTED, e);
        if (r < 0)
                return r;
        r = config_apply(file, NULL, items, ELEMENTSOF(items), &c, e);
        if (r < 0)
                return r;
        r = config_finish(file, e);
        if (r < 0)
                return r;
        r = default_credential(dir, &c.credential);
        if (r < 0)
                return error_set(e, r, "out of memory");

        *ret = c;
        sidecar_config_init(&c);
        return 0;
}
