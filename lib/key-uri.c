/* SPDX-License-Identifier: Apache-2.0 */
/* Names, paths and csign: URIs: the one place where names are normalised. */

#include "lib/key-uri.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_alnum(char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static char fold(char c) {
        return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

/* Normalises len characters; where: how the error calls the place. */
static int normalize(const char *name, size_t len, char *buf, Error *e) {
        if (len == 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "a name is empty");
        if (len > NAME_MAX_LEN)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "a name has %zu characters, at most %d are allowed", len,
                                 NAME_MAX_LEN);

        for (size_t i = 0; i < len; i++) {
                char c = fold(name[i]);

                if (!is_alnum(c) && (i == 0 || !strchr("._-", c) || c == '\0'))
                        return error_set(e, -CSIGN_E_BAD_REQUEST,
                                         "name '%.*s': character %zu is not allowed: a name is "
                                         "made of a-z 0-9 . _ - and begins with a letter or digit",
                                         (int) len, name, i + 1);
        }
        for (size_t i = 0; i < len; i++)
                buf[i] = fold(name[i]);
        buf[len] = '\0';
        return 0;
}

int name_normalize(const char *name, char buf[static NAME_MAX_LEN + 1], Error *e) {
        return normalize(name, strlen(name), buf, e);
}

static int normalize_path(const char *path, size_t len, char buf[static PATH_MAX_LEN], Error *e) {
        char out[PATH_MAX_LEN], *p = out;
        unsigned depth = 0;
        int r;

        for (;;) {
                const char *slash = memchr(path, '/', len);
                size_t n = slash ? (size_t) (slash - path) : len;

                if (++depth > PATH_DEPTH_MAX)
                        return error_set(e, -CSIGN_E_BAD_REQUEST,
                                         "the path is deeper than %d names", PATH_DEPTH_MAX);
                r = normalize(path, n, p, e);
                if (r < 0)
                        return r;
                p += n;
                if (!slash)
                        break;
                *p++ = '/';
                path += n + 1;
                len -= n + 1;
        }

        memcpy(buf, out, (size_t) (p - out) + 1);
        return 0;
}

int path_normalize(const char *path, char buf[static PATH_MAX_LEN], Error *e) {
        return normalize_path(path, strlen(path), buf, e);
}

bool name_is_valid(const char *name) {
        char buf[NAME_MAX_LEN + 1];

        return name_normalize(name, buf, NULL) >= 0 && strcmp(name, buf) == 0;
}

bool path_is_valid(const char *path) {
        char buf[PATH_MAX_LEN];

        return path_normalize(path, buf, NULL) >= 0 && strcmp(path, buf) == 0;
}

static int parse_version(const char *s, size_t len, uint32_t *ret, Error *e) {
        uint64_t v = 0;

        if (len == 0 || len > 10 || s[0] == '0')
                goto bad;
        for (size_t i = 0; i < len; i++) {
                if (s[i] < '0' || s[i] > '9')
                        goto bad;
                v = v * 10 + (uint64_t) (s[i] - '0');
        }
        if (v > UINT32_MAX)
                goto bad;
        *ret = (uint32_t) v;
        return 0;
bad:
        return error_set(e, -CSIGN_E_BAD_REQUEST,
                         "'@%.*s' is not a key version: it is a number from 1 to %u", (int) len, s,
                         UINT32_MAX);
}

static int parse_type(const char *value, size_t len, KeyUriType *ret) {
        static const struct {
                const char *name;
                KeyUriType type;
        } types[] = {
                { "private", KEY_URI_PRIVATE },
                { "public", KEY_URI_PUBLIC },
                { "cert", KEY_URI_CERT },
        };

        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if (strlen(types[i].name) == len && memcmp(types[i].name, value, len) == 0) {
                        *ret = types[i].type;
                        return 0;
                }
        return -CSIGN_E_BAD_REQUEST;
}

/* query begins behind the '?'. */
static int parse_query(const char *query, KeyUri *u, Error *e) {
        bool seen = false;

        if (query[0] == '\0')
                return error_set(e, -CSIGN_E_BAD_REQUEST, "the URI ends with '?'");

        while (*query) {
                size_t n = strcspn(query, "&");

                if (n <= 5 || strncmp(query, "type=", 5) != 0 || seen)
                        return error_set(e, -CSIGN_E_BAD_REQUEST,
                                         "'?%.*s' is not an attribute of a csign URI: there is "
                                         "type=private, type=public and type=cert, once",
                                         (int) n, query);
                if (parse_type(query + 5, n - 5, &u->type) < 0)
                        return error_set(e, -CSIGN_E_BAD_REQUEST,
                                         "type '%.*s' is none of private, public, cert",
                                         (int) (n - 5), query + 5);
                seen = true;
                query += n;
                if (*query == '&' && *++query == '\0')
                        return error_set(e, -CSIGN_E_BAD_REQUEST, "the URI ends with '&'");
        }
        return 0;
}

/* text begins behind the scheme and its slashes. */
static int parse_path(const char *text, KeyUri *ret, Error *e) {
        size_t len = strcspn(text, "?");
        const char *at;
        KeyUri u = {};
        int r;

        if (text[len] == '?') {
                r = parse_query(text + len + 1, &u, e);
                if (r < 0)
                        return r;
        }

        at = memchr(text, '@', len);
        if (at) {
                r = parse_version(at + 1, (size_t) (text + len - at - 1), &u.version, e);
                if (r < 0)
                        return r;
                len = (size_t) (at - text);
        }

        if (len == 0 || text[len - 1] == '/') {
                if (u.version > 0)
                        return error_set(e, -CSIGN_E_BAD_REQUEST,
                                         "a version belongs to a key, and the path names none");
                u.listing = true;
                len -= len > 0;
        }

        if (len > 0) {
                r = normalize_path(text, len, u.path, e);
                if (r < 0)
                        return r;
        }
        *ret = u;
        return 0;
}

static bool has_scheme(const char *uri) {
        return strncasecmp(uri, "csign:", 6) == 0;
}

int key_uri_parse(const char *uri, KeyUri *ret, Error *e) {
        if (!has_scheme(uri))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'%.64s' is not a csign URI: it begins with csign://", uri);

        uri += strlen("csign:");
        if (strncmp(uri, "///", 3) == 0)
                uri += 3;
        else if (strncmp(uri, "//", 2) == 0)
                uri += 2;
        return parse_path(uri, ret, e);
}

int key_uri_parse_loose(const char *text, KeyUri *ret, Error *e) {
        return has_scheme(text) ? key_uri_parse(text, ret, e) : parse_path(text, ret, e);
}

char *key_uri_text(const KeyUri *uri, char buf[static KEY_URI_TEXT_MAX]) {
        static const char *const types[] = { "", "?type=private", "?type=public", "?type=cert" };
        char version[16] = "";

        if (uri->version > 0)
                snprintf(version, sizeof(version), "@%u", uri->version);
        snprintf(buf, KEY_URI_TEXT_MAX, "csign://%s%s%s%s", uri->path,
                 uri->listing && uri->path[0] ? "/" : "", version, types[uri->type]);
        return buf;
}
