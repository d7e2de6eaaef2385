/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What can be administered, how far, and the roles that everybody has from the start. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

/* What can be administered; a role gives none, view or write of each. */
typedef enum AdminPage {
        PAGE_TSGS,
        PAGE_KEYS,
        PAGE_ACCOUNTS,
        PAGE_PEOPLE, /* users, teams and roles */
        PAGE_PROJECTS,
        PAGE_CERTIFICATES,
        PAGE_AUDIT,
        PAGE_SETTINGS,
        PAGES_MAX_,
} AdminPage;

typedef enum Access { ACCESS_NONE, ACCESS_VIEW, ACCESS_WRITE } Access;

/* An Access a page: what a role gives on its TSG and below. */
typedef struct Rights {
        uint8_t on[PAGES_MAX_];
} Rights;

/* What a route asks of its caller: RIGHT_VIEW(KEYS), RIGHT_WRITE(KEYS), or one of these. */
typedef enum Right {
        RIGHT_NONE = 0, /* anybody, without authentication */
        RIGHT_SELF,     /* any principal */
        RIGHT_SIGN,
        RIGHT_PAGES_,
        RIGHTS_MAX_ = RIGHT_PAGES_ + 2 * PAGES_MAX_,
} Right;

#define RIGHT_VIEW(page)  RIGHT_OF(PAGE_##page, ACCESS_VIEW)
#define RIGHT_WRITE(page) RIGHT_OF(PAGE_##page, ACCESS_WRITE)

#define RIGHT_OF(page, access) ((Right) (RIGHT_PAGES_ + 2 * (page) + (access) -ACCESS_VIEW))
#define RIGHT_PAGE(right)      ((AdminPage) (((right) -RIGHT_PAGES_) / 2))
#define RIGHT_ACCESS(right)    ((Access) (((right) -RIGHT_PAGES_) % 2 + ACCESS_VIEW))

const char *page_name(AdminPage page);
const char *access_name(Access access);
int page_by_name(const char *name);   /* -ENOENT */
int access_by_name(const char *name); /* -ENOENT */

void rights_add(Rights *r, const Rights *more);
bool rights_cover(const Rights *have, const Rights *want);
bool rights_write(const Rights *r); /* any page */

/* "keys:write certificates:view", as the database keeps it; pages that are not there: none.
 * -CSIGN_E_BAD_REQUEST. */
#define RIGHTS_TEXT_MAX 160
char *rights_text(const Rights *r, char buf[static RIGHTS_TEXT_MAX]);
int rights_parse(const char *text, Rights *ret, Error *e);

/* The built-in roles: by name, NULL if it is none; and by index, NULL past the last. */
typedef struct BuiltinRole {
        const char *name, *help;
        Rights rights;
} BuiltinRole;

const BuiltinRole *role_builtin(const char *name);
const BuiltinRole *role_builtin_at(size_t i);

#define ROLE_OWNER "owner"
