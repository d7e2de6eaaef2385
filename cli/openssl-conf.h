/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The openssl.cnf that brings csign's provider into any program. */

#include <limits.h>
#include <stdbool.h>

#include "lib/buf.h"
#include "lib/error.h"

/* The file that OpenSSL would read: OPENSSL_CONF, else its built-in one.  "" if there is none to
 * read. */
void openssl_conf_current(char buf[static PATH_MAX]);

/* Appends a configuration that keeps what `base` (a path, or "") sets up, and adds the module
 * beside its providers.  csign stands behind the default provider and never wins from it
 * (default_properties): without that, key generation in unrelated code would break, because OpenSSL
 * sorts providers by name. */
int openssl_conf_text(const char *module, const char *base, Buf *ret, Error *e);

/* The property query that keeps csign behind default for all keys but its own. */
#define CSIGN_PROPERTIES "?provider!=csign"

/* Whether default_properties of this text make csign come first instead. */
bool openssl_conf_prefers_csign(const char *properties);

/* -CSIGN_E_BAD_CONFIG if an openssl.cnf cannot name the path. */
int openssl_conf_check_path(const char *path, Error *e);
