/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every verb of csign is made of.  A verb is one Verb row beside its function, in the file of
 * its group; main.c lists the rows, options.c reads the command line by them, output.c speaks for
 * all. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

typedef enum OptionKind {
        OPTION_TEXT = 0, /* target: const char * */
        OPTION_NUMBER,   /* target: uint64_t */
        OPTION_SWITCH,   /* target: bool */
} OptionKind;

typedef struct Option {
        const char *name; /* "hash", given as --hash */
        const char *arg;  /* "NAME"; NULL for a switch */
        const char *help;
        void *target;
        OptionKind kind;
        char letter; /* the short form, or 0 */
        bool required;
} Option;

enum {
        VERB_JSON = 1,    /* has --json */
        VERB_SIDECAR = 2, /* asks a sidecar: --bus */
        VERB_ADMIN = 4,   /* asks the service: --service, --ca, --api-key-file */
        VERB_COMMAND = 8, /* its arguments are a command: options end at the first of them */
        VERB_RAW = 16,    /* all its arguments are another program's; but --help alone is ours */
};

typedef struct Verb Verb;

struct Verb {
        const char *name;    /* "sign", "key create" */
        const char *args;    /* "--key URI FILE" */
        const char *help;    /* what it does, at most 48 characters */
        const char *example; /* one command, or more lines of them */
        const Option *options;
        size_t n_options;
        size_t min_args, max_args;
        unsigned flags;
        /* 0; or the exit status, positive, of a verb that has told its finding; or a negative code.
         */
        int (*run)(char *args[], size_t n, Error *e);
        /* A group ("key") has verbs instead, up to a NULL.  One that has both ("cert") takes a
         * first word that is no verb as its own argument. */
        const Verb *const *verbs;
};

#define OPTIONS(table) .options = (table), .n_options = ELEMENTSOF(table)

/* The rows, one file a group. */
extern const Verb verb_enroll, verb_login, verb_logout, verb_status, verb_keys, verb_ref, verb_cert,
        verb_sign, verb_verify, verb_run, verb_openssl_conf, verb_setup, verb_doctor, verb_policy,
        verb_history;
extern const Verb verb_osslsigncode, verb_sbsign, verb_sign_file, verb_evmctl, verb_rauc,
        verb_mkimage;
extern const Verb verb_user, verb_team, verb_project, verb_role, verb_access;
extern const Verb verb_whoami, verb_tsg, verb_key, verb_account, verb_ca, verb_audit, verb_usage,
        verb_explain, verb_kek;

/* The options that many verbs share; NULL or false when not given. */
extern bool arg_json;
extern const char *arg_bus, *arg_service, *arg_ca, *arg_api_key_file;

/* Reads the options of argv (argv[0] is the verb's last word).  0: *ret_args and *ret_n are what
 * remains; 1: --help was asked for and is printed; -CSIGN_E_BAD_REQUEST names the option. */
int options_parse(const Verb *v, int argc, char *argv[], char ***ret_args, size_t *ret_n, Error *e);

/* `csign VERB --help`. */
void options_help(const Verb *v);
