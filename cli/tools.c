/* SPDX-License-Identifier: Apache-2.0 */

/* The table of signing tools, and what each needs done its own way. */

#include "cli/tools.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "cli/ask-sidecar.h"
#include "cli/files.h"
#include "cli/fit.h"
#include "lib/ossl.h"

/* A list of words that ends in NULL. */
#define WORDS(...)                                                                                 \
        (const char *const[]) {                                                                    \
                __VA_ARGS__, NULL                                                                  \
        }

/* What csign itself reads whole: modules and FIT images. */
#define FILE_MAX ((size_t) 1024 * 1024 * 1024)

/* The SHA-256 of bytes, in hexadecimal, each two digits with a separator between. */
static int hash_text(const Buf *data, const char *separator, Buf *ret) {
        uint8_t hash[EVP_MAX_MD_SIZE];
        int r = 0;

        if (EVP_Digest(data->data, data->len, hash, NULL, EVP_sha256(), NULL) <= 0)
                return -EIO;
        for (size_t i = 0; i < 32 && r >= 0; i++)
                r = buf_printf(ret, "%s%02X", i > 0 ? separator : "", hash[i]);
        return r;
}

/* ---- osslsigncode ---- */

static int verify_osslsigncode(ToolCall *c, Error *e) {
        _cleanup_(buf_done) Buf der = {}, leaf = {};
        int r;

        r = file_read(c->der, FILE_ANY, &der, e);
        if (r >= 0)
                r = buf_append_str(&leaf, "sha256:");
        if (r >= 0)
                r = hash_text(&der, "", &leaf);
        return r < 0 ? r
                     : tool_check(c,
                                  WORDS(c->program, "verify", "-CAfile", c->trust,
                                        "-ignore-timestamp", "-require-leaf-hash", buf_str(&leaf),
                                        "-in", c->output),
                                  WORDS("Signature verification: ok"), e);
}

const Tool tool_osslsigncode = {
        .name = "osslsigncode",
        .package = "osslsigncode",
        .verbs = WORDS("sign"),
        .key = WORDS("-key"),
        .cert = WORDS("-certs", "-spc"),
        .add_cert = "-certs",
        .out = WORDS("-out"),
        .values = WORDS("-in", "-ac", "-pass", "-readpass", "-h", "-n", "-i", "-jp", "-t", "-ts",
                        "-p", "-TSA-certs", "-TSA-key", "-TSA-time", "-HTTPS-CAfile",
                        "-HTTPS-CRLfile", "-time", "-CAfile", "-CRLfile", "-provider", "-engine",
                        "-st", "-blobFile"),
        .verify = verify_osslsigncode,
};

/* ---- sbsign ---- */

static bool has_argument(const ToolCall *c, const char *name) {
        for (size_t i = 1; i < c->n; i++)
                if (strcmp(c->argv[i], name) == 0)
                        return true;
        return false;
}

static int last_position(const ToolCall *c, const char **ret, Error *e) {
        size_t at[8] = {}, n = tool_positions(c, at, ELEMENTSOF(at));

        if (n == 0 || n == ELEMENTSOF(at))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "%s is given no file to sign",
                                 c->tool->name);
        *ret = c->argv[at[n - 1]];
        return 0;
}

static int output_sbsign(ToolCall *c, char buf[static PATH_MAX], Error *e) {
        const char *in = NULL;
        int r;

        r = last_position(c, &in, e);
        if (r < 0)
                return r;
        if (snprintf(buf, PATH_MAX, "%s.%s", in,
                     has_argument(c, "--detached") ? "pk7" : "signed") >= PATH_MAX)
                return error_set(e, -ENAMETOOLONG, "the name '%s' is too long", in);
        c->output = buf;
        return 0;
}

static int verify_sbsign(ToolCall *c, Error *e) {
        static const char *const words[] = { "Signature verification OK", NULL };
        const char *in = NULL;
        int r;

        if (!has_argument(c, "--detached"))
                return tool_check(c, WORDS("sbverify", "--cert", c->certificate, c->output), words,
                                  e);
        r = last_position(c, &in, e);
        return r < 0 ? r
                     : tool_check(c,
                                  WORDS("sbverify", "--cert", c->certificate, "--detached",
                                        c->output, in),
                                  words, e);
}

const Tool tool_sbsign = {
        .name = "sbsign",
        .package = "sbsigntool",
        .verifier = "sbverify",
        .verifier_package = "sbsigntool",
        .key = WORDS("--key"),
        .cert = WORDS("--cert"),
        .add_cert = "--cert",
        .out = WORDS("--output"),
        .values = WORDS("--engine", "--addcert"),
        .find_output = output_sbsign,
        .verify = verify_sbsign,
};

/* ---- sign-file ---- */

#define MODULE_MAGIC "~Module signature appended~\n"

/* What stands between the signature and the magic: seven bytes, zeroes, the length. */
#define MODULE_INFO_SIZE 12

