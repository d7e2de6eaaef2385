/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/ask-account.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/pair.h"
#include "lib/http.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/token-request.h"

struct AccountClient {
        HttpClient *http;
        char token[TOKEN_MAX];
};

/* ---- one exchange ---- */

static int call(HttpClient *http, const char *method, const char *path, const char *bearer,
                const json_t *body, json_t **ret, Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {};
        char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
        int r;

        if (body && !text)
                return -ENOMEM;
        r = http_call(http,
                      &(HttpRequest){ .method = method,
                                      .path = path,
                                      .bearer = bearer,
                                      .content_type = text ? "application/json" : NULL,
                                      .body = text,
                                      .body_len = text ? strlen(text) : 0 },
                      &answer, e);
        if (text)
                erase(text, strlen(text)); /* it may have a code */
        free(text);
        return r < 0 ? r : json_parse(answer.body.data, answer.body.len, ret, e);
}

static int get_token(AccountClient *a, const Credential *c, const char *client_id,
                     const char *issuer, Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {};
        uint32_t expires_in;
        int r;

        r = token_request(a->http, c, client_id, issuer, time(NULL), 0, &answer, e);
        if (r >= 0)
                r = http_response_error(&answer, e);
        if (r >= 0)
                r = token_parse(answer.body.data, answer.body.len, a->token, &expires_in, e);
        if (answer.body.data)
                erase(answer.body.data, answer.body.len);
        return r;
}

/* ---- the account ---- */

int account_client_open(AccountClient **ret, const char *service, const char *ca_file,
                        const Credential *c, const char *client_id, Error *e) {
        _cleanup_(account_client_closep) AccountClient *a = calloc(1, sizeof(*a));
        int r;

        if (!a)
                return -ENOMEM;
        r = http_client_new(&a->http,
                            &(HttpOptions){ .base_url = service,
                                            .ca_file = ca_file,
                                            .client_key = c->key,
                                            .client_cert = c->cert },
                            e);
        if (r >= 0)
                r = get_token(a, c, client_id, service, e);
        if (r < 0)
                return r;
        *ret = TAKE(a);
        return 0;
}

void account_client_close(AccountClient *a) {
        if (!a)
                return;
        http_client_free(a->http);
        erase(a->token, sizeof(a->token));
        free(a);
}

int account_client_call(AccountClient *a, const char *method, const char *path, const json_t *body,
                        json_t **ret, Error *e) {
        return call(a->http, method, path, a->token, body, ret, e);
}

/* ---- enrollment ---- */

/* Over the code, by the key that it is to register: its subject is the code's id. */
static int enrollment_body(const char *service, EVP_PKEY *key, const char *code, json_t **ret,
                           Error *e) {
        _cleanup_(credential_freep) Credential *c = NULL;
        _cleanup_(buf_done) Buf public_key = {}, proof = {};
        char id[ID_MAX];
        int r;

        snprintf(id, sizeof(id), "%.*s", (int) strcspn(code, "."), code);
        r = credential_new(&c, key, "the new key", id, e);
        if (r >= 0)
                r = token_assertion(c, id, service, code, time(NULL), &proof, e);
        if (r >= 0)
                r = pair_public(key, &public_key);
        if (r < 0)
                return r;
        *ret = json_pack("{s:s, s:s, s:s}", "code", code, "public_key", buf_str(&public_key),
                         "proof", buf_str(&proof));
        return *ret ? 0 : -ENOMEM;
}

int account_enroll(const char *service, const char *ca_file, EVP_PKEY *key, const char *code,
                   json_t **ret, Error *e) {
        _cleanup_(http_client_freep) HttpClient *http = NULL;
        _cleanup_(json_decrefp) json_t *body = NULL;
        int r;

        r = enrollment_body(service, key, code, &body, e);
        if (r >= 0)
                r = http_client_new(&http,
                                    &(HttpOptions){ .base_url = service, .ca_file = ca_file }, e);
        return r < 0 ? r : call(http, "POST", "/v1/enrollments", NULL, body, ret, e);
}
