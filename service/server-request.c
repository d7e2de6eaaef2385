/* SPDX-License-Identifier: Apache-2.0 */

#include "service/server-request.h"

#include <ctype.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/clock.h"
#include "service/revision.h"
#include "service/route.h"
#include "service/tls.h"

#define TIMEOUT_MAX 86400 /* seconds */

static const char *method_name(struct evhttp_request *http) {
        switch (evhttp_request_get_command(http)) {
        case EVHTTP_REQ_GET:
                return "GET";
        case EVHTTP_REQ_POST:
                return "POST";
        case EVHTTP_REQ_PATCH:
                return "PATCH";
        case EVHTTP_REQ_HEAD:
                return "HEAD";
        case EVHTTP_REQ_PUT:
                return "PUT";
        case EVHTTP_REQ_DELETE:
                return "DELETE";
        case EVHTTP_REQ_OPTIONS:
                return "OPTIONS";
        default:
                return "this method";
        }
}

/* Hashes the bearer secret and wipes the copy that evhttp keeps. */
static void take_bearer(Request *req, struct evkeyvalq *headers) {
        const char *value = evhttp_find_header(headers, "Authorization");

        bearer_parse(value, &req->bearer);
        if (value)
                erase((char *) value, strlen(value));
}

static void take_timeout(Request *req, const char *value) {
        char *end;
        unsigned long n;

        if (!value)
                return;
        n = isdigit((unsigned char) value[0]) ? strtoul(value, &end, 10) : 0;
        if (n == 0 || *end || n > TIMEOUT_MAX)
                error_set(&req->error, -CSIGN_E_BAD_REQUEST,
                          "Csign-Timeout is not a number of seconds from 1 to %d", TIMEOUT_MAX);
        else
                req->deadline = clock_now() + n * USEC_PER_SEC;
}

static void take_headers(Request *req, struct evhttp_request *http) {
        struct evkeyvalq *headers = evhttp_request_get_input_headers(http);
        const char *id = evhttp_find_header(headers, "X-Request-Id");
        const char *type = evhttp_find_header(headers, "Content-Type");
        const char *caller = evhttp_find_header(headers, "Csign-Caller");
        const char *timeout = evhttp_find_header(headers, "Csign-Timeout");

        if (id && id_is_valid(id, "req"))
                snprintf(req->request_id, sizeof(req->request_id), "%s", id);
        snprintf(req->content_type, sizeof(req->content_type), "%s", type ? type : "");
        take_bearer(req, headers);
        take_timeout(req, timeout);
        if (caller && buf_append_str(&req->caller, caller) < 0)
                error_set(&req->error, -ENOMEM, "no memory for the headers");
}

/* An Item of structured fields (RFC 9651): a string in quotes; plain is fine too. */
static int take_idempotency_key(Request *req, struct evhttp_request *http) {
        const char *value =
                evhttp_find_header(evhttp_request_get_input_headers(http), "Idempotency-Key");
        size_t n = value ? strlen(value) : 0;
        char key[IDEMPOTENCY_KEY_MAX + 1];

        if (!value || req->route->key == KEY_IGNORED)
                return 0;
        if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
                value++;
                n -= 2;
        }
        snprintf(key, sizeof(key), "%.*s", (int) n, value);
        if (n > IDEMPOTENCY_KEY_MAX || !idempotency_key_is_valid(key))
                return error_set(&req->error, -CSIGN_E_BAD_REQUEST,
                                 "Idempotency-Key is not 1 to %d of a-z A-Z 0-9 - _ . :",
                                 IDEMPOTENCY_KEY_MAX);
        memcpy(req->idempotency_key, key, sizeof(key));
        return 0;
}

/* A condition that nobody would look at is refused, but where there is nothing to change. */
static int take_if_match(Request *req, struct evhttp_request *http) {
        const char *value = evhttp_find_header(evhttp_request_get_input_headers(http), "If-Match");

        if (!value || strcmp(req->route->method, "GET") == 0)
                return 0;
        if (!req->route->if_match)
                return error_set(&req->error, -CSIGN_E_BAD_REQUEST,
                                 "If-Match has no meaning here: it is for changes of one thing");
        return revision_parse(value, &req->if_match, &req->error);
}

static int take_body(Request *req, struct evhttp_request *http) {
        struct evbuffer *in = evhttp_request_get_input_buffer(http);
        size_t len = evbuffer_get_length(in), max = req->route->body_max;
        int r;

        if (max == BODY_MESSAGE)
                max = req->service->config.message_max;
        if (len > max)
                return error_set(&req->error, -CSIGN_E_TOO_LARGE,
                                 max > 0 ? "the body has %zu bytes, and may have %zu"
                                         : "this request takes no body",
                                 len, max);
        if (len == 0)
                return 0;
        req->body = BUF_MAX(len);
        r = buf_reserve(&req->body, len);
        if (r < 0)
                return error_set(&req->error, r, "no memory for the body");
        evbuffer_remove(in, req->body.data, len);
        req->body.data[len] = '\0';
        req->body.len = len;
        return 0;
}

static void take_connection(Request *req, struct evhttp_request *http) {
        struct evhttp_connection *connection = evhttp_request_get_connection(http);
        SSL *ssl = bufferevent_openssl_get_ssl(evhttp_connection_get_bufferevent(connection));
        char *address = NULL;
        uint16_t port;

        evhttp_connection_get_peer(connection, &address, &port);
        snprintf(req->address, sizeof(req->address), "%s", address ? address : "");
        req->has_client_key = tls_client_key(ssl, req->client_key);
}

static int check_rate(Request *req) {
        unsigned seconds = rates_request_by_address(req->service->rates, req->address);

        if (seconds == 0)
                return 0;
        error_set_rule(&req->error, -CSIGN_E_RATE_LIMITED, "address-rate",
                       "too many requests come from %s", req->address);
        req->error.retry_after = seconds;
        return -CSIGN_E_RATE_LIMITED;
}

/* All that a worker needs, copied out of evhttp.  A failure is left in req->error. */
void server_request_take(Request *req, struct evhttp_request *http) {
        const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(http);
        const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
        const char *query = uri ? evhttp_uri_get_query(uri) : NULL;
        int r;

        take_connection(req, http);
        take_headers(req, http);
        if (check_rate(req) < 0)
                return;

        r = route_find(method_name(http), path ? path : "", req->params, &req->route, &req->error);
        if (r == -EOPNOTSUPP)
                route_methods(path, req->allow);
        if (r >= 0)
                r = take_idempotency_key(req, http);
        if (r >= 0)
                r = take_if_match(req, http);
        if (r >= 0)
                r = take_body(req, http);
        if (r >= 0 && query)
                (void) form_parse(query, strlen(query), &req->query, &req->error);
}
