/* SPDX-License-Identifier: Apache-2.0 */
/* Into which project a key may go: one of its own TSG or above, whose signers the caller decides
 * on; and out of which. */

#include <stdio.h>
#include <string.h>

#include "service/api-keys.h"
#include "service/groups.h"
#include "service/policy.h"

static int take_tsg(const Group *g, void *userdata) {
        snprintf(userdata, ID_MAX, "%s", g->tsg);
        return 0;
}

/* -CSIGN_E_NOT_FOUND also when it is out of reach. */
static int find_project(DbConn *c, const Principal *p, const char *id, char tsg[static ID_MAX],
                        Error *e) {
        TsgChain chain;
        int r;

        r = group_by_id(c, &group_project, id, take_tsg, tsg, e);
        if (r >= 0)
                r = tsg_chain(c, tsg, &chain, e);
        if (r >= 0)
                r = policy_check_on(p, RIGHT_WRITE(PROJECTS), &chain, e);
        if (r < 0 && strcmp(e->rule, "scope") == 0)
                return policy_unreachable(p, -CSIGN_E_NOT_FOUND, "project", NULL, e);
        return r;
}

static int check_place(DbConn *c, const char *project_tsg, const char *key_tsg, Error *e) {
        TsgChain chain;
        int r;

        r = tsg_chain(c, key_tsg, &chain, e);
        if (r < 0 || tsg_chain_has(&chain, project_tsg))
                return r;
        return error_set(e, -CSIGN_E_BAD_REQUEST,
                         "a project has keys of its own TSG and below, and this key is elsewhere");
}

int key_check_project(DbConn *c, const Principal *p, const char *tsg, const char *from,
                      const char *to, Error *e) {
        char project_tsg[ID_MAX];
        int r = 0;

        if (from[0] && strcmp(from, to) != 0)
                r = find_project(c, p, from, project_tsg, e);
        if (r < 0 || to[0] == '\0')
                return r;
        if (strcmp(from, to) == 0)
                r = group_by_id(c, &group_project, to, take_tsg, project_tsg, e);
        else
                r = find_project(c, p, to, project_tsg, e);
        return r < 0 ? r : check_place(c, project_tsg, tsg, e);
}
