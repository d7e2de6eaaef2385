/* SPDX-License-Identifier: Apache-2.0 */
/* csign history: what was signed by way of this sidecar. */

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "cli/ask-sidecar.h"
#include "cli/cli.h"
#include "cli/output.h"

static uint64_t arg_last = 20;

static const char *time_text(uint64_t usec, char buf[static 32]) {
        time_t t = (time_t) (usec / 1000000);
        struct tm tm;

        buf[0] = '\0';
        if (gmtime_r(&t, &tm))
                (void) strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
        return buf;
}

static int add(const HistoryEntry *h, void *userdata) {
        char when[32];
        json_t *row;

        row = json_pack("{ss sI ss ss sI ss ss ss ss sI ss}", "time", time_text(h->time_usec, when),
                        "record", (json_int_t) h->record, "request_id", h->request_id, "key",
                        h->key, "version", (json_int_t) h->version, "scheme", h->scheme, "hash",
                        h->hash, "digest", h->digest, "signature_sha256", h->signature_sha256,
                        "uid", (json_int_t) h->uid, "executable", h->executable);
        return row && json_array_append_new(userdata, row) >= 0 ? 0 : -ENOMEM;
}

static int history_run(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "TIME", "time" },
                { "KEY", "key" },
                { "SCHEME", "scheme" },
                { "HASH", "hash" },
                { "UID", "uid", COLUMN_NUMBER },
                { "RECORD", "record", COLUMN_NUMBER },
                { "PROGRAM", "executable" },
                { "REQUEST", "request_id", COLUMN_FULL },
        };
        _cleanup_(sidecar_client_freep) SidecarClient *c = NULL;
        _cleanup_(json_decrefp) json_t *rows = json_array();
        int r;

        if (arg_last < 1 || arg_last > 100000)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "--last is 1 to 100000");
        r = sidecar_open(&c, e);
        if (r >= 0)
                r = sidecar_client_history(c, (unsigned) arg_last, add, rows, e);
        if (r < 0)
                return r;
        output_list(rows, columns, ELEMENTSOF(columns), "Nothing was signed here yet.");
        return 0;
}

static const Option history_options[] = {
        { "last", "N", "so many, the newest first (20)", &arg_last, OPTION_NUMBER },
};

const Verb verb_history = {
        .name = "history",
        .args = "",
        .help = "what was signed by way of this sidecar",
        .example = "csign history --last 5",
        OPTIONS(history_options),
        .flags = VERB_SIDECAR | VERB_JSON,
        .run = history_run,
};
