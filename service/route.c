/* SPDX-License-Identifier: Apache-2.0 */
/* Method and path to handler. */

#include "service/route.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "service/api.h"

#define SMALL ((size_t) 64 * 1024)
#define BATCH ((size_t) 256 * 1024)
#define CHAIN ((size_t) 256 * 1024) /* eight certificates of 16 KiB, in base64, in JSON */

/* clang-format off */
static const Route routes[] = {
        { "GET",   "/healthz",                                RIGHT_NONE,            api_health,         0,            "" },
        { "GET",   "/readyz",                                 RIGHT_NONE,            api_ready,          0,            "" },
        { "GET",   "/v1/openapi.yaml",                        RIGHT_NONE,            api_openapi,        0,            "" },
        { "GET",   "/metrics",                                RIGHT_NONE,            api_metrics,        0,            "" },
        { "GET",   "/.well-known/oauth-authorization-server", RIGHT_NONE,            api_oauth_metadata, 0,            "" },
        { "POST",  "/v1/oauth/token",                         RIGHT_NONE,            api_token,          SMALL,        "", .oauth = true },

        { "POST",  "/v1/signatures",                          RIGHT_SELF,            api_sign_many,      BATCH,        "", .key = KEY_OF_HANDLER },
        { "POST",  "/v1/keys/{id}/signatures",                RIGHT_SELF,            api_sign,           SMALL,        "", .key = KEY_OF_HANDLER },

        { "POST",  "/v1/keys/{id}/messages",                  RIGHT_SELF,            api_sign_message,   BODY_MESSAGE, "version scheme", .key = KEY_OF_HANDLER },

        { "GET",   "/v1/whoami",                              RIGHT_SELF,            api_whoami,         0,            "" },
        { "GET",   "/v1/keys",                                RIGHT_SELF,            api_key_list,       0,            "prefix label state limit cursor" },
        { "GET",   "/v1/keys/resolve",                        RIGHT_SELF,            api_key_resolve,    0,            "path version" },
        { "GET",   "/v1/keys/{id}",                           RIGHT_SELF,            api_key_get,        0,            "version" },
        { "POST",  "/v1/keys",                                RIGHT_WRITE(KEYS),     api_key_create,     SMALL,        "", .key = KEY_OF_REQUEST },
        { "PATCH", "/v1/keys/{id}",                           RIGHT_WRITE(KEYS),     api_key_change,     SMALL,        "", .if_match = true },
        { "POST",  "/v1/keys/{id}/destruction",               RIGHT_WRITE(KEYS),     api_destruction_create, SMALL,    "", .key = KEY_OF_REQUEST, .if_match = true },
        { "DELETE", "/v1/keys/{id}/destruction",              RIGHT_WRITE(KEYS),     api_destruction_cancel, 0,        "", .if_match = true },
        { "GET",   "/v1/keys/{id}/versions",                  RIGHT_SELF,            api_version_list,   0,            "limit cursor" },
        { "POST",  "/v1/keys/{id}/versions",                  RIGHT_WRITE(KEYS),     api_version_create, SMALL,        "", .key = KEY_OF_REQUEST, .if_match = true },
        { "PATCH", "/v1/keys/{id}/versions/{n}",              RIGHT_WRITE(KEYS),     api_version_change, SMALL,        "", .if_match = true },
        { "GET",   "/v1/authorities",                         RIGHT_SELF,            api_authorities,    0,            "tsg" },
        { "POST", "/v1/authorities",                              RIGHT_WRITE(CERTIFICATES),api_authority_create,SMALL,        "", .key = KEY_OF_REQUEST },
        { "PATCH","/v1/authorities/{id}",                         RIGHT_WRITE(CERTIFICATES),api_authority_change,SMALL,        "", .if_match = true },
        { "GET",  "/v1/authorities/{id}/crl",                     RIGHT_NONE,            api_authority_crl,  0,            "" },
        { "GET",  "/v1/authorities/{id}/certificate",             RIGHT_NONE,            api_authority_certificate,0,            "" },

        { "GET",  "/v1/certificates",                             RIGHT_VIEW(CERTIFICATES),api_certificate_list,0,            "key expires_within limit cursor" },
        { "GET",  "/v1/certificates/{id}",                        RIGHT_VIEW(CERTIFICATES),api_certificate_get,0,            "" },
        { "POST", "/v1/certificates/{id}/revocation",             RIGHT_WRITE(CERTIFICATES),api_certificate_revoke,SMALL,        "", .key = KEY_OF_REQUEST, .if_match = true },
        { "GET",  "/v1/keys/{id}/versions/{n}/csr",               RIGHT_WRITE(CERTIFICATES),api_csr_get,        0,            "" },
        { "POST", "/v1/keys/{id}/versions/{n}/csr",               RIGHT_WRITE(CERTIFICATES),api_csr_create,     SMALL,        "" },
        { "POST", "/v1/keys/{id}/versions/{n}/certificates",      RIGHT_WRITE(CERTIFICATES),api_certificate_create,CHAIN,        "", .key = KEY_OF_REQUEST, .if_match = true },

        { "GET",   "/v1/tsgs",                                RIGHT_VIEW(TSGS),      api_tsg_list,       0,            "limit cursor" },
        { "GET",   "/v1/tsgs/resolve",                        RIGHT_VIEW(TSGS),      api_tsg_resolve,    0,            "path" },
        { "GET",   "/v1/tsgs/{id}",                           RIGHT_VIEW(TSGS),      api_tsg_get,        0,            "" },
        { "POST",  "/v1/tsgs",                                RIGHT_WRITE(TSGS),     api_tsg_create,     SMALL,        "", .key = KEY_OF_REQUEST },
        { "PATCH", "/v1/tsgs/{id}",                           RIGHT_WRITE(TSGS),     api_tsg_change,     SMALL,        "", .if_match = true },
        { "DELETE", "/v1/tsgs/{id}",                          RIGHT_WRITE(TSGS),     api_tsg_delete,     0,            "", .if_match = true },

        { "GET",   "/v1/accounts",                            RIGHT_VIEW(ACCOUNTS),  api_account_list,   0,            "limit cursor" },
        { "GET",   "/v1/accounts/{id}",                       RIGHT_VIEW(ACCOUNTS),  api_account_get,    0,            "" },
        { "POST",  "/v1/accounts",                            RIGHT_WRITE(ACCOUNTS), api_account_create, SMALL,        "", .key = KEY_OF_REQUEST },
        { "PATCH", "/v1/accounts/{id}",                       RIGHT_WRITE(ACCOUNTS), api_account_change, SMALL,        "", .if_match = true },

        { "DELETE", "/v1/accounts/{id}",                      RIGHT_WRITE(ACCOUNTS), api_account_delete, 0,            "", .if_match = true },
        { "POST",  "/v1/accounts/{id}/keys",                  RIGHT_WRITE(ACCOUNTS), api_account_key_create, SMALL,    "", .if_match = true },
        { "DELETE", "/v1/accounts/{id}/keys/{key}",           RIGHT_WRITE(ACCOUNTS), api_account_key_delete, 0,        "", .if_match = true },
        { "GET",   "/v1/accounts/{id}/enrollments",           RIGHT_VIEW(ACCOUNTS),  api_enrollment_list, 0,           "" },
        { "POST",  "/v1/accounts/{id}/enrollments",           RIGHT_WRITE(ACCOUNTS), api_enrollment_create, SMALL,     "" },
        { "DELETE", "/v1/accounts/{id}/enrollments/{enrollment}", RIGHT_WRITE(ACCOUNTS), api_enrollment_delete, 0,     "", .if_match = true },

        { "POST",  "/v1/enrollments",                         RIGHT_NONE,            api_enroll,         SMALL,        "" },
        { "GET",   "/v1/whoami/keys",                         RIGHT_SELF,            api_own_key_list,   0,            "" },
        { "POST",  "/v1/whoami/keys",                         RIGHT_SELF,            api_own_key_create, SMALL,        "", .if_match = true },
        { "PATCH", "/v1/whoami/keys/{id}",                    RIGHT_SELF,            api_own_key_end,    SMALL,        "", .if_match = true },

        { "GET",   "/v1/tsgs/{id}/settings",                  RIGHT_VIEW(SETTINGS),  api_settings_get,   0,            "" },
        { "PATCH", "/v1/tsgs/{id}/settings",                  RIGHT_WRITE(SETTINGS), api_settings_change, SMALL,       "", .if_match = true },
        { "GET",   "/v1/keys/{id}/access",                    RIGHT_VIEW(KEYS),      api_key_access,     0,            "limit cursor" },
        { "GET",   "/v1/principals/{id}/access",              RIGHT_SELF,            api_principal_access, 0,          "limit cursor" },

        { "GET",   "/v1/users",                               RIGHT_VIEW(PEOPLE),    api_user_list,      0,            "limit cursor" },
        { "GET",   "/v1/users/{id}",                          RIGHT_SELF,            api_user_get,       0,            "" },
        { "POST",  "/v1/users",                               RIGHT_WRITE(PEOPLE),   api_user_create,    SMALL,        "", .key = KEY_OF_REQUEST },
        { "PATCH", "/v1/users/{id}",                          RIGHT_WRITE(PEOPLE),   api_user_change,    SMALL,        "", .if_match = true },
        { "DELETE", "/v1/users/{id}",                         RIGHT_WRITE(PEOPLE),   api_user_delete,    0,            "", .if_match = true },
        { "GET",   "/v1/users/{id}/api-keys",                 RIGHT_SELF,            api_user_key_list,  0,            "" },
        { "POST",  "/v1/users/{id}/api-keys",                 RIGHT_SELF,            api_user_key_create, SMALL,       "", .key = KEY_OF_REQUEST, .if_match = true },
        { "DELETE", "/v1/users/{id}/api-keys/{key}",          RIGHT_SELF,            api_user_key_delete, 0,           "", .if_match = true },

        { "GET",    "/v1/teams",                                    RIGHT_VIEW(PEOPLE),    api_group_list,     0,            "limit cursor" },
        { "GET",    "/v1/teams/{id}",                               RIGHT_VIEW(PEOPLE),    api_group_get,      0,            "" },
        { "POST",   "/v1/teams",                                    RIGHT_WRITE(PEOPLE),   api_group_create,   SMALL,        "", .key = KEY_OF_REQUEST },
        { "PATCH",  "/v1/teams/{id}",                               RIGHT_WRITE(PEOPLE),   api_group_change,   SMALL,        "", .if_match = true },
        { "DELETE", "/v1/teams/{id}",                               RIGHT_WRITE(PEOPLE),   api_group_delete,   0,            "", .if_match = true },
        { "GET",    "/v1/teams/{id}/members",                       RIGHT_VIEW(PEOPLE),    api_group_members,  0,            "limit cursor" },
        { "POST",   "/v1/teams/{id}/members",                       RIGHT_WRITE(PEOPLE),   api_group_member_add,SMALL,        "", .key = KEY_OF_REQUEST, .if_match = true },
        { "DELETE", "/v1/teams/{id}/members/{principal}",           RIGHT_WRITE(PEOPLE),   api_group_member_remove,0,            "", .if_match = true },
        { "GET",    "/v1/teams/{id}/accounts",                      RIGHT_SELF,            api_team_account_list,0,            "limit cursor" },
        { "POST",   "/v1/teams/{id}/accounts",                      RIGHT_WRITE(ACCOUNTS), api_team_account_add,SMALL,        "", .key = KEY_OF_REQUEST, .if_match = true },
        { "DELETE", "/v1/teams/{id}/accounts/{account}",            RIGHT_WRITE(ACCOUNTS), api_team_account_remove,0,            "", .if_match = true },

        { "GET",    "/v1/projects",                                 RIGHT_VIEW(PROJECTS),  api_group_list,     0,            "limit cursor" },
        { "GET",    "/v1/projects/{id}",                            RIGHT_VIEW(PROJECTS),  api_group_get,      0,            "" },
        { "POST",   "/v1/projects",                                 RIGHT_WRITE(PROJECTS), api_group_create,   SMALL,        "", .key = KEY_OF_REQUEST },
        { "PATCH",  "/v1/projects/{id}",                            RIGHT_WRITE(PROJECTS), api_group_change,   SMALL,        "", .if_match = true },
        { "DELETE", "/v1/projects/{id}",                            RIGHT_WRITE(PROJECTS), api_group_delete,   0,            "", .if_match = true },
        { "GET",    "/v1/projects/{id}/signers",                    RIGHT_VIEW(PROJECTS),  api_group_members,  0,            "limit cursor" },
        { "POST",   "/v1/projects/{id}/signers",                    RIGHT_WRITE(PROJECTS), api_group_member_add,SMALL,        "", .key = KEY_OF_REQUEST, .if_match = true },
        { "DELETE", "/v1/projects/{id}/signers/{principal}",        RIGHT_WRITE(PROJECTS), api_group_member_remove,0,            "", .if_match = true },

        { "GET",   "/v1/roles",                               RIGHT_VIEW(PEOPLE),    api_role_list,      0,            "limit cursor" },
        { "GET",   "/v1/roles/{id}",                          RIGHT_VIEW(PEOPLE),    api_role_get,       0,            "" },
        { "POST",  "/v1/roles",                               RIGHT_WRITE(PEOPLE),   api_role_create,    SMALL,        "", .key = KEY_OF_REQUEST },
        { "PATCH", "/v1/roles/{id}",                          RIGHT_WRITE(PEOPLE),   api_role_change,    SMALL,        "", .if_match = true },
        { "DELETE", "/v1/roles/{id}",                         RIGHT_WRITE(PEOPLE),   api_role_delete,    0,            "", .if_match = true },
        { "GET",   "/v1/bindings",                            RIGHT_VIEW(PEOPLE),    api_binding_list,   0,            "principal limit cursor" },
        { "GET",   "/v1/bindings/{id}",                       RIGHT_VIEW(PEOPLE),    api_binding_get,    0,            "" },
        { "POST",  "/v1/bindings",                            RIGHT_WRITE(PEOPLE),   api_binding_create, SMALL,        "", .key = KEY_OF_REQUEST },
        { "DELETE", "/v1/bindings/{id}",                      RIGHT_WRITE(PEOPLE),   api_binding_delete, 0,            "", .if_match = true },

        { "GET",   "/v1/keks",                                RIGHT_VIEW(SETTINGS),  api_kek_list,       0,            "" },
        { "POST",  "/v1/keks/reseal",                         RIGHT_WRITE(SETTINGS), api_kek_reseal,     SMALL,        "" },

        { "GET",   "/v1/audit/records",                       RIGHT_VIEW(AUDIT),     api_audit_records,  0,            "after limit key principal tsg kind result from to request_id" },
        { "GET",   "/v1/usage",                               RIGHT_VIEW(KEYS),      api_usage,          0,            "key account from to limit cursor" },
        { "GET",   "/v1/audit/head",                          RIGHT_VIEW(AUDIT),     api_audit_head,     0,            "" },
};
/* clang-format on */

