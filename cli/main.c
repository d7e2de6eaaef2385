/* SPDX-License-Identifier: Apache-2.0 */

/* csign: all that a person or a CI job types.  Finds the verb, reads its options, runs it, and
 * turns what comes back into words and an exit status. */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "cli/cli.h"
#include "cli/output.h"

/* A brief section is the verbs' names alone. */
static const struct {
        const char *title;
        const Verb *verbs[24];
        bool brief;
} sections[] = {
        { "Sign, by way of this machine's sidecar:",
          { &verb_enroll, &verb_login, &verb_logout, &verb_status, &verb_keys, &verb_sign,
            &verb_verify, &verb_history, &verb_ref, &verb_cert, &verb_run, &verb_openssl_conf,
            &verb_setup, &verb_policy, &verb_doctor } },
        { "Sign with a tool that wants a key file: it gets a URI, and is verified:",
          { &verb_osslsigncode, &verb_sbsign, &verb_sign_file, &verb_evmctl, &verb_rauc,
            &verb_mkimage },
          .brief = true },
        { "Administer the signing service:",
          { &verb_tsg, &verb_key, &verb_account, &verb_user, &verb_team, &verb_project, &verb_role,
            &verb_access, &verb_ca, &verb_audit, &verb_usage, &verb_explain, &verb_kek,
            &verb_whoami },
          .brief = true },
};

static void help_names(FILE *stream, const Verb *const verbs[]) {
        size_t column = 0;

        for (const Verb *const *v = verbs; *v; v++) {
                size_t len = strlen((*v)->name) + 1;

                if (column + len > 74) {
                        (void) fputc('\n', stream);
                        column = 0;
                }
                (void) fprintf(stream, "%s%s", column == 0 ? "    " : " ", (*v)->name);
                column += len;
        }
        (void) fputc('\n', stream);
}

/* Fits a screen of 80 x 24; a test counts. */
static void help(FILE *stream) {
        (void) fputs("Usage: csign VERB [OPTIONS]   (csign VERB --help shows options and an "
                     "example)\n",
                     stream);
        for (size_t s = 0; s < ELEMENTSOF(sections); s++) {
                (void) fprintf(stream, "%s\n", sections[s].title);
                if (sections[s].brief) {
                        help_names(stream, sections[s].verbs);
                        continue;
                }
                for (const Verb *const *v = sections[s].verbs; *v; v++) {
                        char left[48];

                        (void) snprintf(left, sizeof(left), "%s %s", (*v)->name, (*v)->args);
                        (void) fprintf(stream, "  %-27s  %s\n", left, (*v)->help);
                }
        }
        (void) fputs("Errors: one line, then what to do; exit statuses: csign(1)\n", stream);
}

static const Verb *verb_find(const char *name) {
        for (size_t s = 0; s < ELEMENTSOF(sections); s++)
                for (const Verb *const *v = sections[s].verbs; *v; v++)
                        if (strcmp((*v)->name, name) == 0)
                                return *v;
        return NULL;
}

/* The verb of a group: "create" of "key" is named "key create". */
static const Verb *verb_find_in(const Verb *group, const char *word) {
        for (const Verb *const *v = group->verbs; *v; v++)
                if (strcmp(strchr((*v)->name, ' ') + 1, word) == 0)
                        return *v;
        return NULL;
}

/* The table knows no errno; these two mean a file that somebody named. */
static int exit_status(int code) {
        switch (code) {
        case -ENOENT:
                return error_info(CSIGN_E_NOT_FOUND)->exit_status;
        case -EEXIST:
                return error_info(CSIGN_E_ALREADY_EXISTS)->exit_status;
        default:
                return error_info(code)->exit_status;
        }
}

static int fail(const Error *e, const char *advice) {
        output_error(e, advice);
        return exit_status(e->code);
}

static int fail_usage(const Verb *v, const Error *e) {
        char advice[80];

        (void) snprintf(advice, sizeof(advice), "see: csign %s%s--help", v ? v->name : "",
                        v ? " " : "");
        return fail(e, advice);
}

static int run(const Verb *v, int argc, char *argv[]) {
        size_t n = 0;
        char **args = NULL;
        Error e = {};
        int r, finish;

        r = options_parse(v, argc, argv, &args, &n, &e);
        if (r < 0)
                return fail_usage(v, &e);
        if (r == 0)
                r = v->run(args, n, &e);
        else
                r = 0;
        if (r < 0) {
                /* A forwarded code without a sentence would be a mute failure. */
                if (e.code == 0)
                        (void) error_set(&e, r, "csign %s failed: %s", v->name,
                                         r > -CSIGN_E_BEGIN_ ? strerror(-r) : error_info(r)->title);
                return fail(&e, NULL);
        }

        finish = output_finish(&e);
        return finish < 0 ? fail(&e, NULL) : r;
}

static int run_group(const Verb *group, int argc, char *argv[]) {
        const Verb *v;
        Error e = {};

        if (argc < 2 && group->run)
                return run(group, argc, argv);
        if (argc < 2) {
                (void) error_set(&e, -CSIGN_E_BAD_REQUEST, "'%s' needs a verb behind it",
                                 group->name);
                return fail_usage(group, &e);
        }
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
                options_help(group);
                return output_finish(&e) < 0 ? fail(&e, NULL) : 0;
        }
        v = verb_find_in(group, argv[1]);
        if (!v && group->run)
                return run(group, argc, argv);
        if (!v) {
                (void) error_set(&e, -CSIGN_E_BAD_REQUEST, "no verb '%s %s'", group->name, argv[1]);
                return fail_usage(group, &e);
        }
        return run(v, argc - 1, argv + 1);
}

int main(int argc, char *argv[]) {
        const Verb *v;
        Error e = {};

        /* No openssl.cnf: csign must work when that file is what is broken, and must not load
         * csign.so. */
        OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);

        if (argc < 2) {
                help(stderr);
                return 2;
        }
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
            strcmp(argv[1], "help") == 0) {
                help(stdout);
                return output_finish(&e) < 0 ? fail(&e, NULL) : 0;
        }
        if (strcmp(argv[1], "--version") == 0) {
                (void) printf("csign %s\n", CSIGN_VERSION);
                return output_finish(&e) < 0 ? fail(&e, NULL) : 0;
        }

        v = verb_find(argv[1]);
        if (!v) {
                (void) error_set(&e, -CSIGN_E_BAD_REQUEST, "no %s '%s'",
                                 argv[1][0] == '-' ? "option" : "verb", argv[1]);
                return fail_usage(NULL, &e);
        }
        return v->verbs ? run_group(v, argc - 1, argv + 1) : run(v, argc - 1, argv + 1);
}
