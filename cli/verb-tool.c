/* SPDX-License-Identifier: Apache-2.0 */
/* csign osslsigncode, csign sbsign, ...: a signing tool that is given a csign URI where it wants a
 * key file.  Sets everything up, runs it, has a stock program verify what came out, cleans up. */

#include <errno.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "cli/ask-sidecar.h"
#include "cli/child.h"
#include "cli/cli.h"
#include "cli/files.h"
#include "cli/folders.h"
#include "cli/key-files.h"
#include "cli/openssl-conf.h"
#include "cli/output.h"
#include "cli/tools.h"
#include "lib/ossl.h"

#define SCHEME "csign:"

/* Certificates that a result must lead to, where the key's own chain does not say. */
#define TRUST_VARIABLE "CSIGN_VERIFY_CA"
#define SYSTEM_TRUST   "/etc/ssl/certs/ca-certificates.crt"

static void tool_call_done(ToolCall *c) {
        for (size_t i = 0; c->argv && i < c->n; i++)
                free(c->argv[i]);
        free(c->argv);
        key_info_done(&c->key);
        temp_folder_done(&c->temp);
}

static void closep(FILE **f) {
        if (*f)
                (void) fclose(*f);
}

/* ---- finding programs ---- */

static bool find_in_path(const char *name, char ret[static PATH_MAX]) {
        const char *path = getenv("PATH");

        for (const char *p = path ? path : "/usr/bin:/bin"; *p; p += strspn(p, ":")) {
                size_t len = strcspn(p, ":");

                (void) snprintf(ret, PATH_MAX, "%.*s/%s", (int) len, p, name);
                if (access(ret, X_OK) == 0)
                        return true;
                p += len;
        }
        return false;
}

static bool find_in_place(const char *pattern, char ret[static PATH_MAX]) {
        glob_t found = {};
        bool there = pattern && glob(pattern, 0, NULL, &found) == 0;

        if (there)
                (void) snprintf(ret, PATH_MAX, "%s", found.gl_pathv[found.gl_pathc - 1]);
        globfree(&found);
        return there;
}

static int find_programs(ToolCall *c, Error *e) {
        const Tool *t = c->tool;
        char verifier[PATH_MAX];

        if (!find_in_path(t->name, c->program) && !find_in_place(t->place, c->program))
                return error_set(e, -CSIGN_E_NOT_FOUND, "%s is not installed: apt-get install %s",
                                 t->name, t->package);
        if (t->verifier && !find_in_path(t->verifier, verifier))
                return error_set(e, -CSIGN_E_NOT_FOUND,
                                 "%s is not installed, and has to verify the result: apt-get "
                                 "install %s",
                                 t->verifier, t->verifier_package);
        return 0;
}

/* ---- the arguments ---- */

/* Copies, with room for an option and its value. */
static int copy_arguments(ToolCall *c, char *args[], size_t n) {
        c->argv = calloc(n + 4, sizeof(char *));
        if (!c->argv)
                return -ENOMEM;
        c->argv[c->n++] = strdup(c->program);
        for (size_t i = 0; i < n; i++)
                c->argv[c->n++] = strdup(args[i]);
        for (size_t i = 0; i < c->n; i++)
                if (!c->argv[i])
                        return -ENOMEM;
        return 0;
}

static int check_verb(const ToolCall *c, Error *e) {
        const Tool *t = c->tool;

        for (const char *const *v = t->verbs; v && *v; v++)
                if (c->n > 1 && strcmp(c->argv[1], *v) == 0)
                        return 0;
        return !t->verbs ? 0
                         : error_set(e, -CSIGN_E_BAD_REQUEST,
                                     "csign %s only signs: its first argument is %s%s%s", t->name,
                                     t->verbs[0], t->verbs[1] ? " or " : "",
                                     t->verbs[1] ? t->verbs[1] : "");
}

static bool is_uri(const char *value) {
        return strncmp(value, SCHEME, strlen(SCHEME)) == 0;
}

static int find_key(ToolCall *c, Error *e) {
        const Tool *t = c->tool;
        size_t at[8] = {};

        if (t->key)
                c->key_at = tool_option(c, t->key, &c->uri);
        else if (tool_positions(c, at, ELEMENTSOF(at)) >= t->key_position)
                c->key_at = at[t->key_position - 1];
        if (c->key_at && !t->key)
                c->uri = c->argv[c->key_at];
        if (!c->key_at || !is_uri(c->uri))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "there is no csign:// URI where %s takes its key%s%s", t->name,
                                 t->key ? ", " : "", t->key ? t->key[0] : "");
        return 0;
}

/* sign-file takes HASH KEY CERTIFICATE MODULE [DEST], and from us no certificate, too: is what
 * stands there the module? */