const Route *route_at(size_t i) {
        return i < ELEMENTSOF(routes) ? &routes[i] : NULL;
}

/* Ids and words: what else a segment could hold has no business in one. */
static bool is_plain(const char *s, size_t len) {
        return len > 0 && len < REQUEST_PARAM_MAX &&
               strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") >=
                       len;
}

static bool match(const char *pattern, const char *path,
                  char params[static REQUEST_PARAMS_MAX][REQUEST_PARAM_MAX]) {
        size_t n = 0;

        while (*pattern && *path) {
                if (*pattern == '{') {
                        size_t len = strcspn(path, "/");

                        if (n >= REQUEST_PARAMS_MAX || !is_plain(path, len))
                                return false;
                        snprintf(params[n++], REQUEST_PARAM_MAX, "%.*s", (int) len, path);
                        path += len;
                        pattern = strchr(pattern, '}') + 1;
                } else if (*pattern++ != *path++)
                        return false;
        }
        return *pattern == '\0' && *path == '\0';
}

void route_methods(const char *path, char buf[static ROUTE_METHODS_MAX]) {
        char params[REQUEST_PARAMS_MAX][REQUEST_PARAM_MAX];
        const char *pattern = NULL;
        size_t len = 0;

        /* Of "/v1/keys/resolve" and "/v1/keys/{id}" the first is meant. */
        buf[0] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(routes) && !pattern; i++)
                if (match(routes[i].pattern, path, params))
                        pattern = routes[i].pattern;
        for (size_t i = 0; i < ELEMENTSOF(routes) && pattern && len < ROUTE_METHODS_MAX; i++)
                if (strcmp(routes[i].pattern, pattern) == 0)
                        len += (size_t) snprintf(buf + len, ROUTE_METHODS_MAX - len, "%s%s",
                                                 len ? ", " : "", routes[i].method);
}

int route_find(const char *method, const char *path,
               char params[static REQUEST_PARAMS_MAX][REQUEST_PARAM_MAX], const Route **ret,
               Error *e) {
        bool other_method = false;

        for (size_t i = 0; i < ELEMENTSOF(routes); i++) {
                if (!match(routes[i].pattern, path, params))
                        continue;
                if (strcmp(routes[i].method, method) == 0) {
                        *ret = &routes[i];
                        return 0;
                }
                other_method = true;
        }

        if (other_method)
                return error_set(e, -EOPNOTSUPP, "%.200s does not answer to %s", path, method);
        return error_set(e, -CSIGN_E_NOT_FOUND, "there is nothing at %.200s", path);
}
