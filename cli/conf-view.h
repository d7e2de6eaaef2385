/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an openssl.cnf says of providers, as OpenSSL's own parser reads it: includes and all. */

#include <stdbool.h>

#include <openssl/conf.h>

#include "lib/buf.h"
#include "lib/error.h"

/* Zero-initialise.  Each string is NULL where the file says nothing, and lives as long as conf. */
typedef struct ConfView {
        CONF *conf;
        const char *init;       /* the section that openssl_conf names */
        const char *providers;  /* the section of providers */
        const char *fallback;   /* the section of the provider "default" */
        const char *csign;      /* the section of the provider "csign" */
        const char *module;     /* the file that csign is in */
        const char *address;    /* its sidecar-address */
        const char *algorithms; /* the section that alg_section names */
        const char *properties; /* default_properties */
        bool csign_first;       /* csign stands before default, or default nowhere */
} ConfView;

/* path "" is an empty file.  -CSIGN_E_BAD_CONFIG names the line that cannot be read. */
int conf_view_open(ConfView *v, const char *path, Error *e);
int conf_view_parse(ConfView *v, const char *path, const Buf *text, Error *e);
void conf_view_done(ConfView *v);

/* Rows of the section of providers: whether there is one of this name. */
bool conf_view_has_provider(const ConfView *v, const char *name);

/* The name that OpenSSL takes a row's for: what is behind the last dot. */
const char *conf_row_name(const CONF_VALUE *row);