static bool is_elf(const char *path) {
        _cleanup_(closep) FILE *f = fopen(path, "re");
        char magic[4] = "";

        return f && fread(magic, 1, sizeof(magic), f) == sizeof(magic) &&
               memcmp(magic, "\177ELF", sizeof(magic)) == 0;
}

static size_t certificate_position(const ToolCall *c) {
        size_t at[8] = {}, n = tool_positions(c, at, ELEMENTSOF(at)), i = c->tool->key_position;

        return i > 0 && n > i + 1 && !is_elf(c->argv[at[i]]) ? at[i] : 0;
}

/* Where a certificate belongs the key's URI may stand, too. */
static int find_certificate(ToolCall *c, size_t *ret_at, const char **ret_value, Error *e) {
        *ret_at = tool_option(c, c->tool->cert, ret_value);
        if (!*ret_at && certificate_position(c)) {
                *ret_at = certificate_position(c);
                *ret_value = c->argv[*ret_at];
        }
        if (!*ret_at)
                return 0;
        if (!is_uri(*ret_value)) {
                c->given_certificate = *ret_value;
                return 0;
        }
        return strcmp(*ret_value, c->uri) == 0
                       ? 0
                       : error_set(e, -CSIGN_E_BAD_REQUEST,
                                   "key and certificate are of two URIs: %s and %s", c->uri,
                                   *ret_value);
}

static int fetch_key(ToolCall *c, Error *e) {
        _cleanup_(sidecar_client_freep) SidecarClient *client = NULL;
        int r;

        r = sidecar_open(&client, e);
        if (r >= 0)
                r = sidecar_key(client, c->uri, &c->key, e);
        if (r >= 0 && c->key.n_certificates == 0)
                r = error_set(e, -CSIGN_E_NOT_FOUND,
                              "key '%s' has no certificate: nobody could verify what %s signs",
                              c->key.path, c->tool->name);
        return r;
}

/* ---- the temporary files ---- */

static int append_file(Buf *b, const char *path, Error *e) {
        _cleanup_(buf_done) Buf file = {};
        char real[PATH_MAX];
        int r;

        r = file_read(realpath(path, real) ? real : path, FILE_ANY, &file, e);
        return r < 0 ? r : buf_append(b, file.data, file.len);
}

/* What the result's certificate must lead to: the key's own chain; or, if the user has another
 * certificate for the key, what he says, else that file and the authorities that the system knows.
 */
static int trust_text(const ToolCall *c, Buf *ret, Error *e) {
        const char *named = getenv(TRUST_VARIABLE);
        const size_t n = c->key.n_certificates;
        int r;

        r = key_certificates_pem(&c->key, 1, n > 2 ? n - 2 : 0, ret, e);
        if (r >= 0)
                r = key_anchor_pem(&c->key, ret, e);
        if (r >= 0 && named && named[0])
                return append_file(ret, named, e);
        if (r < 0 || !c->given_certificate)
                return r;
        r = append_file(ret, c->given_certificate, e);
        if (r >= 0 && access(SYSTEM_TRUST, R_OK) == 0)
                r = append_file(ret, SYSTEM_TRUST, e);
        return r;
}

static int write_conf(ToolCall *c, Error *e) {
        _cleanup_(buf_done) Buf text = {};
        char module[PATH_MAX], base[PATH_MAX];
        int r;

        r = module_find(NULL, module, e);
        if (r < 0)
                return r;
        openssl_conf_current(base);
        r = openssl_conf_text(module, base, &text, e);
        return r < 0 ? r : temp_folder_file(&c->temp, "openssl.cnf", &text, 0600, c->conf, e);
}

static bool is_of_key(const X509 *cert, const KeyInfo *key) {
        uint8_t *der = NULL;
        int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
        bool same = len > 0 && (size_t) len == key->spki.len &&
                    memcmp(der, key->spki.data, key->spki.len) == 0;

        OPENSSL_free(der);
        return same;
}

/* The certificate that the signature will be under, from the user's file: any tool would take it as
 * long as the public key is the key's. */
static int given_certificate(const ToolCall *c, X509 **ret, Error *e) {
        _cleanup_(BIO_free_allp) BIO *in = BIO_new_file(c->given_certificate, "r");
        X509 *cert;

        if (!in)
                return error_set(e, -CSIGN_E_NOT_FOUND, "cannot read the certificate %s",
                                 c->given_certificate);
        while ((cert = PEM_read_bio_X509(in, NULL, NULL, NULL)) && !is_of_key(cert, &c->key))
                X509_free(cert);
        if (!cert && BIO_reset(in) >= 0) {
                cert = d2i_X509_bio(in, NULL);
                if (cert && !is_of_key(cert, &c->key)) {
                        X509_free(cert);
                        cert = NULL;
                }
        }
        ERR_clear_error();
        if (!cert)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "%s has no certificate of %s",
                                 c->given_certificate, c->uri);
        *ret = cert;
        return 0;
}

