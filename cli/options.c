/* SPDX-License-Identifier: Apache-2.0 */

/* A verb's command line, read and explained from the same table. */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

bool arg_json;
const char *arg_bus, *arg_service, *arg_ca, *arg_api_key_file;

#define OPTION_ROWS_MAX 24
#define LONG_BASE       256 /* getopt's value of row i is LONG_BASE + i */

static const struct {
        unsigned flag;
        Option option;
} shared_options[] = {
        /* clang-format off */
        { VERB_SIDECAR, { "bus", "ADDRESS", "the sidecar: unix:path=..., user, system, bus:...", &arg_bus } },
        { VERB_ADMIN, { "service", "URL", "the signing service", &arg_service } },
        { VERB_ADMIN, { "ca", "FILE", "certificates that the service's must lead to", &arg_ca } },
        { VERB_ADMIN, { "api-key-file", "FILE", "the API key to administer with", &arg_api_key_file } },
        { VERB_JSON, { "json", NULL, "answer in JSON", &arg_json, OPTION_SWITCH } },
        /* clang-format on */
};

/* The rows that hold for this verb: its own, then the shared ones. */
static size_t option_rows(const Verb *v, const Option *rows[static OPTION_ROWS_MAX]) {
        size_t n = 0;

        for (size_t i = 0; i < v->n_options && n < OPTION_ROWS_MAX; i++)
                rows[n++] = &v->options[i];
        for (size_t i = 0; i < ELEMENTSOF(shared_options) && n < OPTION_ROWS_MAX; i++)
                if (v->flags & shared_options[i].flag)
                        rows[n++] = &shared_options[i].option;
        return n;
}

static void help_row(const Option *o) {
        char left[64], letter[8] = "";

        if (o->letter)
                (void) snprintf(letter, sizeof(letter), "-%c, ", o->letter);
        (void) snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->arg ? " " : "",
                        o->arg ? o->arg : "");
        (void) printf("  %-24s %s%s\n", left, o->help, o->required ? " (required)" : "");
}

static void group_rows(const Verb *v) {
        for (const Verb *const *sub = v->verbs; *sub; sub++) {
                char left[80];

                (void) snprintf(left, sizeof(left), "%s %s", (*sub)->name, (*sub)->args);
                (void) printf("  %-32s %s\n", left, (*sub)->help);
        }
        (void) printf("\n`csign %s --help` shows one verb's options and an example.\n",
                      v->verbs[0]->name);
}

static void group_help(const Verb *v) {
        (void) printf("Usage: csign %s VERB\n\n", v->name);
        group_rows(v);
}

void options_help(const Verb *v) {
        const Option *rows[OPTION_ROWS_MAX];
        size_t n = option_rows(v, rows);

        if (v->verbs && !v->run) {
                group_help(v);
                return;
        }

        (void) printf("Usage: csign %s %s\n\n  %s\n", v->name, v->args, v->help);
        if (n > 0)
                (void) puts("\nOptions:");
        for (size_t i = 0; i < n; i++)
                help_row(rows[i]);
        (void) printf("\nExample:\n  %s\n", v->example);
        if (v->verbs) {
                (void) printf("\nUsage: csign %s VERB\n\n", v->name);
                group_rows(v);
        }
}

static int option_set(const Option *o, const char *value, Error *e) {
        char *end;

        switch (o->kind) {
        case OPTION_SWITCH:
                *(bool *) o->target = true;
                return 0;
        case OPTION_NUMBER:
                /* strtoull takes signs and blanks: none may come here. */
                if (value[strspn(value, "0123456789")] == 0 && value[0] && strlen(value) < 19) {
                        *(uint64_t *) o->target = strtoull(value, &end, 10);
                        return 0;
                }
                return error_set(e, -CSIGN_E_BAD_REQUEST, "--%s takes a number, not '%s'", o->name,
                                 value);
        case OPTION_TEXT:
                if (!value[0])
                        return error_set(e, -CSIGN_E_BAD_REQUEST, "--%s is empty", o->name);
                *(const char **) o->target = value;
                return 0;
        }
        return -EINVAL;
}

