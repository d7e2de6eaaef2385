/* SPDX-License-Identifier: Apache-2.0 */
#include "service/authn.h"

#include "service/accounts.h"
#include "service/clock.h"
#include "service/db/queries.h"
#include "service/metrics.h"
#include "service/roles.h"
#include "service/users.h"
#include "tests/unit/service-state.h"
#include "tests/unit/test.h"

#define BODY "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_-"

static const uint8_t client_key[SHA256_SIZE] = { 1, 2, 3 };
static const uint8_t other_key[SHA256_SIZE] = { 1, 2, 4 };

static void bearers_have_one_form(void **state) {
        static const struct {
                const char *header;
                BearerKind expect;
        } cases[] = {
                { NULL, BEARER_NONE },
                { "Bearer cst_" BODY, BEARER_TOKEN },
                { "bearer csk_" BODY, BEARER_API_KEY },
                { "", BEARER_BAD },
                { "Bearer", BEARER_BAD },
                { "Bearer cst_" BODY "A", BEARER_BAD },
                { "Bearer cst_short", BEARER_BAD },
                { "Bearer  cst_" BODY, BEARER_BAD },
                { "Bearer csx_" BODY, BEARER_BAD },
                { "Bearer cst_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+/", BEARER_BAD },
                { "Basic cst_" BODY, BEARER_BAD },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Bearer b;

                bearer_parse(cases[i].header, &b);
                assert_int_equal(b.kind, cases[i].expect);
        }
}

static void a_new_secret_is_of_that_form(void **state) {
        _cleanup_(secret_done) Secret text = {};
        uint8_t hash[SHA256_SIZE];
        char header[128];
        Error e = {};
        Bearer b;

        assert_int_equal(bearer_new("cst_", &text, hash, &e), 0);
        assert_int_equal(text.len, BEARER_TEXT_LEN);
        snprintf(header, sizeof(header), "Bearer %s", (const char *) text.data);
        bearer_parse(header, &b);
        assert_int_equal(b.kind, BEARER_TOKEN);
        assert_memory_equal(b.hash, hash, SHA256_SIZE);
}

/* An account of acme/mobile with a token, and a user with an API key. */
typedef struct Rows {
        const State *s;
        Bearer token, api_key;
        uint64_t token_expires, account_expires, key_expires; /* 0: the account's */
} Rows;

static int insert_rows(DbConn *c, void *userdata, Error *e) {
        const Rows *rows = userdata;
        Account a = { .id = "acc_x", .name = "ci", .path = "acme/mobile/ci", .created = 1 };
        User u = { .id = "usr_x", .name = "owner", .path = "owner", .created = 1 };
        RoleBinding b = { .id = "bind_x", .role = "owner", .principal = "usr_x", .created = 1 };
        ApiKey k = { .id = "ak_x", .user = "usr_x", .name = "first", .created = 1 };
        Buf spki = { .data = (uint8_t *) "spki", .len = 4 };
        int r;

        a.expires = rows->account_expires;
        strcpy(a.tsg, rows->s->mobile.id);
        strcpy(u.tsg, rows->s->top.id);
        strcpy(b.tsg, rows->s->top.id);
        strcpy(a.keys[0].id, "ack_x");
        strcpy(a.keys[0].algorithm, "P-256");
        memcpy(a.keys[0].thumbprint, client_key, SHA256_SIZE);
        a.keys[0].expires = rows->key_expires ?: a.expires;
        r = account_insert(c, &a, e);
        if (r >= 0)
                r = account_key_insert(c, a.id, &a.keys[0], &spki, e);
        if (r >= 0)
                r = db_exec(c, SQL_TOKEN_INSERT,
                            DB_ARGS(DB_BLOB(rows->token.hash, SHA256_SIZE), DB_TEXT("acc_x"),
                                    DB_BLOB(client_key, SHA256_SIZE), DB_INT(1),
                                    DB_INT(rows->token_expires)),
                            e);
        if (r >= 0)
                r = user_insert(c, &u, e);
        if (r >= 0)
                r = user_api_key_insert(c, &k, rows->api_key.hash, e);
        if (r >= 0)
                r = role_binding_insert(c, &b, e);
        return r;
}

static Authn authn_with(State *s, Rows *rows) {
        AuditJob job = { .change = insert_rows, .userdata = rows };

        rows->s = s;
        bearer_parse("Bearer cst_" BODY, &rows->token);
        bearer_parse("Bearer csk_" BODY, &rows->api_key);
        assert_int_equal(audit_commit(s->audit, &job), 0);
        return (Authn){ .db = s->db, .cache = cache_new(64) };
}

