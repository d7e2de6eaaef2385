/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Configuration in openssl.cnf's syntax, read by OpenSSL's own parser into a struct by a table.
 * A name or section that no table knows is an error that says its file and line.
 *
 *     static const ConfigItem items[] = {
 *             { "service", config_string, offsetof(Config, service), CONFIG_REQUIRED },
 *             { "timeout", config_seconds, offsetof(Config, timeout_usec) },
 *     };
 *     r = config_open(&file, path, FILE_TRUSTED, &e);
 *     r = config_apply(file, NULL, items, ELEMENTSOF(items), &config, &e);
 *     r = config_finish(file, &e);            every section was asked for, or it is an error */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/file.h"

typedef struct ConfigFile ConfigFile;

/* value is never NULL.  Returns 0, or a negative code with a sentence that names what is expected
 * (without file and line: config_apply() puts them in front). */
typedef int (*ConfigParse)(const char *value, void *target, Error *e);

enum { CONFIG_REQUIRED = 1 };

typedef struct ConfigItem {
        const char *name;
        ConfigParse parse;
        size_t offset;
        unsigned flags;
} ConfigItem;

/* Fails with -ENOENT, -CSIGN_E_BAD_CONFIG. */
int config_open(ConfigFile **ret, const char *path, FileTrust trust, Error *e);
int config_open_text(ConfigFile **ret, const char *name, const char *text,
                     Error *e); /* tests, fuzz */
void config_close(ConfigFile *f);
DEFINE_CLEANUP(ConfigFile, config_close)

/* Reads one section (NULL: the names before the first section) into target.  A section that is not
 * there is an error only if it has a required item. */
int config_apply(ConfigFile *f, const char *section, const ConfigItem items[], size_t n,
                 void *target, Error *e);
bool config_has_section(const ConfigFile *f, const char *section);
int config_finish(ConfigFile *f, Error *e);

/* "path:line", or "path" if the line is not known; section NULL as above, name NULL: the section's
 * head. */
const char *config_where(ConfigFile *f, const char *section, const char *name);

/* Parsers.  Targets: char * (malloc'ed; the old one is freed), uint64_t, unsigned, bool. */
int config_string(const char *value, void *target, Error *e);
int config_path(const char *value, void *target, Error *e); /* absolute */
int config_seconds(const char *value, void *target,
                   Error *e); /* uint64_t µs; "30", "1.5", 0.001..86400 */
int config_unsigned(const char *value, void *target, Error *e); /* unsigned, 0..1000000 */
int config_bytes(const char *value, void *target, Error *e); /* size_t; "64M": 1 to 1024M, or K */
int config_bool(const char *value, void *target, Error *e);  /* yes/no, true/false, on/off, 1/0 */

/* Calls f for each item of a comma-separated list, trimmed; an empty item is an error.  Stops at
 * the first negative result. */
int config_each(const char *list, int (*f)(const char *item, void *userdata, Error *e),
                void *userdata, Error *e);