/* What getopt stopped at, as the user typed it. */
static int option_unknown(const char *what, char *argv[], Error *e) {
        if (optopt > 0 && optopt < LONG_BASE)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "%s '-%c'", what, optopt);
        return error_set(e, -CSIGN_E_BAD_REQUEST, "%s '%s'", what, argv[optind - 1]);
}

/* getopt's two forms of the rows. */
typedef struct Getopt {
        struct option longs[OPTION_ROWS_MAX + 2];
        char shorts[2 * OPTION_ROWS_MAX + 4];
} Getopt;

static void getopt_table(const Verb *v, const Option *rows[], size_t n, Getopt *ret) {
        char *s = ret->shorts;

        /* '+': stop at the first argument; ':': tell a missing value from an unknown option. */
        if (v->flags & VERB_COMMAND)
                *s++ = '+';
        *s++ = ':';
        *s++ = 'h';
        for (size_t i = 0; i < n; i++) {
                ret->longs[i] = (struct option){ rows[i]->name,
                                                 rows[i]->arg ? required_argument : no_argument,
                                                 NULL, LONG_BASE + (int) i };
                if (rows[i]->letter) {
                        *s++ = rows[i]->letter;
                        if (rows[i]->arg)
                                *s++ = ':';
                }
        }
        ret->longs[n] = (struct option){ "help", no_argument, NULL, 'h' };
        ret->longs[n + 1] = (struct option){};
        *s = 0;
}

static const Option *option_by_value(const Option *rows[], size_t n, int value) {
        if (value >= LONG_BASE)
                return rows[value - LONG_BASE];
        for (size_t i = 0; i < n; i++)
                if (rows[i]->letter == value)
                        return rows[i];
        return NULL;
}

static int check_counts(const Verb *v, const Option *rows[], const bool given[], size_t n,
                        size_t n_args, Error *e) {
        for (size_t i = 0; i < n; i++)
                if (rows[i]->required && !given[i])
                        return error_set(e, -CSIGN_E_BAD_REQUEST, "%s needs --%s %s", v->name,
                                         rows[i]->name, rows[i]->arg);
        if (n_args < v->min_args)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "an argument is missing: csign %s %s",
                                 v->name, v->args);
        if (n_args > v->max_args)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "too many arguments: csign %s %s",
                                 v->name, v->args);
        return 0;
}

static int parse_raw(const Verb *v, int argc, char *argv[], char ***ret_args, size_t *ret_n) {
        if (argc < 2 || (argc == 2 && strcmp(argv[1], "--help") == 0)) {
                options_help(v);
                return 1;
        }
        *ret_args = argv + 1;
        *ret_n = (size_t) (argc - 1);
        return 0;
}

int options_parse(const Verb *v, int argc, char *argv[], char ***ret_args, size_t *ret_n,
                  Error *e) {
        const Option *rows[OPTION_ROWS_MAX];
        bool given[OPTION_ROWS_MAX] = {};
        size_t n = option_rows(v, rows);
        Getopt g = {};
        int c, r;

        if (v->flags & VERB_RAW)
                return parse_raw(v, argc, argv, ret_args, ret_n);
        getopt_table(v, rows, n, &g);
        opterr = 0;
        optind = 0; /* glibc: begin anew, with these short options */
        while ((c = getopt_long(argc, argv, g.shorts, g.longs, NULL)) != -1) {
                const Option *o;

                if (c == 'h') {
                        options_help(v);
                        return 1;
                }
                if (c == '?')
                        return option_unknown("unknown option", argv, e);
                if (c == ':')
                        return option_unknown("a value is missing behind option", argv, e);

                for (size_t i = 0; i < n; i++)
                        given[i] |= rows[i] == option_by_value(rows, n, c);
                o = option_by_value(rows, n, c);
                r = option_set(o, optarg, e);
                if (r < 0)
                        return r;
        }

        r = check_counts(v, rows, given, n, (size_t) (argc - optind), e);
        if (r < 0)
                return r;

        *ret_args = argv + optind;
        *ret_n = (size_t) (argc - optind);
        return 0;
}