static void a_token_is_its_clients(void **state) {
        Rows rows = { .token_expires = clock_now() + USEC_PER_DAY,
                      .account_expires = clock_now() + USEC_PER_DAY };
        Authn a = authn_with(*state, &rows);
        _cleanup_(principal_unrefp) Principal *p = NULL;
        Principal *none = NULL;
        Error e = {};

        assert_refused(authn_principal(&a, &rows.token, other_key, &none, &e),
                       -CSIGN_E_UNAUTHENTICATED, &e);
        assert_string_equal(e.rule, "token-binding");
        assert_refused(authn_principal(&a, &rows.token, NULL, &none, &e), -CSIGN_E_UNAUTHENTICATED,
                       &e);
        assert_null(none);

        assert_int_equal(authn_principal(&a, &rows.token, client_key, &p, &e), 0);
        assert_int_equal(p->type, PRINCIPAL_ACCOUNT);
        assert_string_equal(p->id, "acc_x");
        assert_string_equal(p->tsg_path, "acme/mobile");
        cache_free(a.cache);
}

static void a_token_ends_with_its_time_and_with_its_account(void **state) {
        Rows rows = { .token_expires = clock_now() + USEC_PER_DAY,
                      .account_expires = clock_now() - 1 };
        Authn a = authn_with(*state, &rows);
        Principal *none = NULL;
        Error e = {};

        assert_refused(authn_principal(&a, &rows.token, client_key, &none, &e),
                       -CSIGN_E_UNAUTHENTICATED, &e);
        assert_string_equal(e.rule, "token-expired");
        cache_free(a.cache);
}

static int disable(DbConn *c, void *userdata, Error *e) {
        return account_change(c, "acc_x", &(AccountChange){ .state = "disabled" }, e);
}

static void a_disabled_account_loses_its_tokens(void **state) {
        Rows rows = { .token_expires = clock_now() + USEC_PER_DAY,
                      .account_expires = clock_now() + USEC_PER_DAY };
        Authn a = authn_with(*state, &rows);
        AuditJob job = { .change = disable };
        Principal *p = NULL;
        State *s = *state;
        Error e = {};

        assert_int_equal(authn_principal(&a, &rows.token, client_key, &p, &e), 0);
        principal_unref(p);
        assert_int_equal(audit_commit(s->audit, &job), 0);
        cache_bump(a.cache);
        assert_refused(authn_principal(&a, &rows.token, client_key, &p, &e),
                       -CSIGN_E_UNAUTHENTICATED, &e);
        cache_free(a.cache);
}

static void an_api_key_is_a_user_on_any_connection(void **state) {
        Rows rows = { .token_expires = 1, .account_expires = 1 };
        Authn a = authn_with(*state, &rows);
        _cleanup_(principal_unrefp) Principal *p = NULL;
        Error e = {};

        assert_int_equal(authn_principal(&a, &rows.api_key, NULL, &p, &e), 0);
        assert_int_equal(p->type, PRINCIPAL_USER);
        assert_int_equal(p->n_bindings, 1);
        assert_string_equal(p->bindings[0].role, "owner");
        assert_int_equal(p->bindings[0].tsg.n, 1);
        assert_true(p->may_sign && p->may_administer);
        assert_string_equal(p->tsg_path, "");
        cache_free(a.cache);
}

static void the_database_is_asked_once(void **state) {
        Rows rows = { .token_expires = clock_now() + USEC_PER_DAY,
                      .account_expires = clock_now() + USEC_PER_DAY };
        Authn a = authn_with(*state, &rows);
        uint64_t before = metrics.token_verifications;
        Error e = {};

        for (int i = 0; i < 10; i++) {
                Principal *p = NULL;

                assert_int_equal(authn_principal(&a, &rows.token, client_key, &p, &e), 0);
                principal_unref(p);
        }
        assert_true(metrics.token_verifications - before == 1);
        cache_free(a.cache);
}

static void what_is_unknown_is_not_remembered(void **state) {
        Rows rows = { .token_expires = 1, .account_expires = 1 };
        Authn a = authn_with(*state, &rows);
        Principal *none = NULL;
        Error e = {};
        Bearer b;

        bearer_parse("Bearer cst_BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_-", &b);
        assert_refused(authn_principal(&a, &b, client_key, &none, &e), -CSIGN_E_UNAUTHENTICATED,
                       &e);
        assert_null(cache_get(a.cache, b.hash, sizeof(b.hash)));
        cache_free(a.cache);
}

int main(void) {
#define WITH_STATE(f) cmocka_unit_test_setup_teardown(f, state_setup, state_teardown)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(bearers_have_one_form),
                cmocka_unit_test(a_new_secret_is_of_that_form),
                WITH_STATE(a_token_is_its_clients),
                WITH_STATE(a_token_ends_with_its_time_and_with_its_account),
                WITH_STATE(a_disabled_account_loses_its_tokens),
                WITH_STATE(an_api_key_is_a_user_on_any_connection),
                WITH_STATE(the_database_is_asked_once),
                WITH_STATE(what_is_unknown_is_not_remembered),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
