/* SPDX-License-Identifier: Apache-2.0 */
/* The token endpoint: client_credentials with private_key_jwt (RFC 7523), tokens bound to the TLS
 * client key (RFC 8705). */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "lib/ossl.h"
#include "service/accounts.h"
#include "service/api.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/jwt.h"
#include "service/metrics.h"

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

/* ---- the request ---- */

static int read_form(Request *req, Form *form, Error *e) {
        static const char type[] = "application/x-www-form-urlencoded";
        const char *grant;
        int r;

        if (strncasecmp(req->content_type, type, strlen(type)) != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "the body must be %s", type);
        r = form_parse(buf_str(&req->body), req->body.len, form, e);
        if (r >= 0)
                r = form_check_names(
                        form, "grant_type client_assertion_type client_assertion client_id scope",
                        e);
        if (r < 0)
                return r;

        grant = form_get(form, "grant_type");
        if (!grant)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'grant_type' is missing");
        if (strcmp(grant, "client_credentials") != 0)
                return error_set_rule(e, -CSIGN_E_BAD_REQUEST, "grant-type",
                                      "the grant type is client_credentials, not '%.64s'", grant);
        if (strcmp(form_get(form, "client_assertion_type") ?: "", ASSERTION_TYPE) != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "'client_assertion_type' must be " ASSERTION_TYPE);
        if (!form_get(form, "client_assertion"))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'client_assertion' is missing");
        return 0;
}

static int check_client_id(const Form *form, const Jwt *j, Error *e) {
        const char *id = form_get(form, "client_id");

        if (!id_is_valid(j->iss, "acc"))
                return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, "assertion-issuer",
                                      "the assertion's iss is not a client id (acc_…)");
        if (id && strcmp(id, j->iss) != 0)
                return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, "assertion-issuer",
                                      "'client_id' is not the assertion's iss");
        return 0;
}

/* ---- the proof ---- */

static int check_signature(const Jwt *j, const AccountLogin *login, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        const unsigned char *p = login->spki.data;

        key = d2i_PUBKEY(NULL, &p, (long) login->spki.len);
        if (!key) {
                ERR_clear_error();
                return error_set(e, -EBADMSG, "the account's stored key does not decode");
        }
        METRIC_ADD(assertion_verifications, 1);
        return jwt_verify(j, key, e);
}

static int check_account(const AccountLogin *login, uint64_t now, Error *e) {
        if (!login->enabled)
                return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, "account-state",
                                      "account '%s' is disabled", login->path);
        if (login->expires <= now)
                return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, "account-state",
                                      "account '%s', or its key, has expired", login->path);
        return 0;
}

/* The account whose key the TLS connection and the assertion both prove. */
static int authenticate(Request *req, const Form *form, Jwt *j, AccountLogin *login, Error *e) {
        uint64_t now = clock_now();
        int r;

        if (!req->has_client_key)
                return error_set_rule(
                        e, -CSIGN_E_UNAUTHENTICATED, "client-key",
                        "the TLS client showed no certificate: tokens are bound to one");
        r = jwt_parse(form_get(form, "client_assertion"), j, e);
        if (r >= 0)
                r = check_client_id(form, j, e);
        if (r >= 0)
                snprintf(req->claimed, sizeof(req->claimed), "%.39s", j->iss);
        if (r >= 0)
                r = account_login(req->service->db, j->iss, req->client_key, login, e);
        if (r >= 0)
                r = check_signature(j, login, e);
        if (r >= 0)
                r = jwt_check_claims(j, req->service->config.issuer, now / USEC_PER_SEC, e);
        if (r >= 0)
                r = check_account(login, now, e);
        if (r >= 0)
                r = policy_check_network(login->path, &login->networks, req->address, e);
        return r;
}

/* ---- the token ---- */

typedef struct NewToken {
        const Jwt *assertion;
        uint8_t hash[SHA256_SIZE];
        uint8_t client_key[SHA256_SIZE];
        uint64_t issued, expires;
} NewToken;

