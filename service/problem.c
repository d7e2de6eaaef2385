/* SPDX-License-Identifier: Apache-2.0 */
/* Errors to problem documents. */

#include "service/problem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "service/metrics.h"
#include "service/route.h"

/* A wrong method (EOPNOTSUPP) and a request that does not come to its end (ETIME) have a status
 * that is not in the table: to a program both are bad requests. */
static int status_of(int code) {
        if (code == -EOPNOTSUPP)
                return 405;
        return code == -ETIME ? 408 : error_info(code)->http_status;
}

static int public_code(int code) {
        return code == -EOPNOTSUPP || code == -ETIME ? -CSIGN_E_BAD_REQUEST
                                                     : error_public_code(code);
}

static bool is_ours(int code) {
        return public_code(code) == -CSIGN_E_INTERNAL;
}

static void write_members(JsonOut *o, const Error *e) {
        const ErrorInfo *info = error_info(public_code(e->code));
        char type[96];

        snprintf(type, sizeof(type), "%s%s", ERROR_URN_PREFIX, info->name);
        json_out_str(o, "type", type);
        json_out_str(o, "title", info->title);
        json_out_u64(o, "status", (uint64_t) status_of(e->code));
        json_out_str(o, "detail", is_ours(e->code) || !e->detail[0] ? info->title : e->detail);
        if (e->rule[0])
                json_out_str(o, "rule", e->rule);
        if (e->request_id[0])
                json_out_str(o, "request_id", e->request_id);
        json_out_str(o, "advice", info->advice);
        if (e->retry_after)
                json_out_u64(o, "retry_after", e->retry_after);
}

void problem_write(JsonOut *o, const char *name, const Error *e) {
        json_begin_object(o, name);
        write_members(o, e);
        json_end_object(o);
}

/* RFC 6749 section 5.2. */
static const char *oauth_word(const Error *e) {
        switch (public_code(e->code)) {
        case -CSIGN_E_UNAUTHENTICATED:
        case -CSIGN_E_BAD_CREDENTIAL:
                return "invalid_client";
        case -CSIGN_E_BAD_REQUEST:
        case -CSIGN_E_TOO_LARGE:
                return strcmp(e->rule, "grant-type") == 0 ? "unsupported_grant_type"
                                                          : "invalid_request";
        default:
                return error_info(e->code)->http_status >= 500 ? "temporarily_unavailable"
                                                               : "invalid_request";
        }
}

static void log_request(const Request *req) {
        const Error *e = &req->error;
        const char *id = req->principal ? req->principal->id : NULL;

        log_line(is_ours(e->code) ? LOG_ERROR : LOG_DETAIL, "request refused", "ERROR",
                 error_info(public_code(e->code))->name, "DETAIL",
                 e->detail[0] ? e->detail : strerror(-e->code), "RULE", e->rule, "REQUEST_ID",
                 req->request_id, "PRINCIPAL", id, "PEER", req->address, NULL);
}

void problem_reply(Request *req) {
        bool oauth = req->route && req->route->oauth;
        JsonOut o = JSON_OUT(&req->reply);

        METRIC_ADD(http_failures, 1);
        error_set_request_id(&req->error, req->request_id);
        log_request(req);

        req->status = status_of(req->error.code);
        req->reply_type = oauth ? "application/json" : "application/problem+json";

        buf_clear(&req->reply);
        json_begin_object(&o, NULL);
        if (oauth) {
                json_out_str(&o, "error", oauth_word(&req->error));
                json_out_str(&o, "error_description",
                             is_ours(req->error.code) ? error_info(req->error.code)->title
                                                      : req->error.detail);
        }
        write_members(&o, &req->error);
        json_end_object(&o);
}
