/* SPDX-License-Identifier: Apache-2.0 */

#include "service/networks.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAPPED_BITS 96 /* of ::ffff:0:0/96, where IPv4 is */

static const uint8_t mapped[MAPPED_BITS / 8] = { [10] = 0xff, [11] = 0xff };

static bool is_ipv4(const uint8_t address[static 16]) {
        return memcmp(address, mapped, sizeof(mapped)) == 0;
}

static bool parse_address(const char *text, uint8_t ret[static 16]) {
        uint8_t raw[16] = {};

        if (inet_pton(AF_INET6, text, raw) == 1) {
                memcpy(ret, raw, 16);
                return true;
        }
        if (inet_pton(AF_INET, text, raw) != 1)
                return false;
        memcpy(ret, mapped, sizeof(mapped));
        memcpy(ret + sizeof(mapped), raw, 4);
        return true;
}

/* 1 to 3 digits, no more. */
static int parse_bits(const char *text) {
        size_t n = strspn(text, "0123456789");

        return n >= 1 && n <= 3 && text[n] == '\0' ? atoi(text) : -1;
}

static bool has_prefix(const uint8_t a[static 16], const uint8_t b[static 16], unsigned bits) {
        unsigned whole = bits / 8, rest = bits % 8;
        uint8_t mask = (uint8_t) (0xff << (8 - rest));

        return memcmp(a, b, whole) == 0 && (rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

static bool ends_in_zeros(const Network *n) {
        uint8_t start[16] = {};
        unsigned whole = n->bits / 8, rest = n->bits % 8;

        memcpy(start, n->address, whole);
        if (rest > 0)
                start[whole] = n->address[whole] & (uint8_t) (0xff << (8 - rest));
        return memcmp(start, n->address, 16) == 0;
}

static int parse_network(const char *text, Network *ret) {
        const char *slash = strchr(text, '/');
        char address[INET6_ADDRSTRLEN];
        int bits, offset;

        if (snprintf(address, sizeof(address), "%.*s",
                     slash ? (int) (slash - text) : (int) strlen(text),
                     text) >= (int) sizeof(address) ||
            !parse_address(address, ret->address))
                return -1;

        offset = strchr(address, ':') ? 0 : MAPPED_BITS;
        bits = slash ? parse_bits(slash + 1) : 128 - offset;
        if (bits < 0 || bits > 128 - offset)
                return -1;
        ret->bits = (uint8_t) (bits + offset);
        return 0;
}

int networks_add(Networks *n, const char *text, Error *e) {
        Network network = {};

        if (strlen(text) >= NETWORK_TEXT_MAX || parse_network(text, &network) < 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'%.60s' is not a network, as in 192.0.2.0/24 or 2001:db8::/32",
                                 text);
        if (!ends_in_zeros(&network))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "the network '%s' has bits behind its prefix: which is meant, the "
                                 "network or one address?",
                                 text);
        if (n->n >= NETWORKS_MAX)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "more than %d networks", NETWORKS_MAX);
        n->list[n->n++] = network;
        return 0;
}

int networks_parse(Networks *ret, const char *text, Error *e) {
        Networks n = {};

        while (*text) {
                size_t len = strcspn(text, " ");
                char one[NETWORK_TEXT_MAX];
                int r;

                snprintf(one, sizeof(one), "%.*s", (int) len, text);
                r = networks_add(&n, len < sizeof(one) ? one : text, e);
                if (r < 0)
                        return r;
                text += len;
                text += strspn(text, " ");
        }
        *ret = n;
        return 0;
}

char *network_text(const Network *n, char buf[static NETWORK_TEXT_MAX]) {
        bool v4 = n->bits >= MAPPED_BITS && is_ipv4(n->address);
        char address[INET6_ADDRSTRLEN] = "";

        inet_ntop(v4 ? AF_INET : AF_INET6, n->address + (v4 ? sizeof(mapped) : 0), address,
                  sizeof(address));
        snprintf(buf, NETWORK_TEXT_MAX, "%.45s/%u", address, n->bits - (v4 ? MAPPED_BITS : 0));
        return buf;
}

char *networks_text(const Networks *n, char buf[static NETWORKS_TEXT]) {
        size_t at = 0;

        buf[0] = '\0';
        for (size_t i = 0; i < n->n; i++) {
                char one[NETWORK_TEXT_MAX];

                at += (size_t) snprintf(buf + at, NETWORKS_TEXT - at, "%s%s", i > 0 ? " " : "",
                                        network_text(&n->list[i], one));
        }
        return buf;
}

/* A block of IPv6, be it ::/0, has no IPv4 in it. */
static bool contains(const Network *n, const uint8_t address[static 16]) {
        if (is_ipv4(address) && n->bits < MAPPED_BITS)
                return false;
        return has_prefix(n->address, address, n->bits);
}

bool networks_allow(const Networks *n, const char *address) {
        uint8_t raw[16];

        if (n->n == 0)
                return true;
        if (!parse_address(address, raw))
                return false;
        for (size_t i = 0; i < n->n; i++)
                if (contains(&n->list[i], raw))
                        return true;
        return false;
}