static int own_certificate(const ToolCall *c, X509 **ret, Error *e) {
        const uint8_t *p = c->key.certificates[0].data;

        *ret = d2i_X509(NULL, &p, (long) c->key.certificates[0].len);
        return *ret ? 0 : error_set(e, -CSIGN_E_BAD_ANSWER, "the key's certificate cannot be read");
}

/* The signer's certificate, in both forms. */
static int write_certificate(ToolCall *c, Error *e) {
        _cleanup_(BIO_free_allp) BIO *pem = BIO_new(BIO_s_mem()), *der = BIO_new(BIO_s_mem());
        _cleanup_(X509_freep) X509 *cert = NULL;
        Buf text = {};
        char *data;
        int r;

        r = c->given_certificate ? given_certificate(c, &cert, e) : own_certificate(c, &cert, e);
        if (r < 0)
                return r;
        if (!pem || !der || !PEM_write_bio_X509(pem, cert) || !i2d_X509_bio(der, cert))
                return -ENOMEM;
        text.len = (size_t) BIO_get_mem_data(pem, &data);
        text.data = (uint8_t *) data;
        r = temp_folder_file(&c->temp, "cert.pem", &text, 0600, c->certificate, e);
        text.len = (size_t) BIO_get_mem_data(der, &data);
        text.data = (uint8_t *) data;
        return r < 0 ? r : temp_folder_file(&c->temp, "cert.der", &text, 0600, c->der, e);
}

static int write_certificates(ToolCall *c, Error *e) {
        _cleanup_(buf_done) Buf chain = {}, trust = {};
        int r;

        r = write_certificate(c, e);
        if (r >= 0)
                r = key_certificates_pem(&c->key, 0, SIZE_MAX, &chain, e);
        if (r >= 0)
                r = temp_folder_file(&c->temp, "chain.pem", &chain, 0600, c->chain, e);
        if (r >= 0)
                r = trust_text(c, &trust, e);
        return r < 0 ? r : temp_folder_file(&c->temp, "trust.pem", &trust, 0600, c->trust, e);
}

static int write_files(ToolCall *c, Error *e) {
        _cleanup_(buf_done) Buf reference = {};
        int r;

        r = temp_folder_new(&c->temp, 0700, e);
        if (r >= 0)
                r = write_conf(c, e);
        if (r >= 0)
                r = key_reference_pem(&c->key, &reference, e);
        if (r >= 0)
                r = temp_folder_file(&c->temp, "key.pem", &reference, 0600, c->reference, e);
        return r < 0 ? r : write_certificates(c, e);
}

/* ---- the tool's own arguments ---- */

static int insert_argument(ToolCall *c, size_t at, const char *value) {
        char *copy = strdup(value);

        if (!copy)
                return -ENOMEM;
        memmove(&c->argv[at + 1], &c->argv[at], (c->n - at + 1) * sizeof(char *));
        c->argv[at] = copy;
        c->n++;
        return 0;
}

/* After it, no index into argv holds any more. */
static int put_certificate(ToolCall *c, size_t at, const char *value) {
        const Tool *t = c->tool;
        int r;

        if (at)
                return is_uri(value) ? tool_replace(c, at, value, c->chain) : 0;
        if (t->key_position)
                return insert_argument(c, c->key_at + 1, c->chain);
        if (!t->add_cert)
                return 0;
        r = insert_argument(c, t->verbs ? 2 : 1, c->chain);
        return r < 0 ? r : insert_argument(c, t->verbs ? 2 : 1, t->add_cert);
}

static int put_files(ToolCall *c, size_t cert_at, const char *cert_value, Error *e) {
        char key[TEMP_PATH_MAX];
        int r = 0;

        (void) snprintf(key, sizeof(key), "%s", c->reference);
        if (c->tool->key_files)
                r = c->tool->key_files(c, key, e);
        if (r >= 0)
                r = tool_replace(c, c->key_at, c->uri, key);
        return r < 0 ? r : put_certificate(c, cert_at, cert_value);
}

static int find_output(ToolCall *c, char buf[static PATH_MAX], Error *e) {
        size_t at[8] = {}, n;

        if (tool_option(c, c->tool->out, &c->output))
                return 0;
        if (c->tool->find_output)
                return c->tool->find_output(c, buf, e);
        n = tool_positions(c, at, ELEMENTSOF(at));
        if (n == 0 || n == ELEMENTSOF(at))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "there is no output file in the arguments of %s", c->tool->name);
        c->output = c->argv[at[n - 1]];
        return 0;
}

