/* SPDX-License-Identifier: Apache-2.0 */
/* What an authority's policy says, in OpenSSL's words. */

#include <stdio.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "lib/ossl.h"
#include "service/ca/ca-impl.h"

/* The names of a policy, and what OpenSSL calls them.  The issuing authority has all of them, too:
 * Windows takes an authority's usages as a limit. */
/* clang-format off */
static const struct {
        const char *name, *value;
} usages[] = {
        { "codeSigning", "codeSigning" },
        { "emailProtection", "emailProtection" },
        { "lifetimeSigning", OID_LIFETIME_SIGNING },
};
/* clang-format on */

static bool add_attribute(X509_NAME *name, int nid, const char *value) {
        return !value[0] ||
               X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, (const unsigned char *) value,
                                          -1, -1, 0) == 1;
}

bool policy_subject(const CertPolicy *p, const char *common_name, X509_NAME *name) {
        return add_attribute(name, NID_countryName, p->country) &&
               add_attribute(name, NID_organizationName, p->organization) &&
               add_attribute(name, NID_commonName, common_name);
}

static const char *usage_value(const char *name, size_t len) {
        for (size_t i = 0; i < ELEMENTSOF(usages); i++)
                if (strlen(usages[i].name) == len && strncmp(usages[i].name, name, len) == 0)
                        return usages[i].value;
        return NULL;
}

/* "codeSigning,lifetimeSigning" in OpenSSL's words. */
static int translate_usages(const char *names, Buf *ret, Error *e) {
        bool code_signing = false;
        int r = 0;

        for (const char *p = names; r >= 0 && *p; p += p[0] == ',') {
                size_t len = strcspn(p, ",");
                const char *value = usage_value(p, len);

                if (!value)
                        return error_set(e, -CSIGN_E_BAD_REQUEST,
                                         "'%.*s' is no extended key usage: there are codeSigning, "
                                         "emailProtection, lifetimeSigning",
                                         (int) (len < 64 ? len : 64), p);
                code_signing = code_signing || value == usages[0].value;
                r = buf_printf(ret, "%s%s", ret->len > 0 ? "," : "", value);
                p += len;
        }
        if (r >= 0 && !code_signing)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "codeSigning is always among the extended key usages");
        return r;
}

/* The policy's name with the key's path in it.  OpenSSL's own syntax stays out: '@' at the front
 * would name a section, a comma another value. */
static int translate_name(const char *name, const char *path, Buf *ret, Error *e) {
        const char *mark = strstr(name, "{path}");
        size_t head = mark ? (size_t) (mark - name) : strlen(name);
        int r;

        if (strncmp(name, "URI:", 4) != 0 && strncmp(name, "email:", 6) != 0 &&
            strncmp(name, "DNS:", 4) != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "an alternative name begins with URI:, email: or DNS:, and may "
                                 "have {path} in it");
        if (strpbrk(name, ", \t\"\\#;") || strchr(name, '\n'))
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "an alternative name has no blank, comma, quote, # or ;");
        r = buf_append(ret, name, head);
        if (r >= 0 && mark)
                r = buf_append_str(ret, path);
        return r >= 0 && mark ? buf_append_str(ret, mark + strlen("{path}")) : r;
}

static int cert_policy_check(const CertPolicy *p, Error *e) {
        _cleanup_(buf_done) Buf name = BUF_MAX(1024), usage = BUF_MAX(1024);
        int r;

        if (p->country[0] &&
            (strlen(p->country) != 2 || strspn(p->country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 2))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'country' is two capital letters");
        r = translate_usages(p->extended_key_usage, &usage, e);
        if (r >= 0 && p->alternative_name[0])
                r = translate_name(p->alternative_name, "path", &name, e);
        return r;
}

static int push(STACK_OF(X509_EXTENSION) * *list, int nid, const Buf *value, Error *e) {
        X509_EXTENSION *ext;
        X509V3_CTX ctx;

        X509V3_set_ctx_nodb(&ctx);
        X509V3_set_ctx(&ctx, NULL, NULL, NULL, NULL, 0);
        ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, buf_str(value));
        if (!ext || !X509v3_add_ext(list, ext, -1)) {
                X509_EXTENSION_free(ext);
                return openssl_fail(e, "cannot set an extension");
        }
        X509_EXTENSION_free(ext); /* the list has a copy */
        return 0;
}

int policy_extensions(const CertPolicy *p, const char *path, STACK_OF(X509_EXTENSION) * *ret,
                      Error *e) {
        _cleanup_(buf_done) Buf name = BUF_MAX(1024), usage = BUF_MAX(1024);
        int r;

        r = translate_usages(p->extended_key_usage, &usage, e);
        if (r >= 0)
                r = push(ret, NID_ext_key_usage, &usage, e);
        if (r < 0 || !p->alternative_name[0])
                return r;
        r = translate_name(p->alternative_name, path, &name, e);
        return r < 0 ? r : push(ret, NID_subject_alt_name, &name, e);
}

/* As it is if it was not asked for. */
static int put_word(char *field, size_t size, const char *name, const char *value, Error *e) {
        if (value && strlen(value) >= size)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is longer than %zu bytes", name,
                                 size - 1);
        for (const char *p = value; p && *p; p++)
                if ((unsigned char) *p < 0x20 || *p == 0x7f)
                        return error_set(e, -CSIGN_E_BAD_REQUEST,
                                         "'%s' cannot hold control characters", name);
        if (value)
                snprintf(field, size, "%s", value);
        return 0;
}

int cert_policy_merge(CertPolicy *p, const char *organization, const char *country,
                      const char *alternative_name, const char *extended_key_usage, Error *e) {
        int r;

        r = put_word(p->organization, sizeof(p->organization), "organization", organization, e);
        if (r >= 0)
                r = put_word(p->country, sizeof(p->country), "country", country, e);
        if (r >= 0)
                r = put_word(p->alternative_name, sizeof(p->alternative_name), "alternative_name",
                             alternative_name, e);
        if (r >= 0)
                r = put_word(p->extended_key_usage, sizeof(p->extended_key_usage),
                             "extended_key_usage", extended_key_usage, e);
        return r < 0 ? r : cert_policy_check(p, e);
}
