/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The handlers, one file a resource.  route.c has the table; docs/openapi.yaml has the contract. */

#include "service/request.h"

int api_health(Request *req, Error *e);
int api_ready(Request *req, Error *e);
int api_openapi(Request *req, Error *e);
int api_metrics(Request *req, Error *e);
int api_oauth_metadata(Request *req, Error *e);
int api_whoami(Request *req, Error *e);

int api_token(Request *req, Error *e);

int api_key_list(Request *req, Error *e);
int api_key_resolve(Request *req, Error *e);
int api_key_get(Request *req, Error *e);
int api_key_create(Request *req, Error *e);
int api_key_change(Request *req, Error *e);

int api_destruction_create(Request *req, Error *e);
int api_destruction_cancel(Request *req, Error *e);

int api_version_list(Request *req, Error *e);
int api_version_create(Request *req, Error *e);
int api_version_change(Request *req, Error *e);

int api_sign(Request *req, Error *e);
int api_sign_many(Request *req, Error *e);
int api_sign_message(Request *req, Error *e);

int api_tsg_list(Request *req, Error *e);
int api_tsg_get(Request *req, Error *e);
int api_tsg_create(Request *req, Error *e);
int api_tsg_resolve(Request *req, Error *e);
int api_tsg_change(Request *req, Error *e);
int api_tsg_delete(Request *req, Error *e);

int api_account_list(Request *req, Error *e);
int api_account_get(Request *req, Error *e);
int api_account_create(Request *req, Error *e);
int api_account_change(Request *req, Error *e);
int api_account_delete(Request *req, Error *e);

int api_account_key_create(Request *req, Error *e);
int api_account_key_delete(Request *req, Error *e);
int api_own_key_list(Request *req, Error *e);
int api_own_key_create(Request *req, Error *e);
int api_own_key_end(Request *req, Error *e);

int api_enrollment_list(Request *req, Error *e);
int api_enrollment_create(Request *req, Error *e);
int api_enrollment_delete(Request *req, Error *e);
int api_enroll(Request *req, Error *e);

int api_user_list(Request *req, Error *e);
int api_user_get(Request *req, Error *e);
int api_user_create(Request *req, Error *e);
int api_user_change(Request *req, Error *e);
int api_user_delete(Request *req, Error *e);
int api_user_key_list(Request *req, Error *e);
int api_user_key_create(Request *req, Error *e);
int api_user_key_delete(Request *req, Error *e);

int api_settings_get(Request *req, Error *e);
int api_settings_change(Request *req, Error *e);
int api_key_access(Request *req, Error *e);
int api_principal_access(Request *req, Error *e);

/* Of teams and of projects. */
int api_group_list(Request *req, Error *e);
int api_group_get(Request *req, Error *e);
int api_group_create(Request *req, Error *e);
int api_group_change(Request *req, Error *e);
int api_group_delete(Request *req, Error *e);
int api_group_members(Request *req, Error *e);
int api_group_member_add(Request *req, Error *e);
int api_group_member_remove(Request *req, Error *e);

int api_team_account_list(Request *req, Error *e);
int api_team_account_add(Request *req, Error *e);
int api_team_account_remove(Request *req, Error *e);

int api_role_list(Request *req, Error *e);
int api_role_get(Request *req, Error *e);
int api_role_create(Request *req, Error *e);
int api_role_change(Request *req, Error *e);
int api_role_delete(Request *req, Error *e);

int api_binding_list(Request *req, Error *e);
int api_binding_get(Request *req, Error *e);
int api_binding_create(Request *req, Error *e);
int api_binding_delete(Request *req, Error *e);

int api_audit_records(Request *req, Error *e);
int api_audit_head(Request *req, Error *e);

int api_usage(Request *req, Error *e);
int api_kek_list(Request *req, Error *e);
int api_kek_reseal(Request *req, Error *e);

int api_authorities(Request *req, Error *e);
int api_authority_create(Request *req, Error *e);
int api_authority_change(Request *req, Error *e);
int api_authority_crl(Request *req, Error *e);
int api_authority_certificate(Request *req, Error *e);

int api_certificate_list(Request *req, Error *e);
int api_certificate_get(Request *req, Error *e);
int api_certificate_create(Request *req, Error *e);
int api_certificate_revoke(Request *req, Error *e);
int api_csr_get(Request *req, Error *e);
int api_csr_create(Request *req, Error *e);
