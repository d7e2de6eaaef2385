/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the handlers of keys and of their versions share. */

#include "service/ca/ca.h"
#include "service/keys.h"
#include "service/request.h"

/* The key of the path's first id at a version (0: the primary), if the principal reaches it.
 * -CSIGN_E_KEY_NOT_FOUND. */
int key_find(Request *req, uint32_t version, Key **ret, Error *e);

/* As key_find(), for a change: the caller may change it, and it is neither destroyed nor to be.
 * -CSIGN_E_KEY_DESTROYED. */
int key_find_to_change(Request *req, uint32_t version, Key **ret, Error *e);

/* -CSIGN_E_BAD_REQUEST */
int key_check_fields(const char *description, uint64_t not_before, uint64_t not_after, Error *e);

/* A JsonParse: RFC 3339 text to uint64_t. */
int json_field_time(const json_t *v, const char *name, void *target, Error *e);

/* In an audit job: whether p may take a key of that TSG out of a project and into another; "":
 * none.  Who does it decides who signs: it takes the right to change both projects. */
int key_check_project(DbConn *c, const Principal *p, const char *tsg, const char *from,
                      const char *to, Error *e);

/* For records: the policy as JSON. */
int key_policy_text(Buf *ret, const Key *k);

void key_write(JsonOut *o, const Key *k);
int key_reply(Request *req, const Key *k);

/* -CSIGN_E_KEY_DESTROYED: it is, or is to be. */
int key_check_alive(const Key *k, Error *e);

/* The path's second parameter, a version.  -CSIGN_E_BAD_REQUEST. */
int key_version_param(const Request *req, uint32_t *ret, Error *e);

/* "certificates": those of both, base64 of DER each. */
void certificates_write(JsonOut *o, const Buf *certificate, const Buf *chain);

/* What its certificate is called when nobody says: its path, or its name if that is too long. */
const char *key_common_name(const Key *k);

/* Days as asked, or with 0 the default, within what is configured. */
#define CERT_DAYS_DEFAULT 365
unsigned certificate_days(const Request *req, unsigned asked);

/* Has the built-in CA certify k's public half, and puts the chain into k.  subject NULL:
 * key_common_name(). */
int key_certify(Request *req, Key *k, const char *subject, unsigned days, Certificate *cert,
                Error *e);