static int output_sign_file(ToolCall *c, char buf[static PATH_MAX], Error *e) {
        size_t at[8] = {}, n = tool_positions(c, at, ELEMENTSOF(at));

        for (size_t i = 1; i < c->n && c->argv[i][0] == '-'; i++)
                if (strchr(c->argv[i], 'd'))
                        return error_set(e, -CSIGN_E_BAD_REQUEST,
                                         "csign sign-file verifies signed modules, and -d makes "
                                         "none");
        if (n < 4)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "sign-file takes a hash, a key, a certificate or none, and a "
                                 "module");
        c->output = c->argv[at[n > 4 ? 4 : 3]];
        return 0;
}

/* Cuts a signed module into the module and its signature, a CMS message. */
static int split_module(const ToolCall *c, const Buf *file, char content[static TEMP_PATH_MAX],
                        char signature[static TEMP_PATH_MAX], Error *e) {
        size_t tail = MODULE_INFO_SIZE + strlen(MODULE_MAGIC), len;
        const uint8_t *end = file->data + file->len;
        Buf part = { .data = file->data };
        int r;

        if (file->len < tail ||
            memcmp(end - strlen(MODULE_MAGIC), MODULE_MAGIC, strlen(MODULE_MAGIC)) != 0)
                return error_set(e, -CSIGN_E_BAD_SIGNATURE,
                                 "sign-file ended with 0, but there is no signature in %s",
                                 c->output);
        end -= strlen(MODULE_MAGIC);
        len = (size_t) end[-4] << 24 | (size_t) end[-3] << 16 | (size_t) end[-2] << 8 | end[-1];
        if (len > file->len - tail)
                return error_set(e, -CSIGN_E_BAD_SIGNATURE, "%s: its signature's length is wrong",
                                 c->output);
        part.len = file->len - tail - len;
        r = temp_folder_file(&c->temp, "module", &part, 0600, content, e);
        part = (Buf){ .data = file->data + part.len, .len = len };
        return r < 0 ? r : temp_folder_file(&c->temp, "module.p7s", &part, 0600, signature, e);
}

/* Debian has no program that verifies a module but the kernel: openssl looks at the CMS message,
 * which may be of no other certificate than the key's. */
static int verify_sign_file(ToolCall *c, Error *e) {
        char content[TEMP_PATH_MAX], signature[TEMP_PATH_MAX];
        _cleanup_(buf_done) Buf file = BUF_MAX(FILE_MAX);
        int r;

        r = file_read(c->output, FILE_ANY, &file, e);
        if (r >= 0)
                r = split_module(c, &file, content, signature, e);
        return r < 0 ? r
                     : tool_check(c,
                                  WORDS("openssl", "cms", "-verify", "-binary", "-inform", "DER",
                                        "-in", signature, "-content", content, "-certfile",
                                        c->certificate, "-nointern", "-noverify", "-out",
                                        "/dev/null"),
                                  WORDS("Verification successful"), e);
}

const Tool tool_sign_file = {
        .name = "sign-file",
        .package = "linux-kbuild-6.1",
        .place = "/usr/lib/linux-kbuild-*/scripts/sign-file",
        .verifier = "openssl",
        .verifier_package = "openssl",
        .key_position = 2,
        .find_output = output_sign_file,
        .verify = verify_sign_file,
};

/* ---- evmctl ---- */

/* It writes into the attributes of files, or beside them. */
static int output_evmctl(ToolCall *c, char buf[static PATH_MAX], Error *e) {
        if (has_argument(c, "-r") || has_argument(c, "--recursive"))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "evmctl verifies no folders: give csign evmctl one file after the "
                                 "other (find ... -exec)");
        return 0;
}

/* The same arguments, with the certificate for the key: so it looks for the signature where it
 * put it. */
static int verify_evmctl(ToolCall *c, Error *e) {
        const char *key = NULL;
        size_t at = tool_option(c, c->tool->key, &key);
        int r;

        r = at ? tool_replace(c, at, key, c->der) : -EINVAL;
        if (r >= 0)
                r = tool_replace(c, 1, c->argv[1],
                                 strcmp(c->argv[1], "sign") == 0 ? "verify" : "ima_verify");
        return r < 0 ? r
                     : tool_check(c, (const char *const *) c->argv, WORDS("verification is OK"), e);
}

const Tool tool_evmctl = {
        .name = "evmctl",
        .package = "ima-evm-utils",
        .verbs = WORDS("ima_sign", "sign"),
        .key = WORDS("--key", "-k"),
        .find_output = output_evmctl,
        .verify = verify_evmctl,
};

/* ---- rauc ---- */

