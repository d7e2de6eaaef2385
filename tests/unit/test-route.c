/* SPDX-License-Identifier: Apache-2.0 */
#include "service/route.h"

#include "tests/unit/test.h"

typedef char Params[REQUEST_PARAMS_MAX][REQUEST_PARAM_MAX];

/* The pattern with each {} filled in. */
static void fill(const char *pattern, const char *value, char *path, size_t size) {
        size_t n = 0;

        for (const char *p = pattern; *p && n + strlen(value) + 1 < size;) {
                if (*p == '{') {
                        n += (size_t) snprintf(path + n, size - n, "%s", value);
                        p = strchr(p, '}') + 1;
                } else
                        path[n++] = *p++;
        }
        path[n] = '\0';
}

static void each_route_is_found_by_its_own_path(void **state) {
        for (size_t i = 0; route_at(i); i++) {
                const Route *route = NULL;
                Params params = {};
                char path[256];
                Error e = {};

                fill(route_at(i)->pattern, "key_abc", path, sizeof(path));
                assert_int_equal(route_find(route_at(i)->method, path, params, &route, &e), 0);
                assert_ptr_equal(route, route_at(i));
                if (strchr(route->pattern, '{'))
                        assert_string_equal(params[0], "key_abc");
        }
}

/* The one property that must hold of the whole table: what needs no right is on this list. */
static void only_these_need_no_authentication(void **state) {
        static const char *const open[] = {
                "/healthz",
                "/readyz",
                "/v1/openapi.yaml",
                "/metrics",
                "/.well-known/oauth-authorization-server",
                "/v1/oauth/token",
                "/v1/enrollments",
                "/v1/authorities/{id}/crl",
                "/v1/authorities/{id}/certificate",
        };

        for (size_t i = 0; route_at(i); i++) {
                bool is_open = false;

                for (size_t k = 0; k < ELEMENTSOF(open); k++)
                        is_open = is_open || strcmp(open[k], route_at(i)->pattern) == 0;
                assert_int_equal(route_at(i)->right == RIGHT_NONE, is_open);
                assert_non_null(route_at(i)->fn);
                assert_non_null(route_at(i)->query);
        }
}

/* What is changed can be changed conditionally. */
static void each_change_heeds_if_match(void **state) {
        for (size_t i = 0; route_at(i); i++) {
                const Route *r = route_at(i);

                if (strcmp(r->method, "PATCH") == 0 || strcmp(r->method, "DELETE") == 0)
                        assert_true(r->if_match);
        }
}

static void what_is_not_in_the_table_is_refused(void **state) {
        static const struct {
                const char *method, *path;
                int expect;
        } cases[] = {
                { "GET", "", -CSIGN_E_NOT_FOUND },
                { "GET", "/", -CSIGN_E_NOT_FOUND },
                { "GET", "/v1", -CSIGN_E_NOT_FOUND },
                { "GET", "/v1/keys/", -CSIGN_E_NOT_FOUND },
                { "GET", "/v1/keys//signatures", -CSIGN_E_NOT_FOUND },
                { "GET", "/v1/keys/a/b", -CSIGN_E_NOT_FOUND },
                { "GET", "/v1/keys/%2e%2e", -CSIGN_E_NOT_FOUND },
                { "GET", "/v1/keys/a b", -CSIGN_E_NOT_FOUND },
                { "GET", "/V1/keys", -CSIGN_E_NOT_FOUND },
                { "GET", "/v1/keysx", -CSIGN_E_NOT_FOUND },
                { "DELETE", "/v1/keys", -EOPNOTSUPP },
                { "get", "/v1/keys", -EOPNOTSUPP },
                { "GET", "/v1/oauth/token", -EOPNOTSUPP },
                { "GET",
                  "/v1/keys/"
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                  -CSIGN_E_NOT_FOUND },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const Route *route = NULL;
                Params params = {};
                Error e = {};

                assert_refused(route_find(cases[i].method, cases[i].path, params, &route, &e),
                               cases[i].expect, &e);
                assert_null(route);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_route_is_found_by_its_own_path),
                cmocka_unit_test(only_these_need_no_authentication),
                cmocka_unit_test(each_change_heeds_if_match),
                cmocka_unit_test(what_is_not_in_the_table_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
