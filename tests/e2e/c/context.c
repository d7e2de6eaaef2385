/* SPDX-License-Identifier: Apache-2.0 */

/* An application with a library context of its own, which asks for what it uses by properties:
 *
 *     host-context KEY MODULES PROVIDERS PROPERTIES OUT
 *
 * loads PROVIDERS (as "default,csign") from the folder MODULES, and the key; puts a signature of
 * "data" into OUT, and verifies it.  Properties "-" are none. */

#include "host.h"

#include <openssl/provider.h>

static OSSL_PROVIDER *loaded[8];
static size_t n_loaded;

static void load_providers(OSSL_LIB_CTX *libctx, char *names) {
        for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) {
                loaded[n_loaded] = OSSL_PROVIDER_load(libctx, name);
                CHECK(loaded[n_loaded++] && n_loaded < 8);
        }
}

static EVP_PKEY *load(const char *uri, OSSL_LIB_CTX *libctx, const char *properties) {
        OSSL_STORE_CTX *store =
                OSSL_STORE_open_ex(uri, libctx, properties, NULL, NULL, NULL, NULL, NULL);
        OSSL_STORE_INFO *info;
        EVP_PKEY *key;

        CHECK(store && OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY) == 1);
        info = OSSL_STORE_load(store);
        CHECK(info);
        key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
        OSSL_STORE_close(store);
        return key;
}

static size_t sign_by(EVP_PKEY *key, OSSL_LIB_CTX *libctx, const char *properties,
                      unsigned char *sig, size_t size) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        CHECK(EVP_DigestSignInit_ex(ctx, NULL, "SHA256", libctx, properties, key, NULL) == 1);
        CHECK(EVP_DigestSign(ctx, sig, &size, (const unsigned char *) "data", 4) == 1);
        CHECK(EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", libctx, properties, key, NULL) == 1);
        CHECK(EVP_DigestVerify(ctx, sig, size, (const unsigned char *) "data", 4) == 1);
        EVP_MD_CTX_free(ctx);
        return size;
}

int main(int argc, char *argv[]) {
        OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
        unsigned char sig[1024];
        const char *properties;
        EVP_PKEY *key;
        size_t len;
        FILE *out;

        CHECK(argc == 6 && libctx);
        properties = strcmp(argv[4], "-") == 0 ? NULL : argv[4];
        CHECK(OSSL_PROVIDER_set_default_search_path(libctx, argv[2]) == 1);
        load_providers(libctx, argv[3]);
        key = load(argv[1], libctx, properties);
        CHECK(key);
        len = sign_by(key, libctx, properties, sig, sizeof(sig));
        out = fopen(argv[5], "wb");
        CHECK(out && fwrite(sig, 1, len, out) == len && fclose(out) == 0);
        CHECK(ERR_peek_error() == 0);

        EVP_PKEY_free(key);
        while (n_loaded > 0)
                CHECK(OSSL_PROVIDER_unload(loaded[--n_loaded]) == 1);
        OSSL_LIB_CTX_free(libctx);
        return 0;
}
