/* SPDX-License-Identifier: Apache-2.0 */
/* csign doctor: looks at every link between a program that signs and the service, and says of each
 * what is wrong and what to do. */

#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "cli/ask-sidecar.h"
#include "cli/cli.h"
#include "cli/folders.h"
#include "cli/openssl-conf.h"
#include "cli/output.h"

/* Who looks for a fault has not half a minute for each question. */
#define ANSWER_USEC ((uint64_t) 5 * 1000 * 1000)

static const char *arg_module;

typedef enum Result { RESULT_OK, RESULT_WARN, RESULT_FAIL } Result;

typedef struct Doctor {
        json_t *findings;
        bool failed;
        SidecarClient *sidecar; /* NULL after it did not answer */
        json_t *status;         /* what it said */
        size_t n_keys;
} Doctor;

static void doctor_done(Doctor *d) {
        sidecar_client_free(d->sidecar);
        json_decref(d->status);
        json_decref(d->findings);
}

static void finding(Doctor *d, Result result, const char *check, const char *advice,
                    const char *fmt, ...) _printf_(5, 6);

static void finding(Doctor *d, Result result, const char *check, const char *advice,
                    const char *fmt, ...) {
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

static void finding_error(Doctor *d, const char *check, const Error *e) {
        char text[ERROR_TEXT_MAX];

        finding(d, RESULT_FAIL, check, error_info(e->code)->advice, "%s", error_text(e, text));
}

/* ---- sidecar, credential, service ---- */

static int status_add(const char *name, const char *value, void *userdata) {
        return json_object_set_new(userdata, name, json_string(value)) < 0 ? -ENOMEM : 0;
}

static void check_sidecar(Doctor *d) {
        Error e = {};
        const char *version;

        if (sidecar_client_new(&d->sidecar, arg_bus, ANSWER_USEC, &e) < 0 ||
            sidecar_client_status(d->sidecar, status_add, d->status, &e) < 0) {
                finding_error(d, "sidecar", &e);
                sidecar_client_free(d->sidecar);
                d->sidecar = NULL;
                return;
        }
        version = json_text_at(d->status, "version");
        if (strcmp(version, CSIGN_VERSION) != 0)
                finding(d, RESULT_WARN, "sidecar", "restart the sidecar after an update",
                        "%s answers, with version %s beside csign %s",
                        sidecar_client_address(d->sidecar), version, CSIGN_VERSION);
        else
                finding(d, RESULT_OK, "sidecar", NULL, "%s answers (version %s, %s grant)",
                        sidecar_client_address(d->sidecar), version,
                        json_text_at(d->status, "grant"));
}

static void check_credential(Doctor *d) {
        const char *path = json_text_at(d->status, "credential");
        struct stat st;

        if (!d->sidecar)
                return;
        if (!json_text_at(d->status, "client-id")[0]) {
                finding(d, RESULT_FAIL, "credential", error_info(CSIGN_E_NO_CREDENTIAL)->advice,
                        "the sidecar has no account");
                return;
        }
        if (path[0] && stat(path, &st) == 0 && (st.st_mode & 0077)) {
                finding(d, RESULT_FAIL, "credential",
                        "chmod 600 it, and replace it: others may have read it", "%s has mode %04o",
                        path, st.st_mode & 07777);
                return;
        }
        finding(d, RESULT_OK, "credential", NULL, "%s (%s)", json_text_at(d->status, "client-id"),
                path);
}

static int count_key(const KeyInfo *k, void *userdata) {
        Doctor *d = userdata;

        d->n_keys++;
        return 0;
}

/* Asks for something that only the service knows: the whole way there and back. */
static void check_service(Doctor *d) {
        Error e = {};

        if (!d->sidecar)
                return;
        if (sidecar_client_list_keys(d->sidecar, "", count_key, d, &e) < 0) {
                finding_error(d, e.code == -CSIGN_E_LOCAL_POLICY ? "policy" : "service", &e);
                return;
        }
        finding(d, RESULT_OK, "service", NULL, "%s answers, for account %s",
                json_text_at(d->status, "service"), json_text_at(d->status, "account"));
        if (d->n_keys == 0)
                finding(d, RESULT_WARN, "keys", "ask a key manager for a key in the account's TSG",
                        "there is no key that you may use below '%s'",
                        json_text_at(d->status, "scope"));
        else
                finding(d, RESULT_OK, "keys", NULL, "%zu that you may use", d->n_keys);
}

/* ---- OpenSSL ---- */

static const char *openssl_error(char buf[static 256]) {
        unsigned long last = ERR_peek_last_error();
        const char *reason = last ? ERR_reason_error_string(last) : NULL;

        (void) snprintf(buf, 256, "%s", reason ? reason : "no reason given");
        ERR_clear_error();
        return buf;
}

/* Loads it as a program would, in a library context of its own. */
static void check_module(Doctor *d) {
        char path[PATH_MAX], folder[PATH_MAX], why[256];
        OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
        OSSL_PROVIDER *csign = NULL;
        Error e = {};

        if (!ctx || module_find(arg_module, path, &e) < 0) {
                finding(d, RESULT_FAIL, "module",
                        "install csign's provider, or name it: --module FILE", "%s", e.detail);
                OSSL_LIB_CTX_free(ctx);
                return;
        }
        (void) snprintf(folder, sizeof(folder), "%s", path);
        if (OSSL_PROVIDER_set_default_search_path(ctx, dirname(folder)))
                csign = OSSL_PROVIDER_load(ctx, "csign");
        if (csign)
                finding(d, RESULT_OK, "module", NULL, "%s loads in %s", path,
                        OpenSSL_version(OPENSSL_VERSION_STRING));
        else
                finding(d, RESULT_FAIL, "module",
                        "ldd it: is a library missing, is it for this OpenSSL?",
                        "%s does not load: %s", path, openssl_error(why));
        if (csign)
                OSSL_PROVIDER_unload(csign);
        OSSL_LIB_CTX_free(ctx);
}

/* Who makes RSA keys in a program with this configuration?  Asking for a provider sorts OpenSSL's
 * stack of them by name, which is what brings out a wrong order (csign before default). */
static void check_order(Doctor *d, OSSL_LIB_CTX *ctx) {
        static const char advice[] =
                "put default_properties = ?provider!=csign into its alg_section: "
                "see csign openssl-conf";
        EVP_KEYMGMT *rsa = NULL;

        if (!OSSL_PROVIDER_available(ctx, "default")) {
                finding(d, RESULT_FAIL, "default provider",
                        "activate default beside csign: see csign openssl-conf",
                        "it is not active: reading files and certificates will fail");
                return;
        }
        rsa = EVP_KEYMGMT_fetch(ctx, "RSA", NULL);
        if (rsa && strcmp(OSSL_PROVIDER_get0_name(EVP_KEYMGMT_get0_provider(rsa)), "csign") == 0)
                finding(d, RESULT_FAIL, "provider order", advice,
                        "csign comes before the default provider for every key of the program");
        else
                finding(d, RESULT_OK, "provider order", NULL, "the default provider comes first");
        EVP_KEYMGMT_free(rsa);
}

static void check_openssl_conf(Doctor *d) {
        OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
        char path[PATH_MAX], why[256];

        openssl_conf_current(path);
        OPENSSL_load_builtin_modules();
        if (!path[0])
                finding(d, RESULT_WARN, "openssl.cnf", "sign with: csign run -- COMMAND",
                        "there is none: programs do not know csign:// by themselves");
        else if (!ctx || !OSSL_LIB_CTX_load_config(ctx, path))
                finding(d, RESULT_FAIL, "openssl.cnf", "compare it with: csign openssl-conf",
                        "%s does not load: %s", path, openssl_error(why));
        else if (!OSSL_PROVIDER_available(ctx, "csign"))
                finding(d, RESULT_WARN, "openssl.cnf",
                        "sign with: csign run -- COMMAND, or export OPENSSL_CONF=" MACHINE_FOLDER
                        "/openssl.cnf",
                        "%s does not load csign: programs do not know csign:// by themselves",
                        path);
        else {
                finding(d, RESULT_OK, "openssl.cnf", NULL, "%s loads csign", path);
                check_order(d, ctx);
        }
        OSSL_LIB_CTX_free(ctx);
}

/* OpenSSL tries "csign:path" as a file name first; "csign://path" never. */
static void check_shadow(Doctor *d) {
        glob_t found = {};

        if (glob("csign:*", GLOB_NOSORT, NULL, &found) == 0)
                finding(d, RESULT_WARN, "shadow", "remove it, or write csign:// with two slashes",
                        "the local file '%s' shadows a csign: URI", found.gl_pathv[0]);
        globfree(&found);
}

static int doctor_run(char *args[], size_t n, Error *e) {
        _cleanup_(doctor_done) Doctor d = { .findings = json_array(), .status = json_object() };

        check_sidecar(&d);
        check_credential(&d);
        check_service(&d);
        check_module(&d);
        check_openssl_conf(&d);
        check_shadow(&d);

        output_findings(d.findings);
        return d.failed;
}

static const Option doctor_options[] = {
        { "module", "FILE", "csign.so (default: CSIGN_MODULE, or the installed one)", &arg_module },
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
