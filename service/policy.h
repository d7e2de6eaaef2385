/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who may do what: pure functions on rows that were resolved before.  A refusal names its rule;
 * what is not allowed by a rule is refused.
 *
 * Signing is by scope: a principal uses what its TSG covers, but for keys that are in a project of
 * which it is no authorized signer.  Administering is by roles: what they
 * give on a TSG and below, as far as the scope covers it.  Neither follows from the other, and who
 * may change anything on a key's TSG may not sign with the key, unless the TSG says otherwise. */

#include "lib/error.h"
#include "lib/sign.h"
#include "service/keys.h"
#include "service/principal.h"
#include "service/rights.h"

/* Whether p may come from this address, which is its socket's.  -CSIGN_E_NOT_PERMITTED with rule
 * "account-network". */
int policy_check_network(const char *account, const Networks *networks, const char *address,
                         Error *e);

/* Whether p may do this anywhere at all.  -CSIGN_E_NOT_PERMITTED with rule "role", or "api-key"
 * when its API key is not for that. */
int policy_check_right(const Principal *p, Right right, Error *e);

/* Whether p may do this in the TSG that the chain ends in.  -CSIGN_E_NOT_PERMITTED, rule "scope"
 * or as above. */
int policy_check_on(const Principal *p, Right right, const TsgChain *tsg, Error *e);

/* What p's roles give it there. */
void policy_rights_on(const Principal *p, const TsgChain *tsg, Rights *ret);

/* Whether p may give somebody these rights there, or take them: only who holds all of them.
 * -CSIGN_E_NOT_PERMITTED, rule "grant". */
int policy_check_grant(const Principal *p, const Rights *rights, const TsgChain *tsg, Error *e);

/* Whether p holds all that another's roles give, and so may act on its credentials and existence.
 * -CSIGN_E_NOT_PERMITTED, rule "grant". */
int policy_check_over(const Principal *p, const Principal *other, Error *e);

/* Whether the API key that p came with is for all that another would be for: nobody makes himself
 * a wider one.  tsg: that it is limited to; expires 0: never.  -CSIGN_E_NOT_PERMITTED, rule
 * "api-key". */
int policy_check_api_key(const Principal *p, const TsgChain *tsg, bool may_sign,
                         bool may_administer, uint64_t expires, Error *e);

bool policy_is_member(const Principal *p, const char *team);

/* Whether p may do this with an account: by a role on its TSG, or as a member of the team that owns
 * it ("": none).  right is VIEW or WRITE(ACCOUNTS).  As policy_check_on(). */
int policy_check_account(const Principal *p, Right right, const TsgChain *tsg, const char *team,
                         Error *e);

/* Whether p may see another principal. */
int policy_check_principal(const Principal *p, const Principal *other, Error *e);

/* Where p may do this: the topmost TSGs, in the order of their paths.  They point into p. */
typedef struct Roots {
        size_t n;
        Root list[BINDINGS_MAX];
} Roots;

void policy_roots(const Principal *p, Right right, Roots *ret);

/* Whether p may sign req with the key; key NULL: there is no such row.  *ret_rule names what
 * allowed it. -CSIGN_E_KEY_NOT_FOUND and -CSIGN_E_OUT_OF_SCOPE (rule "scope"),
 * -CSIGN_E_NOT_PERMITTED ("api-key", "project", "separation-of-duties"), -CSIGN_E_KEY_DISABLED
 * ("key-state", "version-state"), -CSIGN_E_KEY_DESTROYED ("key-state"), -CSIGN_E_KEY_EXPIRED
 * ("key-validity"), -CSIGN_E_CERTIFICATE_EXPIRED, -CSIGN_E_CERTIFICATE_REVOKED,
 * -CSIGN_E_UNSUPPORTED_SCHEME ("usage-scheme"), and those of sign_request_check().  How often the
 * key may sign is audit/usage.h's. */
int policy_check_sign(const Principal *p, const Key *key, const SignRequest *req,
                      const char **ret_rule, Error *e);

/* Of that, what is about p and not about the key's state or the request.  *ret_rule: "scope", or
 * "project" for one that is in one. */
int policy_check_use(const Principal *p, const Key *key, const char **ret_rule, Error *e);

/* The same for who may know the reason: that a project keeps the key from p is said, and that p is
 * disabled or has expired (rule "principal-state").  For answers, never for decisions. */
int policy_explain_use(const Principal *p, const Key *key, const char **ret_rule, Error *e);

/* Whether a role of p's gives it anything of the page keys there. */
bool policy_binding_counts(const Principal *p, const Binding *b, const TsgChain *tsg);

/* Whether p may see the key: who may sign with it, as far as scope and projects go, and who may see
 * the keys of its TSG; asked_path NULL: it was asked for by id. */
int policy_check_key(const Principal *p, const Key *key, const char *asked_path, Error *e);

/* The words for what p does not reach, which must not tell whether it is there: what lies below p's
 * own TSG is not found, anything else is out of scope. */
int policy_unreachable(const Principal *p, int not_found, const char *what, const char *path,
                       Error *e);