/* What a certificate is for is the devices' business (check-purpose in their system.conf). */
static int verify_rauc(ToolCall *c, Error *e) {
        _cleanup_(buf_done) Buf conf = {}, spki = {};
        char conf_file[TEMP_PATH_MAX], keyring[TEMP_PATH_MAX + 16], conf_option[TEMP_PATH_MAX + 16];
        int r;

        r = buf_printf(&conf,
                       "[system]\ncompatible=any\nbootloader=noop\n\n"
                       "[keyring]\npath=%s\ncheck-purpose=any\n",
                       c->trust);
        if (r >= 0)
                r = temp_folder_file(&c->temp, "rauc.conf", &conf, 0600, conf_file, e);
        if (r >= 0)
                r = hash_text(&c->key.spki, ":", &spki);
        if (r < 0)
                return r;
        (void) snprintf(conf_option, sizeof(conf_option), "--conf=%s", conf_file);
        (void) snprintf(keyring, sizeof(keyring), "--keyring=%s", c->trust);
        return tool_check(c, WORDS(c->program, conf_option, "info", keyring, c->output),
                          WORDS("Verified ", buf_str(&spki)), e);
}

const Tool tool_rauc = {
        .name = "rauc",
        .package = "rauc",
        .verifier = "mksquashfs",
        .verifier_package = "squashfs-tools",
        .verbs = WORDS("bundle", "resign"),
        .key = WORDS("--key"),
        .cert = WORDS("--cert"),
        .add_cert = "--cert",
        .values = WORDS("--conf", "-c", "--keyring", "--intermediate", "--mount",
                        "--signing-keyring", "--mksquashfs-args", "--casync-args"),
        .verify = verify_rauc,
};

/* ---- mkimage ---- */

static int link_as(const ToolCall *c, const char *folder, const char *hint, const char *suffix,
                   const char *target, Error *e) {
        char path[TEMP_PATH_MAX + 256];

        (void) snprintf(path, sizeof(path), "%s/%s.%s", folder, hint, suffix);
        if (symlink(target, path) < 0 && errno != EEXIST)
                return error_set(e, -errno, "cannot make %s: %s", path, strerror(errno));
        return 0;
}

static int link_hint(const char *hint, void *userdata, Error *e) {
        ToolCall *c = userdata;
        char folder[TEMP_PATH_MAX];
        int r;

        if (strchr(hint, '/') || strlen(hint) > 200)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "key-name-hint '%s' names no file", hint);
        r = temp_folder_path(&c->temp, "keys", folder, e);
        if (r >= 0)
                r = link_as(c, folder, hint, "key", c->reference, e);
        if (r >= 0)
                r = link_as(c, folder, hint, "pem", c->reference, e);
        return r < 0 ? r : link_as(c, folder, hint, "crt", c->certificate, e);
}

static bool is_key_file(const ToolCall *c) {
        const char *option = c->argv[c->key_at], *before = c->argv[c->key_at - 1];

        return strncmp(option, "-G", 2) == 0 || strncmp(option, "--key-file", 10) == 0 ||
               strcmp(before, "-G") == 0 || strcmp(before, "--key-file") == 0;
}

/* From the option, from the source, and from the image that is to be signed again. */
static int link_hints(ToolCall *c, Error *e) {
        _cleanup_(buf_done) Buf source = BUF_MAX(FILE_MAX), image = BUF_MAX(FILE_MAX);
        const char *value = NULL;
        int r = 0;

        if (tool_option(c, WORDS("-g", "--key-name-hint"), &value))
                r = link_hint(value, c, e);
        if (r >= 0 && tool_option(c, WORDS("-f", "--fit"), &value) && strcmp(value, "auto") != 0) {
                r = file_read(value, FILE_ANY, &source, e);
                if (r >= 0)
                        r = fit_source_hints(&source, link_hint, c, e);
        }
        if (r < 0 || !has_argument(c, "-F"))
                return r;
        r = last_position(c, &value, e);
        if (r >= 0)
                r = file_read(value, FILE_ANY, &image, e);
        return r < 0 ? r : fit_hints(value, &image, link_hint, c, e);
}

/* -k takes a folder with a key for each hint: all of them are this key. */
static int key_files_mkimage(ToolCall *c, char ret[static TEMP_PATH_MAX], Error *e) {
        int r;

        if (is_key_file(c))
                return 0;
        r = temp_folder_path(&c->temp, "keys", ret, e);
        if (r < 0)
                return r;
        if (mkdir(ret, 0700) < 0)
                return error_set(e, -errno, "cannot make %s: %s", ret, strerror(errno));
        return link_hints(c, e);
}

/* Debian has no program that verifies a FIT image. */
static int verify_mkimage(ToolCall *c, Error *e) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(buf_done) Buf image = BUF_MAX(FILE_MAX);
        int r;

        r = key_info_pkey(&c->key, &key, e);
        if (r >= 0)
                r = file_read(c->output, FILE_ANY, &image, e);
        return r < 0 ? r : fit_verify(c->output, &image, key, e);
}

const Tool tool_mkimage = {
        .name = "mkimage",
        .package = "u-boot-tools",
        .verifier = "dtc",
        .verifier_package = "device-tree-compiler",
        .key = WORDS("-k", "-G", "--key-dir", "--key-file"),
        .values = WORDS("-A", "-O", "-T", "-C", "-a", "-e", "-n", "-R", "-d", "-D", "-f", "-b",
                        "-i", "-B", "-K", "-c", "-p", "-N", "-o", "-g"),
        .key_files = key_files_mkimage,
        .verify = verify_mkimage,
};
