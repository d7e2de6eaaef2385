/* SPDX-License-Identifier: Apache-2.0 */
/* Pages, access, and the table of built-in roles. */

#include "service/rights.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const pages[PAGES_MAX_] = {
        [PAGE_TSGS] = "tsgs",         [PAGE_KEYS] = "keys",
        [PAGE_ACCOUNTS] = "accounts", [PAGE_PEOPLE] = "people",
        [PAGE_PROJECTS] = "projects", [PAGE_CERTIFICATES] = "certificates",
        [PAGE_AUDIT] = "audit",       [PAGE_SETTINGS] = "settings",
};

static const char *const accesses[] = {
        [ACCESS_NONE] = "none",
        [ACCESS_VIEW] = "view",
        [ACCESS_WRITE] = "write",
};

enum { N = ACCESS_NONE, V = ACCESS_VIEW, W = ACCESS_WRITE };

/* clang-format off */
static const BuiltinRole builtin[] = {
        /*                                                              tsg key acc ppl prj crt aud set */
        { ROLE_OWNER,        "everything",                           { { W,  W,  W,  W,  W,  W,  W,  W } } },
        { "key-manager",     "keys, certificates and projects",      { { V,  W,  V,  V,  W,  W,  N,  N } } },
        { "account-manager", "built-in accounts",                    { { V,  N,  W,  V,  N,  N,  N,  N } } },
        { "auditor",         "sees everything and changes nothing",  { { V,  V,  V,  V,  V,  V,  V,  V } } },
        { "viewer",          "sees everything but the audit log",    { { V,  V,  V,  V,  V,  V,  N,  V } } },
};
/* clang-format on */

static int find(const char *const words[], size_t n, const char *name, size_t len) {
        for (size_t i = 0; i < n; i++)
                if (strlen(words[i]) == len && memcmp(words[i], name, len) == 0)
                        return (int) i;
        return -ENOENT;
}

const char *page_name(AdminPage page) {
        return pages[page];
}

const char *access_name(Access access) {
        return accesses[access];
}

int page_by_name(const char *name) {
        return find(pages, ELEMENTSOF(pages), name, strlen(name));
}

int access_by_name(const char *name) {
        return find(accesses, ELEMENTSOF(accesses), name, strlen(name));
}

void rights_add(Rights *r, const Rights *more) {
        for (size_t i = 0; i < PAGES_MAX_; i++)
                if (more->on[i] > r->on[i])
                        r->on[i] = more->on[i];
}

bool rights_cover(const Rights *have, const Rights *want) {
        for (size_t i = 0; i < PAGES_MAX_; i++)
                if (want->on[i] > have->on[i])
                        return false;
        return true;
}

bool rights_write(const Rights *r) {
        return memchr(r->on, ACCESS_WRITE, sizeof(r->on)) != NULL;
}

char *rights_text(const Rights *r, char buf[static RIGHTS_TEXT_MAX]) {
        size_t len = 0;

        buf[0] = '\0';
        for (size_t i = 0; i < PAGES_MAX_; i++)
                if (r->on[i] != ACCESS_NONE)
                        len += (size_t) snprintf(buf + len, RIGHTS_TEXT_MAX - len, "%s%s:%s",
                                                 len ? " " : "", pages[i], accesses[r->on[i]]);
        return buf;
}

int rights_parse(const char *text, Rights *ret, Error *e) {
        Rights rights = {};

        for (const char *p = text; *p; p += *p == ' ') {
                size_t len = strcspn(p, " "), page_len = strcspn(p, ": ");
                int page = find(pages, ELEMENTSOF(pages), p, page_len), access = -ENOENT;

                if (page_len < len)
                        access = find(accesses, ELEMENTSOF(accesses), p + page_len + 1,
                                      len - page_len - 1);
                if (page < 0 || access < 0)
                        return error_set(e, -CSIGN_E_BAD_REQUEST,
                                         "'%.*s' is not PAGE:ACCESS, as in keys:write", (int) len,
                                         p);
                rights.on[page] = (uint8_t) access;
                p += len;
        }
        *ret = rights;
        return 0;
}

const BuiltinRole *role_builtin(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(builtin); i++)
                if (strcmp(builtin[i].name, name) == 0)
                        return &builtin[i];
        return NULL;
}

const BuiltinRole *role_builtin_at(size_t i) {
        return i < ELEMENTSOF(builtin) ? &builtin[i] : NULL;
}
