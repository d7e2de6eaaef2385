/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One HTTP request as a handler sees it.  The event loop fills it in, one worker runs it from start
 * to end, and the loop sends what is in reply; a handler never touches the connection. */

#include <stdbool.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/error.h"
#include "lib/id.h"
#include "lib/json.h"
#include "service/audit/entry.h"
#include "service/authn.h"
#include "service/form.h"
#include "service/policy.h"
#include "service/principal.h"
#include "service/service.h"

#define REQUEST_PARAMS_MAX 2
#define REQUEST_PARAM_MAX  64

typedef struct Route Route;

typedef struct Request {
        Service *service;
        const Route *route; /* NULL: none fits, and error says why */
        char params[REQUEST_PARAMS_MAX][REQUEST_PARAM_MAX];
        Form query;
        char request_id[ID_MAX];
        char address[64];
        Bearer bearer;
        uint8_t client_key[SHA256_SIZE]; /* of the TLS client's SubjectPublicKeyInfo */
        bool has_client_key;
        char content_type[64];
        char idempotency_key[IDEMPOTENCY_KEY_MAX + 1]; /* "": none, or none of the route's */
        uint64_t if_match; /* the revision that a change is for; 0: any */
        Buf caller;        /* the header Csign-Caller, as it came */
        Buf body;
        uint64_t deadline; /* of clock_now(): after it the client has no use for an answer; 0: none
                            */

        Principal *principal; /* NULL on a route that asks no right */
        char claimed[ID_MAX]; /* who the caller says it is, where that is part of the request */

        int status; /* 200 unless the handler says else */
        const char *reply_type;
        char allow[64]; /* after a wrong method: those that are right */
        Buf reply;
        uint64_t etag;           /* the revision of the one object that the reply is about, or 0 */
        Idempotency idempotency; /* of a route that keeps its answers: see once.h */
        bool repeated;           /* reply is one that was given before */
        Error error;
} Request;

int request_init(Request *req, Service *service);
void request_done(Request *req);

/* Runs the route: authenticates, decides, handles; a failure becomes a problem document.  On a
 * worker. */
void request_run(Request *req);

/* The JSON body. */
int request_json(Request *req, json_t **ret, Error *e);

/* The JSON body into a struct; the strings point into *ret_root. */
int request_body(Request *req, const JsonField fields[], size_t n, void *target, json_t **ret_root,
                 Error *e);

/* ?limit= of a listing: 1 to PAGE_LIMIT_MAX, or the default 50. */
#define PAGE_LIMIT_MAX 200
int request_limit(const Request *req, unsigned *ret, Error *e);

/* ?name= as a path, normalised; "" if it is not there. */
int request_path(const Request *req, const char *name, char buf[static PATH_MAX_LEN], Error *e);
int request_number(const Request *req, const char *name, uint64_t max, uint64_t *ret,
                   Error *e); /* 0: not there */

/* Whether the caller may do this in the TSG: for handlers, whose rows have a TSG.  The route's own
 * right was checked before, but only that the caller has it somewhere. */
int request_allow(const Request *req, Right right, const char *tsg, Error *e);

/* The TSG at a path, in which the caller must have the right. */
int request_tsg(const Request *req, Right right, const char *path, Tsg *ret, Error *e);

/* Where something new goes: its path, normalised, and name; and the TSG, where the caller must have
 * the right. */
int request_place(const Request *req, Right right, const char *asked,
                  char path[static PATH_MAX_LEN], char name[static NAME_MAX_LEN + 1], Tsg *ret_tsg,
                  Error *e);

/* Commits a change with its record, and the reply if it is to be kept: then it must be complete.
 * After it the caches know nothing old. */
int request_commit(Request *req, int (*change)(DbConn *c, void *userdata, Error *e), void *userdata,
                   AuditRecord *rec, Error *e);

/* 201 and {"id": …}: what was put somewhere is there. */
int request_reply_id(Request *req, const char *id);

/* What a record of this request begins with. */
ChangeEvent request_event(const Request *req, const char *kind);
