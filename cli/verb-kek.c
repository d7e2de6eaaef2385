/* SPDX-License-Identifier: Apache-2.0 */
/* csign kek: the key encryption keys that the service's keys are sealed under. */

#include <inttypes.h>
#include <string.h>

#include "cli/ask-service.h"
#include "cli/cli.h"
#include "cli/output.h"

static int kek_list(char *args[], size_t n, Error *e) {
        static const Column columns[] = {
                { "KEK", "id" },
                { "STATE", "state", COLUMN_STATE },
                { "BLOBS", "blobs", COLUMN_NUMBER },
        };
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *reply = NULL;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = admin_call(a, "GET", "/v1/keks", NULL, &reply, e);
        if (r < 0)
                return r;
        output_list(json_object_get(reply, "keks"), columns, ELEMENTSOF(columns), "No KEK.");
        return 0;
}

static const Verb verb_kek_list = {
        .name = "kek list",
        .args = "",
        .help = "the KEKs, and how much is sealed under each",
        .example = "csign kek list",
        .flags = VERB_ADMIN | VERB_JSON,
        .run = kek_list,
};

/* ---- reseal ---- */

typedef struct Progress {
        uint64_t all, resealed, told;
        json_t *failed;
} Progress;

/* What is there to do, to tell how far it is. */
static int count_others(Admin *a, uint64_t *ret, Error *e) {
        _cleanup_(json_decrefp) json_t *reply = NULL;
        json_t *kek;
        size_t i;
        int r;

        r = admin_call(a, "GET", "/v1/keks", NULL, &reply, e);
        if (r < 0)
                return r;
        json_array_foreach(json_object_get(reply, "keks"), i, kek) {
                if (strcmp(json_text_at(kek, "state"), "primary") != 0)
                        *ret += (uint64_t) json_integer_value(json_object_get(kek, "blobs"));
        }
        return 0;
}

/* Each tenth of it. */
static void tell(Progress *p) {
        uint64_t tenth = p->all > 0 ? p->resealed * 10 / p->all : 0;

        if (tenth <= p->told)
                return;
        p->told = tenth;
        output_note("%" PRIu64 " of %" PRIu64, p->resealed, p->all);
}

static int reseal_all(Admin *a, Progress *p, Error *e) {
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:s}", "cursor", "");
        const char *next;

        do {
                _cleanup_(json_decrefp) json_t *reply = NULL;
                int r;

                r = admin_call(a, "POST", "/v1/keks/reseal", body, &reply, e);
                if (r < 0)
                        return r;
                p->resealed += (uint64_t) json_integer_value(json_object_get(reply, "resealed"));
                (void) json_array_extend(p->failed, json_object_get(reply, "failed"));
                tell(p);

                (void) json_object_set(body, "cursor", json_object_get(reply, "next_cursor"));
                next = json_text_at(body, "cursor");
        } while (next[0]);
        return 0;
}

static int kek_reseal(char *args[], size_t n, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(json_decrefp) json_t *result = NULL, *failures = json_array();
        Progress p = { .failed = failures };
        json_t *failure;
        size_t i;
        int r;

        r = admin_open(&a, e);
        if (r >= 0)
                r = count_others(a, &p.all, e);
        if (r >= 0)
                r = reseal_all(a, &p, e);
        if (r < 0)
                return r;

        result = json_pack("{s:I, s:O}", "resealed", (json_int_t) p.resealed, "failed", failures);
        output_result(result, "%" PRIu64 " sealed anew.", p.resealed);
        json_array_foreach(failures, i, failure)
                output_note("not sealed anew: %s", json_text_at(failure, "detail"));
        if (json_array_size(failures) == 0)
                return 0;
        return error_set(e, -CSIGN_E_KEY_CORRUPT,
                         "%zu sealed keys did not open and stay as they "
                         "were",
                         json_array_size(failures));
}

static const Verb verb_kek_reseal = {
        .name = "kek reseal",
        .args = "",
        .help = "seals every key anew under the primary KEK",
        .example = "csign kek reseal",
        .flags = VERB_ADMIN | VERB_JSON,
        .run = kek_reseal,
};

const Verb verb_kek = {
        .name = "kek",
        .args = "list|reseal",
        .help = "the key encryption keys",
        .verbs = (const Verb *const[]){ &verb_kek_list, &verb_kek_reseal, NULL },
};
