/* SPDX-License-Identifier: Apache-2.0 */
/* Names to ids: by listing what the caller sees. */

#include "cli/find.h"

#include <string.h>

#include "cli/output.h"
#include "lib/id.h"
#include "lib/key-uri.h"

const Kind kind_user = { "user", "/v1/users", "users", "usr" };
const Kind kind_team = { "team", "/v1/teams", "teams", "team" };
const Kind kind_project = { "project", "/v1/projects", "projects", "prj" };
const Kind kind_role = { "role", "/v1/roles", "roles", "role" };
const Kind kind_account = { "account", "/v1/accounts", "accounts", "acc" };

int find_id(Admin *a, const Kind *kind, const char *name, Buf *ret, Error *e) {
        _cleanup_(json_decrefp) json_t *rows = NULL;
        char path[PATH_MAX_LEN];
        json_t *row;
        size_t i;
        int r;

        if (id_is_valid(name, kind->prefix))
                return buf_append_str(ret, name);
        r = path_normalize(name, path, e);
        if (r >= 0)
                r = admin_list(a, kind->url, kind->array, &rows, e);
        if (r < 0)
                return r;
        json_array_foreach(rows, i, row) {
                if (strcmp(json_text_at(row, "path"), path) == 0)
                        return buf_append_str(ret, json_text_at(row, "id"));
        }
        return error_set(e, -CSIGN_E_NOT_FOUND, "no %s '%s' that you reach", kind->word, path);
}

int find_principal(Admin *a, const char *name, Buf *ret, Error *e) {
        static const Kind *const kinds[] = { &kind_user, &kind_account, &kind_team };
        Error last = {};
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if (id_is_valid(name, kinds[i]->prefix))
                        return buf_append_str(ret, name);
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                r = find_id(a, kinds[i], name, ret, &last);
                if (r >= 0)
                        return r;
                if (r != -CSIGN_E_NOT_FOUND && r != -CSIGN_E_NOT_PERMITTED)
                        break;
        }
        *e = last;
        if (r != -CSIGN_E_NOT_FOUND)
                return r;
        return error_set(e, r, "no user, account or team '%s' that you reach", name);
}
