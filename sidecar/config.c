/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/buf.h"
#include "lib/config.h"
#include "lib/id.h"
#include "lib/message.h"
#include "sidecar/clock.h"

/* Below the 30 s that clients wait, so that they see our reason and not their own deadline. */
#define TIMEOUT_DEFAULT     (25 * USEC_PER_SEC)
#define CONNECTIONS_DEFAULT 4
#define CONNECTIONS_MAX     64
#define JOURNAL_DEFAULT     10000
#define ADDRESS_MAX         512
#define PINS_MAX            2048
#define PROVIDER_MAX        48
#define SHA256_SIZE         32

const char *grant_name(Grant g) {
        return g == GRANT_MACHINE ? "machine" : "user";
}

/* The first is the token's audience, so it has one form only. */
static int parse_address(const char *value, char **ret, Error *e) {
        size_t len = strlen(value);

        while (len > 0 && value[len - 1] == '/')
                len--;
        if (len >= ADDRESS_MAX || strncmp(value, "https://", 8) != 0 || len <= 8 ||
            memchr(value + 8, '/', len - 8))
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "'%s' is not an address of the form https://host:port", value);
        *ret = strndup(value, len);
        return *ret ? 0 : error_set(e, -ENOMEM, "out of memory");
}

static int add_service(const char *value, void *userdata, Error *e) {
        ServiceList *l = userdata;
        int r;

        if (l->n == SERVICES_MAX)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "more than %d addresses", SERVICES_MAX);
        r = parse_address(value, &l->urls[l->n], e);
        if (r < 0)
                return r;
        for (size_t i = 0; i < l->n; i++)
                if (strcasecmp(l->urls[i], l->urls[l->n]) == 0) {
                        free(TAKE(l->urls[l->n]));
                        return error_set(e, -CSIGN_E_BAD_CONFIG, "'%s' is there twice", value);
                }
        l->n++;
        return 0;
}

static int parse_services(const char *value, void *target, Error *e) {
        return config_each(value, add_service, target, e);
}

static int add_pin(const char *value, void *userdata, Error *e) {
        _cleanup_(buf_done) Buf hash = {};
        static const char prefix[] = "sha256//";
        Buf *b = userdata;
        int r;

        if (strncmp(value, prefix, strlen(prefix)) != 0 ||
            buf_decode_base64(&hash, value + strlen(prefix), strlen(value) - strlen(prefix)) < 0 ||
            hash.len != SHA256_SIZE)
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "'%s' is not sha256// and the Base64 of 32 bytes", value);
        r = buf_printf(b, "%s%s", b->len > 0 ? ";" : "", value);
        return r < 0 ? error_set(e, r, "out of memory, or too many pins") : 0;
}

static int parse_pins(const char *value, void *target, Error *e) {
        _cleanup_(buf_done) Buf pins = BUF_MAX(PINS_MAX);
        int r;

        r = config_each(value, add_pin, &pins, e);
        return r < 0 ? r : config_string(buf_str(&pins), target, e);
}

/* For `none`: not the default either. */
static int nothing(char **ret) {
        free(*ret);
        *ret = strdup("");
        return *ret ? 0 : -ENOMEM;
}

/* Without a name and password: the file may be read by everybody, and errors tell the address. */
static int parse_proxy(const char *value, void *target, Error *e) {
        static const char *const schemes[] = { "http://", "https://", "socks5h://" };

        if (strcmp(value, "none") == 0)
                return nothing(target);
        for (size_t i = 0; i < ELEMENTSOF(schemes); i++) {
                size_t n = strlen(schemes[i]);

                if (strncmp(value, schemes[i], n) == 0 && value[n] &&
                    !strpbrk(value + n, "/@?# \t"))
                        return config_string(value, target, e);
        }
        return error_set(e, -CSIGN_E_BAD_CONFIG,
                         "'%s' is neither 'none' nor of the form http://host:port (or https, "
                         "socks5h)",
                         strchr(value, '@') ? "(an address with a password)" : value);
}

static int parse_client_id(const char *value, void *target, Error *e) {
        if (!id_is_valid(value, "acc"))
                return error_set(e, -CSIGN_E_BAD_CONFIG, "'%s' is not an account's id (acc_…)",
                                 value);
        return config_string(value, target, e);
}

/* OpenSSL's own scheme for files would go round the look at owner and mode; csign's would ask this
 * sidecar. */
static int parse_credential(const char *value, void *target, Error *e) {
        size_t n = strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789+.-");

        if (value[0] == '/')
                return config_string(value, target, e);
        if (!islower((unsigned char) value[0]) || value[n] != ':' || !value[n + 1] ||
            strncmp(value, "file:", 5) == 0 || strncmp(value, "csign:", 6) == 0)
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "'%s' is neither an absolute path nor a provider's URI, such as "
                                 "handle:0x81000001",
                                 value);
        return config_string(value, target, e);
}

static int parse_provider(const char *value, void *target, Error *e) {
        size_t n = strlen(value);

        if (n == 0 || n > PROVIDER_MAX || strcmp(value, "csign") == 0 ||
            strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789_-") < n)
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "'%s' is no OpenSSL provider that can have the credential, such "
                                 "as tpm2",
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
        return strcmp(value, "none") == 0 ? nothing(target) : config_path(value, target, e);
}

static int parse_journal_max(const char *value, void *target, Error *e) {
        int r;

        r = config_unsigned(value, target, e);
        return r >= 0 && *(unsigned *) target == 0
                       ? error_set(e, -CSIGN_E_BAD_CONFIG, "'%s' is not a number from 1", value)
                       : r;
}

static const ConfigItem items[] = {
        { "service", parse_services, offsetof(SidecarConfig, services), CONFIG_REQUIRED },
        { "client-id", parse_client_id, offsetof(SidecarConfig, client_id), CONFIG_REQUIRED },
        { "credential", parse_credential, offsetof(SidecarConfig, credential), 0 },
        { "credential-provider", parse_provider, offsetof(SidecarConfig, credential_provider), 0 },
        { "service-ca", config_path, offsetof(SidecarConfig, service_ca), 0 },
        { "service-pin", parse_pins, offsetof(SidecarConfig, service_pin), 0 },
        { "proxy", parse_proxy, offsetof(SidecarConfig, proxy), 0 },
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
        for (size_t i = 0; i < c->services.n; i++)
                free(c->services.urls[i]);
        free(c->client_id);
        free(c->credential);
        free(c->credential_provider);
        free(c->service_ca);
        free(c->service_pin);
        free(c->proxy);
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
        if (c.credential && c.credential[0] != '/' && !c.credential_provider)
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "%s: a URI needs credential-provider = NAME",
                                 config_where(file, NULL, "credential"));
        c.service = c.services.urls[0];
        r = default_credential(dir, &c.credential);
        if (r < 0)
                return error_set(e, r, "out of memory");

        *ret = c;
        sidecar_config_init(&c);
        return 0;
}
