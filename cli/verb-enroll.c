/* SPDX-License-Identifier: Apache-2.0 */
/* csign enroll: makes an account's key on this machine, or takes one that is there or in a TPM,
 * registers its public half by a code, and ends with a sidecar that is logged in. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/ask-account.h"
#include "cli/cli.h"
#include "cli/grant.h"
#include "cli/output.h"
#include "cli/pair.h"
#include "lib/credential.h"
#include "lib/ossl.h"

static const char *arg_enroll_service, *arg_enroll_ca, *arg_code, *arg_enroll_for,
        *arg_enroll_config, *arg_enroll_key, *arg_enroll_provider, *arg_enroll_algorithm;

/* A trailing slash is no part of the issuer. */
static int normal_service(const char *url, Buf *ret) {
        size_t len = strlen(url);

        while (len > 0 && url[len - 1] == '/')
                len--;
        return buf_append(ret, url, len);
}

static int check_arguments(Error *e) {
        if (arg_enroll_key && arg_enroll_algorithm)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "--algorithm is of a key that is made here: without --key");
        if (arg_enroll_provider && !arg_enroll_key)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "--key-provider wants the --key that it has");
        return 0;
}

/* A key that is there: the sidecar gets it as csign login would give it. */
static int take_key(Grant *g, EVP_PKEY **ret, Error *e) {
        _cleanup_(credential_freep) Credential *c = NULL;
        char path[PATH_MAX];
        int r;

        r = grant_take_key(g, arg_enroll_key, arg_enroll_provider, e);
        if (r < 0)
                return r;
        if (!g->key_uri && !realpath(arg_enroll_key, path))
                return error_set(e, -errno, "cannot resolve %s: %s", arg_enroll_key,
                                 strerror(errno));
        r = credential_load(&c, g->key_uri ?: path, arg_enroll_provider, "csign enroll", e);
        if (r < 0)
                return r;
        if (EVP_PKEY_up_ref(c->key) != 1)
                return -ENOMEM;
        *ret = c->key;
        return 0;
}

static int find_key(Grant *g, EVP_PKEY **ret, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        int r;

        if (arg_enroll_key)
                return take_key(g, ret, e);
        r = pair_generate(arg_enroll_algorithm ?: "P-256", &key, e);
        if (r >= 0)
                r = pair_private(key, &g->files[GRANT_KEY].after, e);
        if (r < 0)
                return r;
        *ret = TAKE(key);
        return 0;
}

/* The key is in its file before the code is used up: a key that is registered and lost would cost
 * another code. */
static int register_key(Grant *g, const char *service, EVP_PKEY *key, json_t **ret, Error *e) {
        int r;

        r = grant_describe(g, service, "", arg_enroll_ca, e);
        if (r >= 0)
                r = grant_write(g, GRANT_KEY, e);
        if (r >= 0)
                r = account_enroll(service, arg_enroll_ca, key, arg_code, ret, e);
        if (r < 0)
                grant_take_back(g);
        return r;
}

/* From here on nothing is taken back: the service knows the key. */
static int install(Grant *g, const char *service, const Credential *c, const char *client_id,
                   SidecarClient *sidecar, Error *e) {
        _cleanup_(account_client_closep) AccountClient *a = NULL;
        int r;

        r = grant_describe(g, service, client_id, arg_enroll_ca, e);
        if (r >= 0)
                r = grant_write_all(g, e);
        if (r >= 0)
                r = account_client_open(&a, service, arg_enroll_ca, c, client_id, e);
        return r < 0 ? r : grant_prove(g, sidecar, e);
}

static int enroll(Grant *g, const char *service, SidecarClient *sidecar, Error *e) {
        _cleanup_(credential_freep) Credential *c = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(json_decrefp) json_t *answer = NULL;
        const char *client_id;
        int r;

        r = find_key(g, &key, e);
        if (r >= 0)
                r = register_key(g, service, key, &answer, e);
        if (r < 0)
                return r;
        client_id = json_text_at(answer, "client_id");
        if (!id_is_valid(client_id, "acc"))
                return error_set(e, -CSIGN_E_BAD_ANSWER, "the service gave no client id");

        r = credential_new(&c, key, "the new key", client_id, e);
        if (r >= 0)
                r = install(g, service, c, client_id, sidecar, e);
        return r < 0 ? r : grant_report(g, sidecar, client_id, "Enrolled: logged in to", e);
}

static int enroll_run(char *args[], size_t n, Error *e) {
        _cleanup_(sidecar_client_freep) SidecarClient *sidecar = NULL;
        _cleanup_(buf_done) Buf service = {};
        _cleanup_(grant_done) Grant g = {};
        int r;

        r = check_arguments(e);
        if (r >= 0)
                r = normal_service(arg_enroll_service, &service);
        if (r >= 0)
                r = grant_open(&g, arg_enroll_for, arg_enroll_config, e);
        if (r >= 0)
                r = grant_sidecar(&g, &sidecar, e);
        return r < 0 ? r : enroll(&g, buf_str(&service), sidecar, e);
}

static const Option enroll_options[] = {
        /* clang-format off */
        { "service", "URL", "the signing service", &arg_enroll_service, .required = true },
        { "code", "CODE", "from csign account enroll; good once", &arg_code, .required = true },
        { "ca", "FILE", "the service's CA certificates (default: the system's)", &arg_enroll_ca },
        { "algorithm", "NAME", "P-256 (default) P-384 RSA-3072 RSA-4096 Ed25519", &arg_enroll_algorithm },
        { "key", "FILE", "a private key that is there, or a provider's URI: not a new one", &arg_enroll_key },
        { "key-provider", "NAME", "OpenSSL's provider for that key, such as tpm2", &arg_enroll_provider },
        { "for", "WHICH", "user or machine (default: machine for root)", &arg_enroll_for },
        { "config", "DIR", "the sidecar's folder, if it has another", &arg_enroll_config },
        /* clang-format on */
};

const Verb verb_enroll = {
        .name = "enroll",
        .args = "--service URL ...",
        .help = "logs the sidecar in by a code, with a new key",
        .example = "csign enroll --service https://sign.example.com:8443 --ca ca.pem \\\n"
                   "      --code enr_...\n"
                   "  csign enroll --service https://sign.example.com:8443 --code enr_... \\\n"
                   "      --key handle:0x81000001 --key-provider tpm2",
        OPTIONS(enroll_options),
        .flags = VERB_SIDECAR | VERB_JSON,
        .run = enroll_run,
};
