/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens and API keys to principals. */

#include "service/authn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "service/clock.h"
#include "service/db/queries.h"
#include "service/last-used.h"
#include "service/metrics.h"

/* ---- the secret's text ---- */

static bool has_form(const char *text, const char *prefix) {
        static const char digits[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

        return strncmp(text, prefix, 4) == 0 && strlen(text) == BEARER_TEXT_LEN &&
               strspn(text + 4, digits) == BEARER_TEXT_LEN - 4;
}

void bearer_parse(const char *authorization, Bearer *ret) {
        const char *text = authorization;

        *ret = (Bearer){ .kind = BEARER_NONE };
        if (!text)
                return;

        ret->kind = BEARER_BAD;
        if (strncasecmp(text, "Bearer ", 7) != 0)
                return;
        text += 7;
        if (has_form(text, "cst_"))
                ret->kind = BEARER_TOKEN;
        else if (has_form(text, "csk_"))
                ret->kind = BEARER_API_KEY;
        else
                return;
        sha256(text, BEARER_TEXT_LEN, ret->hash);
}

int bearer_new(const char *prefix, Secret *ret_text, uint8_t ret_hash[static SHA256_SIZE],
               Error *e) {
        _cleanup_(buf_done) Buf text = {};
        uint8_t raw[32];
        int r;

        if (RAND_priv_bytes(raw, sizeof(raw)) != 1)
                return error_set(e, -EIO, "no random bytes");

        r = buf_reserve(&text, BEARER_TEXT_LEN + 1);
        if (r >= 0)
                r = buf_append_str(&text, prefix);
        if (r >= 0)
                r = buf_append_base64url(&text, raw, sizeof(raw));
        if (r >= 0)
                r = secret_new(ret_text, text.data, text.len);
        if (r >= 0)
                sha256(text.data, text.len, ret_hash);

        erase(raw, sizeof(raw));
        if (text.data)
                erase(text.data, text.len);
        return r < 0 ? r : 0;
}

/* ---- rows ---- */

static void take_ids(DbRow *row, Principal *p) {
        snprintf(p->id, sizeof(p->id), "%s", db_row_text(row, 0));
        snprintf(p->name, sizeof(p->name), "%s", db_row_text(row, 1));
        snprintf(p->home, sizeof(p->home), "%s", db_row_text(row, 2));
        snprintf(p->tsg, sizeof(p->tsg), "%s", db_row_text(row, 2));
}

/* Columns of SQL_USER_BY_API_KEY. */
static int take_user(DbRow *row, void *userdata) {
        Principal *p = userdata;

        take_ids(row, p);
        snprintf(p->tsg, sizeof(p->tsg), "%s", db_row_text(row, 3));
        p->expires = (uint64_t) db_row_int(row, 4);
        p->may_sign = strcmp(db_row_text(row, 5), "administer") != 0;
        p->may_administer = strcmp(db_row_text(row, 5), "sign") != 0;
        snprintf(p->api_key, sizeof(p->api_key), "%s", db_row_text(row, 6));
        atomic_init(&p->api_key_used, (uint64_t) db_row_int(row, 7));
        return 0;
}

static void end_with(Principal *p, uint64_t expires) {
        if (expires < p->expires)
                p->expires = expires;
}

/* Columns of SQL_TOKEN_BY_HASH.  A token lives no longer than its account, nor than the key that it
 * is bound to. */
static int take_token(DbRow *row, void *userdata) {
        Principal *p = userdata;
        const uint8_t *thumbprint;
        Error ignored = {};
        size_t len;

        take_ids(row, p);
        thumbprint = db_row_blob(row, 3, &len);
        if (len != SHA256_SIZE)
                return -EBADMSG;
        memcpy(p->thumbprint, thumbprint, SHA256_SIZE);

        p->expires = (uint64_t) db_row_int(row, 4);
        end_with(p, (uint64_t) db_row_int(row, 6));
        end_with(p, (uint64_t) db_row_int(row, 7));
        if (strcmp(db_row_text(row, 5), "enabled") != 0)
                p->expires = 1;
        return networks_parse(&p->networks, db_row_text(row, 8), &ignored) < 0 ? -EBADMSG : 0;
}

static int read_rows(DbConn *c, const Bearer *b, Principal *p, Error *e) {
        bool token = b->kind == BEARER_TOKEN;
        int r;

        r = db_query(c, token ? SQL_TOKEN_BY_HASH : SQL_USER_BY_API_KEY,
                     DB_ARGS(DB_BLOB(b->hash, SHA256_SIZE)), token ? take_token : take_user, p, e);
        if (r < 0)
                return r;
        if (r == 0)
                return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, "credential",
                                      token ? "the access token is not known, or no longer"
                                            : "the API key is not known, or no longer");
        r = principal_load(c, p, e);
        if (r >= 0 && !tsg_chain_has(&p->above, p->home))
                return error_set_rule(
                        e, -CSIGN_E_UNAUTHENTICATED, "credential",
                        "the API key is limited to a TSG that is not below its user's any more");
        return r;
}

