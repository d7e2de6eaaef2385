/* SPDX-License-Identifier: Apache-2.0 */
/* Reading csign-service.conf. */

#include "service/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/config.h"
#include "lib/message.h"

static const ConfigItem items[] = {
        { "listen", config_string, offsetof(Config, listen), CONFIG_REQUIRED },
        { "issuer", config_string, offsetof(Config, issuer), CONFIG_REQUIRED },
        { "names", config_string, offsetof(Config, names) },
        { "state-directory", config_path, offsetof(Config, state_directory), CONFIG_REQUIRED },
        { "keystore-socket", config_path, offsetof(Config, keystore_socket), CONFIG_REQUIRED },
        { "workers", config_unsigned, offsetof(Config, workers) },
        { "event-loops", config_unsigned, offsetof(Config, event_loops) },
        { "connections", config_unsigned, offsetof(Config, connections_max) },
        { "connections-per-address", config_unsigned, offsetof(Config, rates.connections) },
        { "requests-per-address", config_unsigned, offsetof(Config, rates.per_address) },
        { "requests-per-principal", config_unsigned, offsetof(Config, rates.per_principal) },
        { "failures-per-minute", config_unsigned, offsetof(Config, rates.failures) },
        { "idle-timeout", config_seconds, offsetof(Config, idle_timeout_usec) },
        { "head-timeout", config_seconds, offsetof(Config, head_timeout_usec) },
        { "body-timeout", config_seconds, offsetof(Config, body_timeout_usec) },
        { "public-url", config_string, offsetof(Config, public_url) },
        { "certificate-days", config_unsigned, offsetof(Config, certificate_days) },
        { "imported-certificate-days", config_unsigned,
          offsetof(Config, imported_certificate_days) },
        { "message-max", config_bytes, offsetof(Config, message_max) },
};

/* "host:port", "[::1]:port", ":port". */
static int split_listen(Config *c, Error *e) {
        const char *colon = strrchr(c->listen, ':'), *host = c->listen;
        size_t host_len = colon ? (size_t) (colon - c->listen) : 0;
        long port;
        char *end;

        if (host_len >= 2 && host[0] == '[' && host[host_len - 1] == ']') {
                host++;
                host_len -= 2;
        }
        port = colon && isdigit((unsigned char) colon[1]) ? strtol(colon + 1, &end, 10) : -1;
        if (port < 0 || port > 65535 || *end != '\0' || host_len >= sizeof(c->host))
                return error_set(e, -CSIGN_E_BAD_CONFIG, "listen: '%s' is not host:port",
                                 c->listen);

        snprintf(c->host, sizeof(c->host), "%.*s", (int) host_len, host);
        snprintf(c->port, sizeof(c->port), "%ld", port);
        return 0;
}

static int check_issuer(const Config *c, Error *e) {
        const char *host;

        host = strncmp(c->issuer, "https://", 8) == 0 ? c->issuer + 8 : NULL;
        if (!host || !host[0] || strpbrk(host, "/?# ") || strlen(c->issuer) > 400)
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "issuer: '%s' is not an https URL without a path, as in "
                                 "https://csign.example:8443",
                                 c->issuer);
        return 0;
}

/* It goes into certificates, where it has to work for as long as they live. */
static int check_public_url(const Config *c, Error *e) {
        const char *url = c->public_url;

        if (!url)
                return 0;
        if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) ||
            strlen(url) > 400 || url[strlen(url) - 1] == '/' || strpbrk(url, "?# ,;\"\\\t"))
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "public-url: '%s' is not a URL without a '/' at its end, as in "
                                 "http://pki.example",
                                 url);
        return 0;
}

static bool is_address(const char *name) {
        unsigned char raw[16];

        return inet_pton(AF_INET, name, raw) == 1 || inet_pton(AF_INET6, name, raw) == 1;
}

static bool is_dns_name(const char *name) {
        return strlen(name) <= 253 &&
               strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-*") ==
                       strlen(name);
}

static int add_name(const char *name, void *userdata, Error *e) {
        bool address = is_address(name);
        Buf *b = userdata;

        if (!address && !is_dns_name(name))
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "names: '%s' is neither a DNS name nor an address", name);
        return buf_printf(b, "%s%s:%s", b->len > 0 ? "," : "", address ? "IP" : "DNS", name);
}

static int make_san(Config *c, Error *e) {
        _cleanup_(buf_done) Buf b = BUF_MAX(8192);
        int r;

        r = config_each(c->names ? c->names : "localhost, 127.0.0.1", add_name, &b, e);
        if (r < 0)
                return r;
        c->san = strdup(buf_str(&b));
        return c->san ? 0 : -ENOMEM;
}

static int check_numbers(const Config *c, Error *e) {
        if (c->workers < 1 || c->workers > 256)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "workers: 1 to 256");
        if (c->event_loops < 1 || c->event_loops > 64)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "event-loops: 1 to 64");
        if (c->connections_max < 1)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "connections: at least 1");
        if (c->certificate_days < 1 || c->certificate_days > 3650)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "certificate-days: 1 to 3650");
        if (c->imported_certificate_days < 1 || c->imported_certificate_days > 36500)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "imported-certificate-days: 1 to 36500");
        return 0;
}

static int load(ConfigFile *f, Config *ret, Error *e) {
        Config c = {
                .workers = 16,
                .event_loops = 1,
                .connections_max = 1000,
                .rates = { .connections = 500,
                           .per_address = 10000,
                           .per_principal = 5000,
                           .failures = 600 },
                .idle_timeout_usec = 300 * (uint64_t) 1000000,
                .head_timeout_usec = 10 * (uint64_t) 1000000,
                .body_timeout_usec = 60 * (uint64_t) 1000000,
                .message_max = MESSAGE_MAX_DEFAULT,
                .certificate_days = 460, /* CA/Browser Forum, CSC-31 */
                .imported_certificate_days = 3660,
        };
        int r;

        r = config_apply(f, NULL, items, ELEMENTSOF(items), &c, e);
        if (r >= 0)
                r = config_finish(f, e);
        if (r >= 0)
                r = split_listen(&c, e);
        if (r >= 0)
                r = check_issuer(&c, e);
        if (r >= 0)
                r = check_public_url(&c, e);
        if (r >= 0)
                r = make_san(&c, e);
        if (r >= 0)
                r = check_numbers(&c, e);
        if (r < 0) {
                config_done(&c);
                return r;
        }
        *ret = c;
        return 0;
}

int config_load(Config *ret, const char *path, Error *e) {
        _cleanup_(config_closep) ConfigFile *f = NULL;
        int r;

        r = config_open(&f, path, FILE_TRUSTED, e);
        return r < 0 ? r : load(f, ret, e);
}

int config_load_text(Config *ret, const char *name, const char *text, Error *e) {
        _cleanup_(config_closep) ConfigFile *f = NULL;
        int r;

        r = config_open_text(&f, name, text, e);
        return r < 0 ? r : load(f, ret, e);
}

void config_done(Config *c) {
        free(c->listen);
        free(c->issuer);
        free(c->names);
        free(c->san);
        free(c->public_url);
        free(c->state_directory);
        free(c->keystore_socket);
        *c = (Config){};
}
