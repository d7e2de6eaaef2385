/* SPDX-License-Identifier: Apache-2.0 */
/* csign usage: how often keys were used, by whom, on which day. */

#include <string.h>

#include "cli/ask-service.h"
#include "cli/cli.h"
#include "cli/find.h"
#include "cli/output.h"
#include "lib/http.h"

static const char *arg_key, *arg_account, *arg_from, *arg_to;

static int usage_path(Admin *a, Buf *ret, Error *e) {
        _cleanup_(buf_done) Buf key_id = {}, account_id = {};
        int r = 0;

        if (arg_key)
                r = admin_key_id(a, arg_key, &key_id, e);
        if (r >= 0)
                r = buf_append_str(ret, "/v1/usage");
        if (r >= 0 && arg_key)
                r = admin_path(ret, "?key=%s", buf_str(&key_id));
        if (r >= 0 && arg_account)
                r = find_id(a, &kind_account, arg_account, &account_id, e);
        if (r >= 0 && arg_account)
                r = admin_path(ret, arg_key ? "&account=%s" : "?account=%s", buf_str(&account_id));
        if (r >= 0 && arg_from)
                r = admin_path(ret, strchr(buf_str(ret), '?') ? "&from=%s" : "?from=%s", arg_from);
        if (r >= 0 && arg_to)
                r = admin_path(ret, strchr(buf_str(ret), '?') ? "&to=%s" : "?to=%s", arg_to);
        return r;
}

/* An account by its path; a user has none. */
static void name_principals(json_t *rows) {
        json_t *row;
        size_t i;

        json_array_foreach(rows, i, row) {
                const char *name = json_text_at(row, "principal_name");

                (void) json_object_set_new(
                        row, "who", json_string(name[0] ? name : json_text_at(row, "principal")));
        }
}

static int usage_run(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "DAY (UTC)", "day" },
                { "KEY", "key_path" },
                { "BY", "who" },
                { "SIGNATURES", "signatures", COLUMN_NUMBER },
                { "REFUSED", "refused", COLUMN_NUMBER },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *rows = NULL;
        _cleanup_(buf_done) Buf path = {};
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = usage_path(a, &path, e);
        if (r >= 0)
                r = admin_list(a, buf_str(&path), "usage", &rows, e);
        if (r < 0)
                return r;
        if (!arg_json)
                name_principals(rows);
        output_list(rows, columns, ELEMENTSOF(columns), "Nothing was signed with it.");
        return 0;
}

static const Option usage_options[] = {
        { "key", "PATH|ID", "only of this key", &arg_key },
        { "account", "PATH|ID", "only by this account", &arg_account },
        { "from", "DAY", "not before 2026-11-21", &arg_from },
        { "to", "DAY", "not after that day", &arg_to },
};

const Verb verb_usage = {
        .name = "usage",
        .args = "",
        .help = "how often keys were used, by whom and when",
        .example = "csign usage --key acme/mobile/release --from 2026-11-01",
        OPTIONS(usage_options),
        .flags = VERB_ADMIN | VERB_JSON,
        .run = usage_run,
};