static int insert_token(DbConn *c, void *userdata, Error *e) {
        const NewToken *t = userdata;
        const Jwt *j = t->assertion;
        int r;

        r = db_exec(c, SQL_ASSERTION_EXPIRE, DB_ARGS(DB_INT(t->issued)), e);
        if (r >= 0)
                r = db_exec(c, SQL_TOKEN_EXPIRE, DB_ARGS(DB_INT(t->issued)), e);
        if (r >= 0)
                r = db_exec(c, SQL_ASSERTION_INSERT,
                            DB_ARGS(DB_TEXT(j->iss), DB_TEXT(j->jti),
                                    DB_INT((j->exp + JWT_LEEWAY_SEC + 1) * USEC_PER_SEC)),
                            e);
        if (r == -EEXIST)
                return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, "assertion-replay",
                                      "this assertion (jti) was used before");
        if (r >= 0)
                r = account_used(c, j->iss, t->client_key, t->issued, e);
        if (r < 0)
                return r;
        return db_exec(c, SQL_TOKEN_INSERT,
                       DB_ARGS(DB_BLOB(t->hash, SHA256_SIZE), DB_TEXT(j->iss),
                               DB_BLOB(t->client_key, SHA256_SIZE), DB_INT(t->issued),
                               DB_INT(t->expires)),
                       e);
}

static int issue(Request *req, const Jwt *j, const AccountLogin *login, Secret *ret_token,
                 Error *e) {
        _cleanup_(audit_record_done) AuditRecord rec = {};
        ChangeEvent event = request_event(req, "token.issue");
        Principal account = { .type = PRINCIPAL_ACCOUNT };
        NewToken t = { .assertion = j, .issued = clock_now() };
        AuditJob job = {
                .change = insert_token, .userdata = &t, .records = &rec, .n_records = 1, .e = e
        };
        int r;

        t.expires = t.issued + TOKEN_SECONDS * USEC_PER_SEC;
        memcpy(t.client_key, req->client_key, SHA256_SIZE);
        r = bearer_new("cst_", ret_token, t.hash, e);
        if (r < 0)
                return r;

        snprintf(account.id, sizeof(account.id), "%.39s", j->iss);
        snprintf(account.name, sizeof(account.name), "%s", login->path);
        snprintf(account.tsg, sizeof(account.tsg), "%s", login->tsg);
        event.principal = &account;
        event.rule = "assertion";
        r = audit_entry_change(&rec, &event, "jti", j->jti, NULL);
        return r < 0 ? r : audit_commit(req->service->audit, &job);
}

static int write_reply(Request *req, const Secret *token) {
        JsonOut o;
        int r;

        /* At once, so that growing leaves no copy of the token behind. */
        r = buf_reserve(&req->reply, 256);
        if (r < 0)
                return r;
        o = JSON_OUT(&req->reply);
        json_begin_object(&o, NULL);
        json_out_str(&o, "access_token", (const char *) token->data);
        json_out_str(&o, "token_type", "Bearer");
        json_out_u64(&o, "expires_in", TOKEN_SECONDS);
        json_end_object(&o);
        return o.r;
}

static void login_done(AccountLogin *login) {
        buf_done(&login->spki);
}

int api_token(Request *req, Error *e) {
        _cleanup_(login_done) AccountLogin login = {};
        _cleanup_(secret_done) Secret token = {};
        _cleanup_(form_done) Form form = {};
        _cleanup_(jwt_done) Jwt j = {};
        int r;

        r = read_form(req, &form, e);
        if (r >= 0)
                r = authenticate(req, &form, &j, &login, e);
        if (r >= 0)
                r = issue(req, &j, &login, &token, e);
        if (r < 0)
                return r;
        METRIC_ADD(token_issues, 1);
        return write_reply(req, &token);
}