/* ---- running it ---- */

static bool is_untouched(const struct stat *a, const struct stat *b) {
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
               a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
               a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* A tool that did nothing must not pass for one that signed, not even over an older, good output.
 */
static int run_and_verify(ToolCall *c, Error *e) {
        struct stat before = {}, after = {};
        int r;

        if (c->output)
                (void) stat(c->output, &before);
        r = child_run(&(Child){ .argv = c->argv, .openssl_conf = c->conf }, e);
        if (r != 0)
                return r;
        if (c->output && (stat(c->output, &after) < 0 || is_untouched(&before, &after)))
                return error_set(e, -CSIGN_E_BAD_SIGNATURE,
                                 "%s ended with 0, but has not written %s", c->tool->name,
                                 c->output);
        return c->tool->verify(c, e);
}

static int tool_prepare(ToolCall *c, char *args[], size_t n, char output[static PATH_MAX],
                        Error *e) {
        const char *cert_value = NULL;
        size_t cert_at = 0;
        int r;

        r = find_programs(c, e);
        if (r >= 0)
                r = copy_arguments(c, args, n);
        if (r >= 0)
                r = check_verb(c, e);
        if (r >= 0)
                r = find_key(c, e);
        if (r >= 0)
                r = find_certificate(c, &cert_at, &cert_value, e);
        if (r >= 0)
                r = fetch_key(c, e);
        if (r < 0)
                return r;

        child_watch_signals();
        r = write_files(c, e);
        if (r >= 0)
                r = put_files(c, cert_at, cert_value, e);
        return r < 0 ? r : find_output(c, output, e);
}

static int tool_run(const Tool *tool, char *args[], size_t n, Error *e) {
        _cleanup_(tool_call_done) ToolCall c = { .tool = tool };
        char output[PATH_MAX];
        int r;

        r = tool_prepare(&c, args, n, output, e);
        return r < 0 ? r : run_and_verify(&c, e);
}

int tool_check(ToolCall *c, const char *const argv[], const char *const words[], Error *e) {
        _cleanup_(buf_done) Buf said = {};
        const Child verifier = {
                .argv = (char *const *) argv, /* as execvp() has it: nobody writes there */
                .openssl_conf = "/dev/null",
                .without_csign = true,
                .output = &said,
        };
        int r;

        r = child_run(&verifier, e);
        if (r < 0)
                return r;
        for (; r == 0 && *words; words++)
                if (!strstr(buf_str(&said), *words))
                        r = -1;
        if (r == 0)
                return 0;
        (void) fwrite(buf_str(&said), 1, said.len, stderr);
        return r > 128 ? r
                       : error_set(e, -CSIGN_E_BAD_SIGNATURE,
                                   "%s ended with 0, but %s does not find the signature of %s%s%s",
                                   c->tool->name, argv[0], c->key.path, c->output ? " in " : "",
                                   c->output ? c->output : "");
}

/* ---- the verbs ---- */

/* One row and one function each; the table of what they do is in tools.c. */
#define TOOL_VERB(id, tool_name, what, line)                                                       \
        static int run_##id(char *args[], size_t n, Error *e) {                                    \
                return tool_run(&tool_##id, args, n, e);                                           \
        }                                                                                          \
        const Verb verb_##id = {                                                                   \
                .name = tool_name,                                                                 \
                .args = "ARGS ...",                                                                \
                .help = what,                                                                      \
                .example = line,                                                                   \
                .max_args = SIZE_MAX,                                                              \
                .flags = VERB_RAW,                                                                 \
                .run = run_##id,                                                                   \
        }

TOOL_VERB(osslsigncode, "osslsigncode", "signs a Windows program, and verifies it",
          "csign osslsigncode sign -key csign://acme/mobile/firmware -h sha256 \\\n"
          "      -in a.exe -out a.signed.exe");
TOOL_VERB(sbsign, "sbsign", "signs an EFI program, and verifies it",
          "csign sbsign --key csign://acme/boot/db --output grub.signed.efi grub.efi");
TOOL_VERB(sign_file, "sign-file", "signs a kernel module, and verifies it",
          "csign sign-file sha256 csign://acme/kernel/modules module.ko");
TOOL_VERB(evmctl, "evmctl", "signs files for IMA, and verifies them",
          "csign evmctl ima_sign -a sha256 --key csign://acme/ima/files /usr/bin/app");
TOOL_VERB(rauc, "rauc", "makes a signed update bundle, and verifies it",
          "csign rauc bundle --key=csign://acme/firmware/updates content/ update.raucb");
TOOL_VERB(mkimage, "mkimage", "signs a FIT image, and verifies it",
          "csign mkimage -f fit.its -k csign://acme/firmware/dev fit.itb");
