/* SPDX-License-Identifier: Apache-2.0 */
/* csign doctor: looks at every link between a program that signs and the service, and says of each
 * what is wrong and what to do. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/doctor.h"
#include "cli/output.h"

/* More are not counted: it is a check, no list. */
#define KEYS_ENOUGH 1000

static const char *arg_module, *arg_ref;

static void doctor_done(Doctor *d) {
        sidecar_client_free(d->sidecar);
        conf_view_done(&d->conf);
        json_decref(d->status);
        json_decref(d->findings);
}

void doctor_say(Doctor *d, Result result, const char *check, const char *advice, const char *fmt,
                ...) {
        static const char *const words[] = { "OK", "WARN", "FAIL" };
        char text[1024];
        va_list ap;

        va_start(ap, fmt);
        (void) vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);

        d->failed |= result == RESULT_FAIL;
        (void) json_array_append_new(d->findings,
                                     json_pack("{s:s, s:s, s:s, s:s*}", "result", words[result],
                                               "check", check, "finding", text, "advice", advice));
}

void doctor_say_error(Doctor *d, const char *check, const Error *e) {
        char text[ERROR_TEXT_MAX];

        doctor_say(d, RESULT_FAIL, check, error_info(e->code)->advice, "%s", error_text(e, text));
}

/* ---- sidecar, credential, service ---- */

static int status_add(const char *name, const char *value, void *userdata) {
        return json_object_set_new(userdata, name, json_string(value)) < 0 ? -ENOMEM : 0;
}

/* As the provider finds it: what openssl.cnf says comes after the environment. */
static const char *sidecar_address(const Doctor *d) {
        return arg_bus || getenv("CSIGN_BUS") ? arg_bus : d->conf.address;
}

static void no_sidecar(Doctor *d, const Error *e) {
        char text[ERROR_TEXT_MAX];

        if (e->code == -CSIGN_E_LOCAL_POLICY)
                doctor_say(d, RESULT_FAIL, "bus-policy",
                           "ask this machine's administrator to take you into group csign, and log "
                           "in again",
                           "%s", error_text(e, text));
        else
                doctor_say_error(d, "sidecar", e);
        sidecar_client_free(d->sidecar);
        d->sidecar = NULL;
}

static void check_sidecar(Doctor *d) {
        Error e = {};
        const char *version;

        if (sidecar_client_new(&d->sidecar, sidecar_address(d), ANSWER_USEC, &e) < 0 ||
            sidecar_client_status(d->sidecar, status_add, d->status, &e) < 0) {
                no_sidecar(d, &e);
                return;
        }
        version = json_text_at(d->status, "version");
        if (strcmp(version, CSIGN_VERSION) != 0)
                doctor_say(d, RESULT_WARN, "sidecar", "restart the sidecar after an update",
                           "%s answers, with version %s beside csign %s",
                           sidecar_client_address(d->sidecar), version, CSIGN_VERSION);
        else
                doctor_say(d, RESULT_OK, "sidecar", NULL, "%s answers (version %s, %s grant)",
                           sidecar_client_address(d->sidecar), version,
                           json_text_at(d->status, "grant"));
}

static int count_key(const KeyInfo *k, void *userdata) {
        Doctor *d = userdata;

        return ++d->n_keys < KEYS_ENOUGH ? 0 : -ECANCELED;
}

/* Which link a failure is about. */
static const char *service_check(int code) {
        switch (-code) {
        case CSIGN_E_LOCAL_POLICY:
                return "policy";
        case CSIGN_E_UNAUTHENTICATED:
        case CSIGN_E_BAD_CREDENTIAL:
        case CSIGN_E_NO_CREDENTIAL:
                return "credential";
        default:
                return "service";
        }
}

/* Asks for something that only the service knows: the whole way there and back. */
static void check_service(Doctor *d) {
        Error e = {};
        int r;

        if (!d->sidecar || !json_text_at(d->status, "client-id")[0])
                return;
        r = sidecar_client_list_keys(d->sidecar, "", count_key, d, &e);
        if (r < 0 && r != -ECANCELED) {
                doctor_say_error(d, service_check(r), &e);
                return;
        }
        doctor_say(d, RESULT_OK, "service", NULL, "%s answers, for account %s",
                   json_text_at(d->status, "service"), json_text_at(d->status, "account"));
        if (d->n_keys == 0)
                doctor_say(d, RESULT_WARN, "keys",
                           "ask a key manager for a key in the account's TSG",
                           "there is no key that you may use below '%s'",
                           json_text_at(d->status, "scope"));
        else
                doctor_say(d, RESULT_OK, "keys", NULL, "%zu that you may use", d->n_keys);
}

static int doctor_run(char *args[], size_t n, Error *e) {
        _cleanup_(doctor_done) Doctor d = { .findings = json_array(), .status = json_object() };

        doctor_openssl_find(&d);
        check_sidecar(&d);
        doctor_environment(&d);
        doctor_credential(&d);
        doctor_clock(&d);
        check_service(&d);
        doctor_way(&d);
        doctor_openssl(&d, arg_module);
        if (arg_ref)
                doctor_reference(&d, arg_ref);

        output_findings(d.findings);
        return d.failed;
}

static const Option doctor_options[] = {
        { "module", "FILE", "csign.so (default: CSIGN_MODULE, or the installed one)", &arg_module },
        { "ref", "FILE", "a key reference: is it still that key?", &arg_ref },
};

const Verb verb_doctor = {
        .name = "doctor",
        .args = "",
        .help = "what is wrong on the way to a signature",
        .example = "csign doctor",
        OPTIONS(doctor_options),
        .flags = VERB_SIDECAR | VERB_JSON,
        .run = doctor_run,
};
