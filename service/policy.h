/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who may do what: pure functions on rows that were resolved before.  A refusal names its rule;
 * what is not allowed by a rule is refused. */

#include "lib/error.h"
#include "lib/sign.h"
#include "service/keys.h"
#include "service/principal.h"

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

/* What a route asks of its caller: RIGHT_VIEW(KEYS), RIGHT_WRITE(KEYS), or one of these. */
typedef enum Right {
        RIGHT_NONE = 0, /* anybody, without authentication */
        RIGHT_SELF,     /* any principal */
        RIGHT_SIGN,
        RIGHT_PAGES_,
        RIGHTS_MAX_ = RIGHT_PAGES_ + 2 * PAGES_MAX_,
} Right;

#define RIGHT_VIEW(page)  ((Right) (RIGHT_PAGES_ + 2 * PAGE_##page))
#define RIGHT_WRITE(page) ((Right) (RIGHT_PAGES_ + 2 * PAGE_##page + 1))

/* Whether p may do this anywhere at all.  -CSIGN_E_NOT_PERMITTED with rule "role" or
 * "separation-of-duties". */
int policy_check_right(const Principal *p, Right right, Error *e);

/* Whether p may do this in the TSG that the chain ends in. */
int policy_check_on(const Principal *p, Right right, const TsgChain *tsg, Error *e);

/* Whether p may sign req with the key; key NULL: there is no such row.  *ret_rule names what
 * allowed it. -CSIGN_E_KEY_NOT_FOUND and -CSIGN_E_OUT_OF_SCOPE (rule "scope"),
 * -CSIGN_E_KEY_DISABLED ("key-state", "version-state"), -CSIGN_E_KEY_DESTROYED ("key-state"),
 * -CSIGN_E_KEY_EXPIRED ("key-validity"), -CSIGN_E_UNSUPPORTED_SCHEME ("usage-scheme"),
 * -CSIGN_E_NOT_PERMITTED, and those of sign_request_check().  How often the key may sign is
 * audit/usage.h's. */
int policy_check_sign(const Principal *p, const Key *key, const SignRequest *req,
                      const char **ret_rule, Error *e);

/* Whether p may see the key; asked_path NULL: it was asked for by id. */
int policy_check_key(const Principal *p, const Key *key, const char *asked_path, Error *e);

/* The words for what p does not reach, which must not tell whether it is there: what lies below p's
 * own TSG is not found, anything else is out of scope. */
int policy_unreachable(const Principal *p, int not_found, const char *what, const char *path,
                       Error *e);
