/* SPDX-License-Identifier: Apache-2.0 */
/* For the test that scans csign-service's memory (I1): opens a sealed key, so that the test knows
 * which bytes must be nowhere.  Not installed; whoever has the KEK and the database could write it
 * himself.
 *
 *     unseal --kek FILE --key-id key_… --version N < HEX > PKCS8.der */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "lib/macro.h"
#include "service/keystore/protocol.h"
#include "service/keystore/seal.h"

static int read_hex(Buf *ret, Error *e) {
        char text[SEALED_MAX * 2 + 2];
        size_t n = fread(text, 1, sizeof(text), stdin);

        while (n > 0 && strchr(" \r\n", text[n - 1]))
                n--;
        if (n == 0 || buf_decode_hex(ret, text, n) < 0)
                return error_set(e, -EBADMSG, "standard input is not a sealed key in hex");
        return 0;
}

static int run(const char *kek_path, const char *key_id, uint32_t version, Error *e) {
        _cleanup_(kek_freep) Kek *kek = NULL;
        _cleanup_(buf_done) Buf sealed = {};
        _cleanup_(secret_done) Secret pkcs8 = {};
        SealInfo info;
        int r;

        r = kek_load(&kek, kek_path, e);
        if (r < 0)
                return r;
        r = read_hex(&sealed, e);
        if (r < 0)
                return r;
        r = unseal(kek, key_id, version, sealed.data, sealed.len, &info, &pkcs8, e);
        if (r < 0)
                return r;

        if (fwrite(pkcs8.data, 1, pkcs8.len, stdout) != pkcs8.len || fflush(stdout) != 0)
                return error_set(e, -EIO, "cannot write");
        return 0;
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "kek", required_argument, NULL, 'k' },
                { "key-id", required_argument, NULL, 'i' },
                { "version", required_argument, NULL, 'v' },
                {},
        };
        const char *kek = NULL, *key_id = NULL, *version = NULL;
        Error e = {};
        int c;

        OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 'k':
                        kek = optarg;
                        break;
                case 'i':
                        key_id = optarg;
                        break;
                case 'v':
                        version = optarg;
                        break;
                default:
                        return 2;
                }
        if (!kek || !key_id || !version || optind != argc) {
                fputs("usage: unseal --kek FILE --key-id ID --version N < HEX > PKCS8.der\n",
                      stderr);
                return 2;
        }

        if (run(kek, key_id, (uint32_t) strtoul(version, NULL, 10), &e) < 0) {
                fprintf(stderr, "unseal: %s\n", e.detail);
                return 1;
        }
        return 0;
}
