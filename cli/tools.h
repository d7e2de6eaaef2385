/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The signing tools that csign wraps: one row each says which argument takes the key, which the
 * certificate, where the result is, and how it is verified. */

#include <stdbool.h>
#include <stddef.h>

#include "cli/temp-folder.h"
#include "lib/error.h"
#include "lib/sidecar-client.h"

typedef struct Tool Tool;

/* One call of a tool.  The strings of argv are the user's own, or files of the temporary folder. */
typedef struct ToolCall {
        const Tool *tool;
        char **argv; /* argv[0]: the program; ends in NULL */
        size_t n;
        size_t key_at; /* in argv: the argument that is or holds the key's URI */
        const char *uri;
        const char *given_certificate; /* the file that the user gave, or NULL: the key's own */
        const char *output;            /* the file that is signed, NULL: several, or in place */

        KeyInfo key;
        TempFolder temp;
        char program[PATH_MAX];
        char conf[TEMP_PATH_MAX];        /* openssl.cnf with csign */
        char reference[TEMP_PATH_MAX];   /* stands in for the key */
        char certificate[TEMP_PATH_MAX]; /* the key's own, PEM */
        char der[TEMP_PATH_MAX];         /* the same, DER */
        char chain[TEMP_PATH_MAX];       /* it and its chain, PEM */
        char trust[TEMP_PATH_MAX];       /* what the certificate must lead to, PEM */
} ToolCall;

struct Tool {
        const char *name, *package;
        const char *place;    /* where else than in PATH it can be: a glob pattern */
        const char *verifier; /* another program that has to be there; NULL: itself */
        const char *verifier_package;
        const char *const *verbs;  /* the first argument must be one of these; NULL: none */
        const char *const *key;    /* options that take the key */
        const char *const *cert;   /* options that take its certificate */
        const char *add_cert;      /* the one to add when none of these is given */
        const char *const *out;    /* options that take the output */
        const char *const *values; /* other options whose value is an argument of its own */
        unsigned key_position;     /* no option takes the key, but this argument, from 1 */

        /* Optional.  Makes what the tool wants in place of a key file: the replacement. */
        int (*key_files)(ToolCall *c, char ret[static TEMP_PATH_MAX], Error *e);
        /* Optional: the output, where no option names it and it is not the last argument. */
        int (*find_output)(ToolCall *c, char ret[static PATH_MAX], Error *e);
        /* Has a stock program look at the result, with a configuration without csign.
         * -CSIGN_E_BAD_SIGNATURE if that does not find the key's own signature. */
        int (*verify)(ToolCall *c, Error *e);
};

extern const Tool tool_osslsigncode, tool_sbsign, tool_sign_file, tool_evmctl, tool_rauc,
        tool_mkimage;

/* ---- arguments ---- */

/* The value of the first of these options: "--key X", "--key=X", "-k X", "-kX".  Returns the index
 * in argv of the argument that holds it, 0 if there is none. */
size_t tool_option(const ToolCall *c, const char *const names[], const char **ret);

/* The arguments that are no options and no values of these; how many, at most max. */
size_t tool_positions(const ToolCall *c, size_t ret[], size_t max);

/* Puts a value in place of the one that argv[at] is or holds.  -ENOMEM. */
int tool_replace(ToolCall *c, size_t at, const char *old_value, const char *value);

/* ---- verifying ---- */

/* Runs a verifier: it has to end with 0, and to say all of these words (up to a NULL).  If not,
 * what it said is shown. */
int tool_check(ToolCall *c, const char *const argv[], const char *const words[], Error *e);