static int read_principal(const Authn *a, const Bearer *b, Principal **ret, Error *e) {
        _cleanup_(principal_unrefp) Principal *p = NULL;
        DbConn *c;
        int r;

        METRIC_ADD(token_verifications, 1);
        p = principal_new(b->kind == BEARER_TOKEN ? PRINCIPAL_ACCOUNT : PRINCIPAL_USER);
        if (!p)
                return -ENOMEM;

        r = db_acquire(a->db, &c, e);
        if (r < 0)
                return r;
        r = read_rows(c, b, p, e);
        db_release(a->db, c);
        if (r < 0)
                return r;
        *ret = TAKE(p);
        return 0;
}

/* ---- the question ---- */

static int find_principal(const Authn *a, const Bearer *b, Principal **ret, Error *e) {
        uint64_t generation = cache_generation(a->cache);
        Principal *p = NULL;
        CacheObject *o;
        int r;

        o = cache_get(a->cache, b->hash, sizeof(b->hash));
        if (o) {
                *ret = container_of(o, Principal, object);
                return 0;
        }

        r = read_principal(a, b, &p, e);
        if (r < 0)
                return r;
        cache_put(a->cache, generation, b->hash, sizeof(b->hash), &p->object);
        *ret = p;
        return 0;
}

static int check_time(const Principal *p, Error *e) {
        bool token = p->type == PRINCIPAL_ACCOUNT;

        if ((p->expires == 0 && !token) || p->expires > clock_now())
                return 0;
        return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED,
                              token ? "token-expired" : "api-key-expired",
                              token ? "the access token has expired" : "the API key has expired");
}

static int check_binding(const Principal *p, const uint8_t *client_key, Error *e) {
        if (!client_key || CRYPTO_memcmp(client_key, p->thumbprint, SHA256_SIZE) != 0)
                return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, "token-binding",
                                      "the access token belongs to another TLS client key");
        return 0;
}

int authn_principal(const Authn *a, const Bearer *b, const uint8_t *client_key, Principal **ret,
                    Error *e) {
        _cleanup_(principal_unrefp) Principal *p = NULL;
        int r;

        if (b->kind == BEARER_NONE)
                return error_set_rule(e, -CSIGN_E_UNAUTHENTICATED, "credential",
                                      "the request has no Authorization header");
        if (b->kind == BEARER_BAD)
                return error_set_rule(
                        e, -CSIGN_E_UNAUTHENTICATED, "credential",
                        "the Authorization header is not 'Bearer' and a token or API key");

        r = find_principal(a, b, &p, e);
        if (r >= 0)
                r = check_time(p, e);
        if (r >= 0 && p->type == PRINCIPAL_ACCOUNT)
                r = check_binding(p, client_key, e);
        if (r < 0)
                return r;
        if (p->api_key[0] && a->last_used)
                last_used_note(a->last_used, p, clock_now());
        *ret = TAKE(p);
        return 0;
}
