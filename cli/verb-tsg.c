/* SPDX-License-Identifier: Apache-2.0 */
/* csign tsg: the tree of tenant security groups. */

#include "cli/ask-service.h"
#include "cli/cli.h"
#include "cli/output.h"

static int tsg_create(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:s}", "path", args[0]), *tsg = NULL;
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = admin_call(a, "POST", "/v1/tsgs", body, &tsg, e);
        if (r < 0)
                return r;
        output_result(tsg, "Created TSG %s (%s).", json_text_at(tsg, "path"),
                      json_text_at(tsg, "id"));
        return 0;
}

static const Verb verb_tsg_create = {
        .name = "tsg create",
        .args = "PATH",
        .help = "makes a TSG below one that is there",
        .example = "csign tsg create acme\n  csign tsg create acme/mobile",
        .min_args = 1,
        .max_args = 1,
        .flags = VERB_ADMIN | VERB_JSON,
        .run = tsg_create,
};

static int tsg_list(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "TSG", "path" },
                { "ID", "id" },
                { "CREATED", "created" },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *tsgs = NULL;
        int r;

        r = admin_open(&a, e);
        if (r < 0)
                return r;
        r = admin_list(a, "/v1/tsgs", "tsgs", &tsgs, e);
        if (r < 0)
                return r;
        output_list(tsgs, columns, ELEMENTSOF(columns), "No TSG.");
        return 0;
}

static const Verb verb_tsg_list = {
        .name = "tsg list",
        .args = "",
        .help = "the TSGs that you reach",
        .example = "csign tsg list",
        .flags = VERB_ADMIN | VERB_JSON,
        .run = tsg_list,
};

const Verb verb_tsg = {
        .name = "tsg",
        .args = "create|list",
        .help = "the tree of tenant security groups",
        .verbs = (const Verb *const[]){ &verb_tsg_create, &verb_tsg_list, NULL },
};
