/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An HTTPS client on libcurl: one HttpClient is one warm connection, used by one thread at a time.
 * It speaks JSON to csign-service and turns problem documents (RFC 9457) back into errors.
 * Never linked into provider or pkcs11. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <openssl/types.h>

#include "lib/buf.h"
#include "lib/error.h"

typedef struct HttpOptions {
        const char *base_url; /* "https://host:port", no path */
        const char *ca_file;  /* PEM; NULL: the system's */
        const char *pins; /* "sha256//base64;…": the server's key is one of them.  Without a ca_file
                             that alone is asked, else both are. */
        const char *proxy;         /* "http://host:port", or socks5h, https; NULL or "": none */
        bool proxy_of_environment; /* HTTPS_PROXY and NO_PROXY are believed, if proxy is NULL */
        EVP_PKEY *client_key;      /* with client_cert, or both NULL; referenced, not owned */
        X509 *client_cert;
        uint64_t connect_timeout_usec; /* 0: 5 s */
        const char *user_agent;        /* "csign-sidecar/1.0" */
} HttpOptions;

typedef struct HttpClient HttpClient;

int http_client_new(HttpClient **ret, const HttpOptions *o, Error *e);
void http_client_free(HttpClient *c);
DEFINE_CLEANUP(HttpClient, http_client_free)

typedef struct HttpRequest {
        const char *method;       /* "GET", "POST", "PATCH", "DELETE" */
        const char *path;         /* "/v1/keys?limit=10", already encoded */
        const char *bearer;       /* token or API key, or NULL */
        const char *content_type; /* of the body */
        const void *body;
        size_t body_len;
        const char *request_id;        /* sent as X-Request-Id, or NULL */
        const char *idempotency_key;   /* sent as Idempotency-Key, or NULL */
        const char *caller;            /* sent as Csign-Caller, or NULL */
        bool repeatable;               /* may be sent again when a kept connection turns out to be
                                          dead; a GET always may */
        const char *accept;            /* NULL: application/json */
        uint64_t timeout_usec;         /* for the whole exchange; 0: 30 s */
        uint64_t connect_timeout_usec; /* 0: the client's */
        uint64_t patience_usec; /* sent as Csign-Timeout, in seconds: the service need not begin
                                   later; 0: nothing is sent */
        bool (*given_up)(void *data); /* asked a few times a second: nobody waits any more; NULL */
        void *given_up_data;
} HttpRequest;

typedef struct HttpResponse {
        int status;
        char content_type[64];
        char etag[80];
        int64_t date; /* Unix time of the Date header; 0: none */
        Buf body;     /* at most 8 MiB */
} HttpResponse;

void http_response_done(HttpResponse *r);

/* 0 whatever the status.  -CSIGN_E_SERVICE_UNAVAILABLE (which host, and curl's reason),
 * -CSIGN_E_TIMEOUT, -CSIGN_E_BAD_ANSWER, -ECANCELED (given_up). */
int http_exchange(HttpClient *c, const HttpRequest *req, HttpResponse *ret, Error *e);

/* Whether the request of the last exchange may have reached the service, whatever came back. */
bool http_was_sent(const HttpClient *c);

/* Seconds that the last answer's Retry-After asks for, also if it names a time; 0: none. */
uint64_t http_retry_after(const HttpClient *c);

/* 0 for 2xx, else the error of the problem document (detail, rule, request id); an answer that is
 * none becomes -CSIGN_E_BAD_ANSWER, 5xx without one -CSIGN_E_SERVICE_UNAVAILABLE. */
int http_response_error(const HttpResponse *r, Error *e);

/* A problem document that came inside an answer: its error, never 0. */
int http_problem_error(const json_t *problem, Error *e);

/* http_exchange() and http_response_error(). */
int http_call(HttpClient *c, const HttpRequest *req, HttpResponse *ret, Error *e);

/* Appends a query value, percent-encoded. */
int http_escape(Buf *b, const char *value);
